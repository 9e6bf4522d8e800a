//! The least that durability costs: append 4 KiB, sync, again.

use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

/// Appends in a folder, one after the other, each synced by `fsync`: the call that SQLite makes. How many there were, and
/// how long they took.
pub fn run(folder: &Path, turn: Duration) -> (f64, Duration) {
    let mut file = tempfile::tempfile_in(folder).expect("a file");
    let block = [0x5a; 4096];
    let (started, mut appends) = (Instant::now(), 0_u32);
    while started.elapsed() < turn {
        file.write_all(&block).expect("a write");
        file.sync_all().expect("a sync");
        appends += 1;
    }
    (f64::from(appends), started.elapsed())
}
