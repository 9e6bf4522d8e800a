//! Whether the head that a verifier shows belongs to this store's history (`feed-protocol.md` 26).
//!
//! Numbers alone say nothing: revisions follow the clock, so a store that was put back passes every number that was lost as
//! soon as it writes again. What it cannot make good is the *start*: each start is kept for ever with the last revision
//! before the next one, and what was lost lies above that. Only a head that the authority sealed itself may stop a store; any
//! other is at most a reason to give its bearer a snapshot.

use std::fmt;

use jeton_types::{
    Hash32, Revision, StartId,
    fault::{Fault, injected},
};

use crate::record::Head;

/// Says what the sealed bytes are of, so that a seal fits nothing else.
const SEALED_AS: [u8; 16] = *b"jeton head v1\0\0\0";
/// How many bytes are sealed.
pub const SEALED_BYTES: usize = 16 + 8 + 16 + 32;

impl Head {
    /// What the seal ([`Head::mac`]) is made over: everything else that a head says.
    #[must_use]
    pub fn sealed_bytes(&self) -> [u8; SEALED_BYTES] {
        let mut bytes = [0; SEALED_BYTES];
        bytes[..16].copy_from_slice(&SEALED_AS);
        bytes[16..24].copy_from_slice(&self.revision.get().to_be_bytes());
        bytes[24..40].copy_from_slice(self.start.as_bytes());
        bytes[40..].copy_from_slice(self.chain_hash.as_bytes());
        bytes
    }
}

/// What the store knows of a head that is shown, read in one view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadKnown {
    /// The last revision of the head's start: its own head, if it is the one that runs. Nothing if there was no such start.
    pub start_last: Option<Revision>,
    /// The chain hash of the record at the head's revision, if that record is there.
    pub chain_hash: Option<Hash32>,
    /// The oldest record that the log still holds; what is below it cannot be compared.
    pub retained_from: Revision,
}

/// What a head that is shown means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is of this history, and the log goes on from there.
    Ours,
    /// It is of this history, as far as can be told, but the log does not reach back to it: a snapshot.
    TooOld,
    /// It was sealed by another store, or by nobody: a snapshot, and nothing that was granted before counts.
    Foreign,
    /// It is of this store's own future: the data were put back to an older state. The store stops.
    Rollback(Lost),
}

/// How it is known that data are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The whole start is not known here.
    Start(StartId),
    /// The start ended earlier here.
    PastStart {
        /// Where it ended.
        last: Revision,
    },
    /// Another record stands there, or none where there should be one.
    History,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(start) => write!(f, "{start} is not known here"),
            Self::PastStart { last } => write!(f, "here that start ended at revision {last}"),
            Self::History => f.write_str("here the log has another record in that place"),
        }
    }
}

/// Judges a head. `authentic` says whether its seal is this authority's own.
#[must_use]
pub fn judge(head: &Head, authentic: bool, known: &HeadKnown) -> Judgement {
    if !authentic && !injected(Fault::UnauthenticHeadStops) {
        return Judgement::Foreign;
    }
    if injected(Fault::RollbackByNumberOnly) {
        return match known.start_last {
            Some(last) if head.revision > last => Judgement::Rollback(Lost::PastStart { last }),
            _ if head.revision < known.retained_from => Judgement::TooOld,
            _ => Judgement::Ours,
        };
    }
    match known.start_last {
        None => Judgement::Rollback(Lost::Start(head.start)),
        Some(last) if head.revision > last => Judgement::Rollback(Lost::PastStart { last }),
        Some(_) if head.revision < known.retained_from && !injected(Fault::OldIsRollback) => Judgement::TooOld,
        // A head is always that of a record, so one that is missing was another one.
        Some(_) if known.chain_hash != Some(head.chain_hash) => Judgement::Rollback(Lost::History),
        Some(_) => Judgement::Ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: StartId = StartId::from_bytes([1; 16]);

    fn revision(number: u64) -> Revision {
        Revision::new(number).unwrap()
    }

    fn head(number: u64, hash: u8) -> Head {
        Head { revision: revision(number), start: START, chain_hash: Hash32([hash; 32]), mac: None }
    }

    fn check(number: u64, authentic: bool, start_last: Option<u64>, hash: Option<u8>, from: u64, expect: Judgement) {
        let known = HeadKnown {
            start_last: start_last.map(revision),
            chain_hash: hash.map(|hash| Hash32([hash; 32])),
            retained_from: revision(from),
        };
        let found = judge(&head(number, 7), authentic, &known);
        assert_eq!(found, expect, "{number} authentic {authentic} {known:?}");
    }

    #[test]
    fn what_a_head_means() {
        use Judgement::{Foreign, Ours, Rollback, TooOld};
        // start's last, hash found, retained from
        check(50, true, Some(60), Some(7), 1, Ours);
        check(50, true, Some(50), Some(7), 50, Ours);
        check(50, true, Some(60), None, 51, TooOld);
        check(50, true, Some(49), None, 1, Rollback(Lost::PastStart { last: revision(49) }));
        // A store that was put back and wrote on: numbers beyond the witness's, but of a later start.
        check(50, true, Some(49), Some(7), 1, Rollback(Lost::PastStart { last: revision(49) }));
        check(50, true, None, None, 1, Rollback(Lost::Start(START)));
        check(50, true, Some(60), Some(8), 1, Rollback(Lost::History));
        check(50, true, Some(60), None, 1, Rollback(Lost::History));
        // Past its start, and below the retained log: lost all the same.
        check(50, true, Some(49), None, 100, Rollback(Lost::PastStart { last: revision(49) }));
        // Whatever it says, nobody sealed it.
        for (last, hash) in [(Some(60), Some(7)), (Some(49), None), (None, None), (Some(60), Some(8))] {
            check(50, false, last, hash, 1, Foreign);
        }
    }

    #[test]
    fn a_seal_covers_all_that_a_head_says() {
        let one = head(50, 7);
        let others = [head(51, 7), head(50, 8), Head { start: StartId::from_bytes([2; 16]), ..one.clone() }];
        for other in others {
            assert_ne!(one.sealed_bytes(), other.sealed_bytes());
        }
        assert_eq!(one.sealed_bytes(), Head { mac: Some(Hash32::ZERO), ..one.clone() }.sealed_bytes());
        assert!(one.sealed_bytes().starts_with(b"jeton head v1\0"));
    }
}
