//! What the machine does to an authority: it is killed, its disk is full or fails, its database is held, unreadable or broken, its clock is set.
//! Over the release binary; each fault count is a tenth unless `JETON_TEST_FAULTS` says otherwise.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

mod clock;
mod database;
mod disk;
mod kill;
mod limits;
mod load;
mod sync;
