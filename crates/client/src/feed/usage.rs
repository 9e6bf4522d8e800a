//! What those who verify here see of tokens in use, until the driver collects it.
//!
//! Each thread counts in a shard of its own: a map behind a lock that nobody else takes but the driver, four times a second
//! and for as long as a swap of two maps lasts. So a verification takes one lock that is free, reads the clock, and
//! allocates nothing once its shard has had as many tokens in one round before. A map that adds up and not a queue: what
//! is counted takes the room of the tokens that are used, not of how often, so nothing is ever dropped.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use jeton_feed::usage::{PRESENTERS_MAX, Reporter, Seen};
use jeton_types::{BootTime, Clock, TokenId};
use jeton_verifier::{Code, Verdict};

/// Shards: more than threads that verify at the same moment, on most machines.
const SHARDS: usize = 16;
/// Tokens for which a shard keeps room between two rounds.
const KEPT: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Uses([Mutex<Shard>; SHARDS]);

#[derive(Debug, Default)]
struct Shard {
    used: HashMap<TokenId, Seen<BootTime>>,
    presented: HashMap<(TokenId, Option<IpAddr>), Seen<BootTime>>,
}

impl Uses {
    /// Counts what an answer says of a use. To be called before the answer is given.
    pub(super) fn count(&self, verdict: &Verdict, client: Option<IpAddr>, clock: &dyn Clock) {
        let Some(token) = verdict.token() else { return };
        match verdict.code() {
            Code::Valid => {
                let mut shard = lock(&self.0[shard()]);
                // Read in here: what is not yet collected is later than the beginning of the collection.
                let seen = Seen::once(clock.now().boot);
                shard.used.entry(token).and_modify(|all| all.add(seen)).or_insert(seen);
            }
            Code::Revoked | Code::Expired => {
                let mut shard = lock(&self.0[shard()]);
                let seen = Seen::once(clock.now().boot);
                let is_known = |shard: &Shard| shard.presented.contains_key(&(token, client));
                let client = client.filter(|_| shard.presented.len() < PRESENTERS_MAX || is_known(&shard));
                shard.presented.entry((token, client)).and_modify(|all| all.add(seen)).or_insert(seen);
            }
            _ => {}
        }
    }

    /// Hands over what was counted. `spare` is an empty one, and is left empty.
    pub(super) fn collect(&self, spare: &mut Collected, reporter: &mut Reporter) {
        reporter.begin_gathering();
        for shard in &self.0 {
            std::mem::swap(&mut *lock(shard), &mut spare.0);
            for (token, seen) in spare.0.used.drain() {
                reporter.used(token, seen);
            }
            for ((token, client), seen) in spare.0.presented.drain() {
                reporter.presented(token, client, seen);
            }
            spare.0.used.shrink_to(KEPT);
            spare.0.presented.shrink_to(PRESENTERS_MAX);
        }
    }
}

/// What the driver swaps for what was counted.
#[derive(Debug, Default)]
pub(super) struct Collected(Shard);

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shard of this thread.
fn shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    SHARD.with(|shard| *shard)
}
