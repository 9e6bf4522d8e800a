//! What a verifier lets be counted.

use std::time::Duration;

use jeton_types::{Revision, UnixTime};
use jeton_verifier::{Code, Source};

/// Called by a verifier as things happen, on the thread they happen on: count, and return. Every method does nothing
/// unless implemented.
pub trait Observe: Send + Sync + 'static {
    /// An answer was given. A stale one has no source.
    fn verification(&self, code: Code, source: Option<Source>) {
        let _ = (code, source);
    }

    /// A token that was not known, or an answer that had to rest on a newer view, waited this long for the authority's word; `in_time` unless it became stale.
    fn first_use_wait(&self, wait: Duration, in_time: bool) {
        let _ = (wait, in_time);
    }

    /// A snapshot of this many rows was taken in, from its beginning to its being served.
    fn snapshot(&self, took: Duration, rows: u64) {
        let _ = (took, rows);
    }

    /// A record is served. What passed since its commit is an estimate: the authority's clock against this machine's.
    fn record(&self, revision: Revision, committed_at: UnixTime, since_commit: Duration) {
        let _ = (revision, committed_at, since_commit);
    }

    /// A stream to the authority came about, or broke.
    fn connected(&self, connected: bool) {
        let _ = connected;
    }

    /// A lease was granted.
    fn lease(&self) {}

    /// The replica was not what the authority's log leaves: nothing is answered until a snapshot has taken its place.
    fn replica_mistrusted(&self) {}

    /// The replica could not be copied into the state folder.
    fn copy_failed(&self) {}

    /// The session was lost, and another takes its place.
    fn session_lost(&self) {}
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observe for Unobserved {}
