//! Many threads read while one writes: what returned from a write is seen by every later read.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use jeton_feed::{record::Change, replica::Replica as _};

use super::{Held, START, lease, part, policy, record, replica_of, revision};
use crate::{Code, MemoryReplica, Outcome, Required};

const TOKENS: usize = 250;
const READERS: usize = 3;

fn code(replica: &MemoryReplica, held: &Held) -> Option<Code> {
    match replica.verify(&held.text, &Required::default(), None, || START) {
        Outcome::Answer(verdict) => Some(verdict.code()),
        _ => None,
    }
}

#[test]
fn what_is_visible_is_visible_to_all() {
    let replica: MemoryReplica = replica_of(0, Vec::new());
    assert!(replica.lease_set(lease(1, START), 0));
    let tokens: Vec<Held> =
        (0..TOKENS).map(|number| Held::new("acme_live", 100 + 2 * number as u64, number as u8)).collect();
    let (issued, revoked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = 10;
            for (number, held) in tokens.iter().enumerate() {
                let at = held.birth;
                let _ = replica.record_apply(&record(last, at, vec![Change::Token(held.entry())])).unwrap();
                issued.store(number + 1, Ordering::SeqCst);
                last = at;
                // A snapshot now and then swaps everything under the readers.
                if number % 10 == 9 {
                    replica.snapshot_begin();
                    let rows = tokens[..=number].iter().map(Held::entry).collect();
                    replica.snapshot_rows(part(policy(0), rows));
                    let _ = replica.snapshot_end(revision(at));
                }
                if number % 2 == 0 {
                    let _ = replica.record_apply(&record(last, at + 1, vec![held.end()])).unwrap();
                    last = at + 1;
                    revoked.store(number + 1, Ordering::SeqCst);
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        for reader in 0..READERS {
            let (replica, tokens, issued, revoked, done) = (&replica, &tokens, &issued, &revoked, &done);
            scope.spawn(move || {
                let mut turn = reader;
                while !done.load(Ordering::SeqCst) {
                    turn = turn.wrapping_add(1);
                    let (ended, there) = (revoked.load(Ordering::SeqCst), issued.load(Ordering::SeqCst));
                    let number = if turn % 2 == 0 { turn % TOKENS } else { there.saturating_sub(1) };
                    let code = code(replica, &tokens[number]);
                    if number < there {
                        assert!(matches!(code, Some(Code::Valid | Code::Revoked)), "S9: {code:?} for {number}");
                    }
                    if number < ended && number % 2 == 0 {
                        assert_eq!(code, Some(Code::Revoked), "S4: accepted after the acknowledgement");
                    }
                    // Born above the watermark or there: never denied.
                    assert_ne!(code, Some(Code::Unknown), "S9: {number}");
                }
            });
        }
    });
}
