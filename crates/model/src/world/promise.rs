//! What must hold in every state, looked at from outside with the world's own knowledge of everything.

use std::time::Duration;

use jeton_feed::{
    lease::Standing,
    numbers::{LAG_MAX, POLL_EVERY, counted_out_after},
};

use stateright::Property;

use super::{Feed, World, store::freshness};

macro_rules! promises {
    ($($name:literal),*) => {
        /// The promises that are looked at, by their names in `docs/proof.md`.
        pub const PROMISES: &[&str] = &[$($name),*];

        pub(super) fn properties() -> Vec<Property<Feed>> {
            vec![$(Property::always($name, |_, world: &World| world.broken != Some($name))),*]
        }
    };
}

promises!("S1", "S2", "S3", "S5", "S18", "S19", "S20", "L1", "L3");

macro_rules! sights {
    ($($(#[$doc:meta])* $sight:ident = $name:literal,)*) => {
        /// What must be seen somewhere, lest a promise holds because nothing happens.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Sight {
            $($(#[$doc])* $sight,)*
        }

        /// Their names.
        pub const SIGHTINGS: &[&str] = &[$($name),*];
    };
}

sights! {
    /// A receipt is complete by an acknowledgement.
    Acked = "receipt by acknowledgement",
    /// By a fence.
    Fenced = "receipt by fence",
    /// By a goodbye.
    Goodbye = "receipt by goodbye",
    /// A renewal is refused to a session that is behind.
    RefusedForLag = "renewal refused for lag",
    /// A renewal is refused to a session below a floor.
    RefusedByFloor = "renewal refused by floor",
    /// A refused renewal is granted on the acknowledgement that cures it.
    Cured = "renewal granted on the cure",
    /// A snapshot is sent because the log does not reach back.
    TooOld = "too-old snapshot",
    /// The authority stops.
    RolledBack = "rollback stop",
    /// What a verifier saw is another store's.
    Foreign = "foreign head",
    /// An answer is given in grace.
    GraceEntered = "grace entered",
    /// A renewal ends it.
    GraceLeftByRenewal = "grace left by renewal",
    /// It runs out.
    GraceLeftByEnd = "grace left by end",
    /// A lease is dropped by a jump.
    DroppedByJump = "lease dropped by jump",
    /// A wall clock was set.
    WallSet = "wall clock set ahead",
    /// A grant is refused since its renewal was voided.
    GrantDiscarded = "grant discarded after a void",
    /// A grant came twice.
    GrantRepeated = "grant repeated",
    /// A session was ended and another took its place.
    TokenEnded = "session ended with its token",
    /// The authority counts everything anew after its machine was paused.
    AuthorityJump = "authority paused",
}

impl World {
    /// Looks at what a verification that begins now would find.
    pub(super) fn look(&mut self, feed: &Feed) {
        let store = &self.authority.store;
        let mut broken = None;
        for verifier in &mut self.verifiers {
            let now = verifier.clock.now();
            let (serves, table) = (verifier.serves, &verifier.table);
            let mut any_grace = false;
            for ns in serves {
                let standing = table.lease.map(|lease| lease.standing(now, freshness(table.view.grace[*ns])));
                let answers = match standing {
                    Some(Standing::Live(_)) => true,
                    Some(Standing::Grace(_)) => {
                        any_grace = true;
                        true
                    }
                    Some(Standing::Lapsed) if verifier.in_grace => {
                        feed.saw(Sight::GraceLeftByEnd);
                        false
                    }
                    _ => false,
                };
                if !answers {
                    continue;
                }
                if !verifier.granted {
                    broken = broken.or(Some("S5"));
                }
                if verifier.leased_by == Some(self.authority.start) && table.view.at > store.last() {
                    broken = broken.or(Some("S19"));
                }
                for (number, (of, _)) in store.revocations.iter().enumerate() {
                    let complete = store.complete >> number & 1 == 1;
                    if of == ns && complete && !self.authority.put_back && table.view.ended >> number & 1 == 0 {
                        let fenced = self.authority.fenced >> number & 1 == 1;
                        broken = broken.or(Some(if fenced { "S3" } else { "S1" }));
                    }
                }
            }
            if any_grace {
                feed.saw(Sight::GraceEntered);
            } else if verifier.in_grace && table.lease.is_some_and(|lease| now.boot < lease.valid_until()) {
                feed.saw(Sight::GraceLeftByRenewal);
            }
            verifier.in_grace = any_grace;
        }
        if let Some(promise) = broken {
            self.breaks(promise);
        }
    }

    /// L1: a receipt takes so long at most, whatever the verifiers do; and what is looked at only now and then takes one look more.
    pub(super) fn bound(&mut self, feed: &Feed) {
        let Some(process) = &self.authority.process else { return };
        if self.authority.is_stopped()
            || self.authority.restored.is_some()
            || !process.reading.is_empty()
            || self.links.iter().any(|link| link.hello.is_some())
        {
            return;
        }
        let longest =
            feed.scope.passes.iter().map(|pass| pass.millis * pass.authority / 1_000).max().unwrap_or_default();
        let policies = feed.scope.policies.iter().map(|(_, grace)| *grace).chain(feed.scope.grace);
        let grace = Duration::from_secs(policies.max().map_or(0, u64::from));
        let bound = LAG_MAX + counted_out_after(grace) + POLL_EVERY + Duration::from_millis(longest);
        let now = self.authority.clock.now().boot;
        if process.waiting.iter().any(|(_, since)| now.since(*since) > bound) {
            self.breaks("L1");
        }
    }
}
