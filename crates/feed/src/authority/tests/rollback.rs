//! What is left of a hub once a rollback is known (`feed-protocol.md` 26): nothing that anybody could trust.

use super::bench::{Bench, STRICT, completed, cut, granted};
use crate::{
    authority::{Effect, Input, StreamId},
    message::{Refusal, ToVerifier},
};

fn roll_back(bench: &mut Bench) -> Vec<Effect> {
    bench.step(Input::RolledBack { message: "start it from a folder that knows 120".to_owned() })
}

/// The streams that are told of it.
fn told(effects: &[Effect]) -> Vec<StreamId> {
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Send { stream, message: ToVerifier::Refused(refused) } if refused.why == Refusal::Rollback => {
            assert!(refused.message.contains("120"), "{}", refused.message);
            Some(*stream)
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn every_stream_is_told_and_cut_and_so_is_each_that_comes() {
    let mut bench = Bench::new();
    let (one, two) = (bench.live(1, &[STRICT]), bench.live(2, &[STRICT]));
    let effects = roll_back(&mut bench);
    assert_eq!((told(&effects), cut(&effects)), (vec![one, two], vec![one, two]));
    assert!(bench.hub.is_rolled_back());
    bench.open(3, &[STRICT]);
    let (three, effects) = bench.stream(3, 1);
    assert_eq!((told(&effects), cut(&effects)), (vec![three], vec![three]));
}

#[test]
fn no_lease_is_granted_any_more() {
    let mut bench = Bench::new();
    let stream = bench.live(1, &[STRICT]);
    // One that waits for an acknowledgement, and one that comes.
    bench.commit(STRICT, 101);
    bench.at += 2_000;
    assert!(!granted(&bench.renew(stream)));
    roll_back(&mut bench);
    assert!(!granted(&bench.ack(stream, 101)));
    assert!(!granted(&bench.renew(stream)));
    let (again, _) = bench.stream(1, 2);
    bench.ack(again, 101);
    assert!(!granted(&bench.renew(again)));
}

#[test]
fn no_receipt_becomes_complete_any_more() {
    let mut bench = Bench::new();
    let stream = bench.live(1, &[STRICT]);
    bench.revoke(STRICT, 101);
    roll_back(&mut bench);
    // Neither by evidence, nor by silence, nor by what is revoked since: all of it is of a history that was left.
    let mut effects = bench.ack(stream, 101);
    effects.extend(bench.step(Input::Goodbye { stream }));
    effects.extend(bench.revoke(STRICT, 102));
    bench.at += 10_000_000;
    effects.extend(bench.tick());
    assert_eq!(completed(&effects), [0_u64; 0]);
    assert_eq!(effects, [], "and nothing is written of it");
}
