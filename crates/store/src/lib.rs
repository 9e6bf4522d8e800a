//! The store: what must survive, and the one way to change it.
//!
//! [`Store`] is the port, [`Sqlite`] the embedded store behind it; `Memory`, behind a feature that no product has, is the
//! model that every store is compared with. A mutation checks its caller, changes state, writes
//! the audit entry and appends the change record in one transaction, and answers only after that transaction is
//! durable. Revisions come from one counter row, so commit order is revision order.
//!
//! The store never keeps a secret that it could open: of a token it has a digest and a hint, and for a day, where its
//! asker claimed a key ([`idempotency`]), what that one sealed. It never decides either; the decisions are
//! `jeton-lifecycle`'s.
//!
//! Start with [`Store`] for what can be asked, [`model`] for what is answered, and [`CommitLog`] for how the feed learns
//! of a commit.

mod actor;
mod any;
mod authority_time;
mod change;
mod collection;
mod commit_log;
mod error;
pub mod idempotency;
#[cfg(feature = "memory")]
mod memory;
pub mod model;
mod port;
mod record_code;
mod selector;
mod sink;
mod sqlite;
mod usage;

pub use any::AnyStore;
pub use commit_log::{CommitLog, Committed};
pub use error::StoreError;
#[cfg(feature = "memory")]
pub use memory::{Disk, Memory};
pub use port::{Health, RECORDS_CUT_MAX, SESSIONS_PRUNED_MAX, Store, TOKENS_COLLECTED_MAX};
pub use sink::SnapshotSink;
pub use sqlite::{CommitObserver, OpenConfig, Space, Sqlite};
pub use usage::PRESENTERS_KEPT;
