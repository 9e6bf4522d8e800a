//! What the authority's own verifications see of tokens in use.
//!
//! Purpose: it gathers what `/v1/verify` found and hands it to the store once a second, in one transaction with whatever is
//! committed then. Guarantee: [`OwnUse::until`] is never later than a use that is not stored. Not guaranteed: what was
//! gathered since the last hand-in survives no kill; a verification waits for no disk.

use std::{
    collections::HashMap,
    future::Future,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jeton_feed::usage::{PRESENTERS_MAX, REPORT_MAX, Report, Seen};
use jeton_store::{AnyStore, Store, model::UsageFrom};
use jeton_types::{TokenId, UnixTime, VerifierName};
use tokio::time::sleep;

use crate::time::AuthorityTime;

/// Between two hand-ins.
const HAND_IN_EVERY: Duration = Duration::from_secs(1);

/// See the module. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnUse(Arc<Mutex<Gathered>>);

#[derive(Debug, Default)]
struct Gathered {
    uses: HashMap<TokenId, Seen<UnixTime>>,
    presented: HashMap<(TokenId, Option<IpAddr>), Seen<UnixTime>>,
    /// The oldest of what is not stored yet.
    oldest: Option<UnixTime>,
}

impl OwnUse {
    /// A token was found valid.
    pub(crate) fn used(&self, token: TokenId, time: &AuthorityTime) {
        let mut gathered = self.lock();
        // Read in here: what is not yet counted is later than whatever `until` has said.
        let seen = gathered.seen(time);
        gathered.uses.entry(token).and_modify(|all| all.add(seen)).or_insert(seen);
    }

    /// A token that has ended was presented.
    pub(crate) fn presented(&self, token: TokenId, address: Option<IpAddr>, time: &AuthorityTime) {
        let mut gathered = self.lock();
        let seen = gathered.seen(time);
        let known = gathered.presented.len() < PRESENTERS_MAX || gathered.presented.contains_key(&(token, address));
        // From more places than are told apart: then it counts, and not from where.
        let place = (token, address.filter(|_| known));
        gathered.presented.entry(place).and_modify(|all| all.add(seen)).or_insert(seen);
    }

    /// Until when all uses seen here are in the store.
    pub(crate) fn until(&self, time: &AuthorityTime) -> UnixTime {
        let gathered = self.lock();
        gathered.oldest.unwrap_or_else(|| time.now())
    }

    /// Hands in once a second, until `stop` ends.
    pub(crate) async fn run(self, store: Arc<AnyStore>, stop: impl Future<Output = ()>) {
        let hand_in = async {
            loop {
                sleep(HAND_IN_EVERY).await;
                self.hand_in(&store).await;
            }
        };
        tokio::select! {
            biased;
            () = stop => {}
            () = hand_in => {}
        }
    }

    /// Hands in what is there. What the store does not take is kept.
    pub(crate) async fn hand_in(&self, store: &AnyStore) {
        let (uses, presented) = {
            let mut gathered = self.lock();
            (std::mem::take(&mut gathered.uses), std::mem::take(&mut gathered.presented))
        };
        let mut uses: Vec<_> = uses.into_iter().collect();
        let mut presented: Vec<_> = presented.into_iter().map(|((token, place), seen)| (token, place, seen)).collect();
        while !(uses.is_empty() && presented.is_empty()) {
            let report = Report {
                number: 0,
                until: UnixTime::ZERO,
                last: false,
                uses: uses.split_off(uses.len().saturating_sub(REPORT_MAX)),
                presented: presented.split_off(presented.len().saturating_sub(REPORT_MAX)),
            };
            if let Err(error) =
                store.usage_report(UsageFrom::Authority(VerifierName::authority()), report.clone()).await
            {
                tracing::debug!(%error, "what the authority has seen of use is kept for later");
                uses.extend(report.uses);
                presented.extend(report.presented);
                break;
            }
        }
        let mut gathered = self.lock();
        for (token, seen) in uses {
            gathered.uses.entry(token).and_modify(|all| all.add(seen)).or_insert(seen);
        }
        for (token, address, seen) in presented {
            gathered.presented.entry((token, address)).and_modify(|all| all.add(seen)).or_insert(seen);
        }
        let first = gathered.uses.values().chain(gathered.presented.values()).map(|seen| seen.first).min();
        gathered.oldest = first;
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn seen(&mut self, time: &AuthorityTime) -> Seen<UnixTime> {
        let now = time.now();
        self.oldest = self.oldest.or(Some(now));
        Seen::once(now)
    }
}
