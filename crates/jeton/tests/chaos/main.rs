//! Chaos on the release binary: everything that can happen to processes and networks happens, at once, while each question and answer is
//! written down; afterwards the history is judged, token by token. One printed seed makes all choices. `./test` plays a tenth.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

mod askers;
mod history;
mod lanes;
#[path = "../machine/load.rs"]
#[expect(dead_code, reason = "the tests of the machine look at some things that are of no interest here")]
mod load;
mod recorder;
mod storm;
mod world;
