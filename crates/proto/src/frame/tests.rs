use jeton_feed::{
    frame::{Joined, join},
    record::EndReason,
};
use jeton_types::{Digest, Hash32, Revision, StartId, TokenId, UnixTime};

use super::*;
use crate::convert::tests::{change, entry, policy};
use proptest::{collection::vec, prelude::*};

fn record(changes: Vec<Change>) -> Record {
    Record {
        revision: Revision::new(12).unwrap(),
        predecessor: Revision::new(10).unwrap(),
        namespace: "a".repeat(63).parse().unwrap(),
        start: StartId::from_bytes([1; 16]),
        chain_hash: Hash32([2; 32]),
        set_hash: Some(Hash32([3; 32])),
        committed_at: UnixTime::from_micros(u64::MAX),
        changes,
    }
}

fn messages(record: &Record) -> Vec<Bytes> {
    let (mut all, mut at) = (Vec::new(), Some(Cursor::FIRST));
    while let Some(cursor) = at {
        let (bytes, next) = record_frame(record, cursor);
        all.push(bytes);
        at = next;
    }
    all
}

fn read(bytes: &Bytes) -> ToVerifier {
    wire::ToVerifier::decode(bytes.clone()).unwrap().try_into().unwrap()
}

#[test]
fn a_large_revocation_comes_in_frames_of_64_kib() {
    let end = |id: u32| {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&id.to_be_bytes());
        let token = TokenId::from_bytes(bytes[..16].try_into().unwrap());
        Change::End { digest: Digest::from_bytes(bytes), token, reason: EndReason::Revoked }
    };
    let record = record((0..100_000).map(end).collect());
    let messages = messages(&record);
    let largest = messages.iter().map(Bytes::len).max().unwrap();
    assert!(largest <= FRAME_BYTES_MAX, "{largest}");
    assert!(messages.iter().rev().skip(1).all(|bytes| bytes.len() > FRAME_BYTES_MAX * 9 / 10), "they are filled");
    let (mut under_way, mut changes) = (None, Vec::new());
    for bytes in &messages {
        let ToVerifier::Frame(frame) = read(bytes) else { panic!("no frame") };
        match join(&mut under_way, frame).unwrap() {
            Joined::Ends(part) => changes.extend(part.changes),
            Joined::Held => panic!("an end is kept back"),
            Joined::Last(rest) => {
                changes.extend(rest.changes);
                assert_eq!(Record { changes: changes.clone(), ..rest }, record);
            }
        }
    }
    assert_eq!(changes.len(), 100_000);
}

#[test]
fn a_frame_is_refused_by_whoever_does_not_know_frames() {
    let record = record((0..2_000).map(|_| Change::Unknown { kind: 6, needs_protocol: 1 }).collect());
    for bytes in messages(&record) {
        let Some(wire::to_verifier::Message::Record(part)) = wire::ToVerifier::decode(bytes).unwrap().message else {
            panic!("no record")
        };
        assert!(part.frame > 0 && part.changes.iter().all(|change| change.needs_protocol == 4), "{part:?}");
    }
}

#[test]
fn a_small_record_is_what_it_always_was() {
    let record = record(Vec::new());
    let (bytes, next) = record_frame(&record, Cursor::FIRST);
    assert_eq!(next, None);
    assert_eq!(bytes, wire::ToVerifier::from(ToVerifier::Record(record)).encode_to_vec());
}

#[test]
fn the_last_of_no_frame_is_refused() {
    let whole = wire::Record { last: true, ..record(Vec::new()).into() };
    let message = wire::ToVerifier { message: Some(wire::to_verifier::Message::Record(whole)) };
    assert!(ToVerifier::try_from(message).is_err());
}

proptest! {
    #[test]
    fn no_size_is_underestimated(change in change(), row in entry()) {
        let wire = wire::Record { changes: vec![change.clone().into()], ..Default::default() };
        prop_assert!(wire.encoded_len() <= change_bytes_max(&change), "{:?}", change);
        let wire = wire::SnapshotRows { rows: vec![row.clone().into()], ..Default::default() };
        prop_assert!(wire.encoded_len() <= row_bytes_max(&row), "{:?}", row);
    }

    #[test]
    fn parts_of_a_snapshot_fit(rows in vec(entry(), 0..30), policy in policy(), copies in 1..60_usize) {
        let rows: Vec<_> = rows.iter().cycle().take(rows.len() * copies).cloned().collect();
        let set_hash = Some(Hash32([9; 32]));
        let whole = SnapshotPart { namespace: "a".repeat(63).parse().unwrap(), policy, rows, set_hash };
        let parts: Vec<_> = snapshot_parts(whole.clone()).collect();
        for part in &parts {
            let message = wire::ToVerifier::from(ToVerifier::SnapshotRows(part.clone()));
            prop_assert!(message.encoded_len() <= FRAME_BYTES_MAX);
        }
        prop_assert!(parts.iter().rev().skip(1).all(|part| part.set_hash.is_none()));
        prop_assert_eq!(parts.last().unwrap().set_hash, whole.set_hash);
        prop_assert_eq!(parts.into_iter().flat_map(|part| part.rows).collect::<Vec<_>>(), whole.rows);
    }
}
