//! What tests need that the product does not: the release binary as a set of processes, and a client that sees statuses.
//!
//! Everything listens on port 0 and lives in a folder of its own; nothing is shared between tests. What fails panics
//! with what the process said: this crate is for tests alone and is never linked by the product.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on ends here")]

mod dice;
mod fault;
mod prober;
mod process;
mod proxy;
mod wall_clock;
mod web;
mod wire;

use std::{
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

pub use dice::Dice;
pub use fault::{SmallDisk, Strace, faults, in_own_namespace};
pub use prober::{Probe, Prober};
pub use process::{Authority, Jeton, Output, Sidecar, Stopped};
pub use proxy::Proxy;
pub use wall_clock::WallClock;
pub use web::{Answer, Web};
pub use wire::Wire;

/// The time of day in microseconds: what a process of the product on the same machine reads.
#[must_use]
pub fn now_us() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Prints a line also of a test that passes: what was measured. It goes to the end of the file `JETON_TEST_REPORT` too, if
/// that is set.
pub fn report(line: &str) {
    if let Some(path) = std::env::var_os("JETON_TEST_REPORT") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{line}")).unwrap();
    }
    // Past the test harness, which keeps what the macros print.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
