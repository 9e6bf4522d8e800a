use std::collections::BTreeMap;

use jeton_types::{
    AddressList, CredentialId, Digest, Freshness, Hash32, Revision, ScopeSet, Span, StartId, TokenId, UnixTime,
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::record::{EndReason, Policy, TokenEntry};

fn record(changes: Vec<Change>) -> Record {
    Record {
        revision: Revision::new(12).unwrap(),
        predecessor: Revision::new(10).unwrap(),
        namespace: "acme".parse().unwrap(),
        start: StartId::from_bytes([1; 16]),
        chain_hash: Hash32([2; 32]),
        set_hash: Some(Hash32([3; 32])),
        committed_at: UnixTime::from_micros(7),
        changes,
    }
}

fn end(id: u8) -> Change {
    Change::End {
        digest: Digest::from_bytes([id; 32]),
        token: TokenId::from_bytes([id; 16]),
        reason: EndReason::Revoked,
    }
}

fn token(id: u8, disabled: bool) -> Change {
    Change::Token(TokenEntry {
        digest: Digest::from_bytes([id; 32]),
        token: TokenId::from_bytes([id; 16]),
        credential: CredentialId::from_bytes([id; 16]),
        subject: None,
        scopes: ScopeSet::default(),
        expires_at: None,
        addresses: AddressList::default(),
        disabled,
        ended: None,
    })
}

fn policy(grace: u64) -> Change {
    let freshness = Freshness::Grace(Span::from_secs(grace));
    Change::Policy(Policy { prefix: "acme_live".parse().unwrap(), freshness, disabled: false })
}

fn deadline(id: u8, at: u64) -> Change {
    Change::Deadline {
        digest: Digest::from_bytes([id; 32]),
        token: TokenId::from_bytes([id; 16]),
        expires_at: UnixTime::from_micros(at),
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0..40_u8).prop_map(end),
        2 => (0..40_u8, 1..99_u64).prop_map(|(id, at)| deadline(id, at)),
        1 => (0..40_u8, any::<bool>()).prop_map(|(id, disabled)| token(id, disabled)),
        1 => (1..9_u64).prop_map(policy),
    ]
}

/// All frames of a record, of so many changes each.
fn frames(record: &Record, changes: usize) -> Vec<Frame> {
    let (mut frames, mut at) = (Vec::new(), Some(Cursor::FIRST));
    while let Some(cursor) = at {
        match cut(record, cursor, changes, |_| 1) {
            Cut::Whole(whole) => panic!("{whole:?} fits"),
            Cut::Part(frame, next) => {
                at = next;
                frames.push(frame);
            }
        }
    }
    frames
}

/// What a verifier would enforce.
#[derive(Debug, Clone, Default, PartialEq)]
struct Table {
    policy: Option<Policy>,
    rows: BTreeMap<[u8; 32], TokenEntry>,
}

impl Table {
    fn full() -> Self {
        let mut table = Self::default();
        (0..40).for_each(|id| table.apply(&[token(id, false)]));
        table
    }

    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Policy(policy) => self.policy = Some(policy.clone()),
                Change::Token(entry) => {
                    let key = *entry.digest.as_bytes();
                    let settled = entry.clone().settled(self.rows.get(&key));
                    self.rows.insert(key, settled);
                }
                Change::Deadline { digest, expires_at, .. } => {
                    self.rows.get_mut(digest.as_bytes()).unwrap().deadline(*expires_at);
                }
                Change::End { digest, reason, .. } => self.rows.get_mut(digest.as_bytes()).unwrap().end(*reason),
                Change::Collected { digest, .. } => {
                    self.rows.remove(digest.as_bytes());
                }
                Change::Start(_) | Change::Unknown { .. } => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn frames_leave_what_the_record_leaves(
        changes in vec(change(), 2..60),
        room in 1..12_usize,
        reset_after in 0..40_usize,
    ) {
        let record = record(changes);
        let mut whole = Table::full();
        whole.apply(&record.changes);
        if let Cut::Whole(fits) = cut(&record, Cursor::FIRST, room, |_| 1) {
            prop_assert!(record.changes.len() <= room);
            prop_assert_eq!(fits, record);
            return Ok(());
        }
        let frames = frames(&record, room);
        prop_assert!(frames.iter().all(|frame| frame.record.changes.len() <= room));
        let mut table = Table::full();
        // A stream that ends somewhere in the middle; the next one begins the record anew.
        let mut under_way = None;
        for frame in frames.iter().take(reset_after.min(frames.len() - 1)) {
            if let Joined::Ends(part) = join(&mut under_way, frame.clone()).unwrap() {
                prop_assert!(part.set_hash.is_none());
                prop_assert!(part.changes.iter().all(takes_away));
                table.apply(&part.changes);
            }
        }
        let mut under_way = None;
        for frame in frames {
            let last = frame.last;
            match join(&mut under_way, frame).unwrap() {
                Joined::Ends(part) => {
                    prop_assert!(!last);
                    table.apply(&part.changes);
                }
                Joined::Held => prop_assert!(!last),
                Joined::Last(rest) => {
                    prop_assert!(last);
                    prop_assert_eq!(rest.set_hash, record.set_hash);
                    table.apply(&rest.changes);
                }
            }
            prop_assert_eq!(under_way.is_none(), last);
        }
        prop_assert_eq!(table, whole);
    }

    #[test]
    fn as_many_as_fit(sizes in vec(0..40_usize, 0..30), room in 0..200_usize) {
        let count = fitting(sizes.iter().copied(), room);
        let taken: usize = sizes[..count].iter().sum();
        prop_assert!(taken <= room || count == 1);
        prop_assert!(count == sizes.len() || taken + sizes[count] > room || count == 1);
        prop_assert_eq!(count == 0, sizes.is_empty());
    }
}

#[test]
fn a_change_of_rights_is_kept_back_with_all_behind_it() {
    let record = record(vec![end(1), token(2, true), end(3), end(4)]);
    let mut under_way = None;
    let mut joined = frames(&record, 1).into_iter().map(|frame| join(&mut under_way, frame).unwrap());
    assert!(matches!(joined.next(), Some(Joined::Ends(part)) if part.changes == [end(1)]));
    assert_eq!(joined.next(), Some(Joined::Held));
    assert_eq!(joined.next(), Some(Joined::Held));
    assert!(matches!(joined.next(), Some(Joined::Last(rest)) if rest.changes == [token(2, true), end(3), end(4)]));
}

#[test]
fn what_is_no_next_frame_is_refused() {
    let good = || frames(&record((0..4).map(end).collect()), 1);
    let other =
        |frame: Frame| Frame { record: Record { revision: Revision::new(13).unwrap(), ..frame.record }, ..frame };
    let check = |frames: Vec<Frame>, expect: &str| {
        let mut under_way = None;
        let refused = frames.into_iter().find_map(|frame| join(&mut under_way, frame).err());
        assert_eq!(refused, Some(expect));
        assert!(under_way.is_none(), "{expect}");
    };
    let pick = |numbers: &[usize]| numbers.iter().map(|number| good()[*number].clone()).collect::<Vec<_>>();
    check(pick(&[1]), "a frame of a record whose first frame did not come");
    check(pick(&[3]), "a frame of a record whose first frame did not come");
    check(pick(&[0, 2]), "a frame that is not the next of its record");
    check(pick(&[0, 1, 1]), "a frame that is not the next of its record");
    check(pick(&[0, 1, 0]), "a frame that is not the next of its record");
    check(vec![Frame { number: 0, ..good()[0].clone() }], "a frame of a record whose first frame did not come");
    // The last flag of the record before is missing.
    check(vec![good()[0].clone(), other(good()[0].clone())], "a frame of another record within a record");
    check(vec![good()[0].clone(), other(good()[1].clone())], "a frame of another record within a record");
    let mut lies = good()[1].clone();
    lies.record.predecessor = Revision::new(9).unwrap();
    check(vec![good()[0].clone(), lies], "a frame that contradicts those before it");
    check(vec![Frame { last: true, ..good()[0].clone() }], "a record in a single frame that says to be a part");
    let mut empty = good()[1].clone();
    empty.record.changes.clear();
    check(vec![good()[0].clone(), empty], "a frame that is of no use before the last");
    let mut early = good()[1].clone();
    early.record.set_hash = Some(Hash32::ZERO);
    check(vec![good()[0].clone(), early], "a frame that is of no use before the last");
}
