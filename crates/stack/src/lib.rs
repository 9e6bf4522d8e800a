//! The whole stack over a network and a time that are simulated: the real authority, feed and sidecars with their real HTTP
//! and gRPC, over a store in memory whose crash loses what was not synced.
//!
//! [`run`] plays one seed. Everything comes from it: how many hosts there are, how fast their clocks run, what goes wrong,
//! what is asked for. The same seed gives the same [`History`], to the nanosecond, which a test holds it to; so one that fails is
//! played again by `cargo run --release -p jeton-stack -- --seed N`.
//!
//! - `world` has the hosts, `machine` their clocks and randomness, `net` the network as the product takes it.
//! - `faults` is what goes wrong: cuts both and one way, held and slow links, crashes, stops, a disk that does not sync, wall
//!   clocks that are set.
//! - [`play`] plays many seeds. `work` is what is done meanwhile, `token` what may be said of a token, [`history`] what was.
//!
//! What it never does: decide anything for the product, or wait in real time. Not covered: TLS, SQLite, threads, and suspended
//! machines, for which there are other proofs.

mod faults;
pub mod history;
mod machine;
mod net;
mod play;
mod token;
mod web;
mod work;
mod world;

pub use history::{Counts, History};
pub use play::{Sum, play};
pub use world::run;
