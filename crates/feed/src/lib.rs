//! The feed between the authority and its verifiers, as state machines without IO.
//!
//! Messages and the time go in, state and effects come out; the same machines run under the real transport, in tests
//! and in a simulator. What holds between them is in `docs/adr` and, rule by rule, in `docs/reference/feed-protocol.md`.
//!
//! - [`record`]: what the authority's log holds; [`message`]: what travels on a stream; [`set_hash`]: what is enforced, in 32 bytes;
//!   [`frame`]: records that are too large for one message.
//! - [`lease`]: how long a verifier may trust what it has. [`verifier`]: the verifier's side of a session.
//! - [`authority`]: the authority's side: sessions, grants, floors, receipts.
//! - [`succession`]: how a new process ends the sessions of the one before it. [`usage`]: what is told of tokens in use.

pub mod authority;
pub mod frame;
pub mod lease;
pub mod message;
pub mod numbers;
pub mod record;
pub mod replica;
pub mod rollback;
pub mod set_hash;
pub mod succession;
pub mod usage;
pub mod verifier;
