//! One verification in the process, beside what it cannot do without.

use std::{hint::black_box, time::Duration};

use jeton_feed::{lease::Lease, replica::Replica as _};
use jeton_host::clock::SystemClock;
use jeton_types::{Clock as _, UnixTime};
use jeton_verifier::{MemoryReplica, Outcome, Required};

use crate::{
    anchor::floor::Floor,
    figure::{Aim, Figure, Part, short},
    memory::{Subjects, entry, minted, replica, scrambled},
    process::cpu_of_thread,
    setup::Setup,
};

/// Tokens that are presented, drawn from all.
const PRESENTED: u64 = 100_000;

pub fn measure(setup: &Setup) -> Part {
    let tokens = setup.size(1_000_000, 2_000);
    let replica = replica(tokens, |number| entry(number, Subjects::Each));
    let floor = Floor::new(tokens as usize);
    let texts: Vec<Vec<u8>> = (0..PRESENTED.min(tokens))
        .map(|draw| minted(scrambled(draw) % tokens).text.expose().clone().into_bytes())
        .collect();
    let (mut alone, mut stream) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for _ in 0..setup.rounds() {
        lease(&replica);
        let verify = |text: &[u8]| u64::from(valid(&replica, text));
        alone.0.push(chained(&texts, setup.turn(), verify));
        alone.1.push(chained(&texts, setup.turn(), |text| floor.of(text)));
        lease(&replica);
        stream.0.push(independent(&texts, setup.turn(), verify));
        stream.1.push(independent(&texts, setup.turn(), |text| floor.of(text)));
    }
    let figure =
        |what: &str, (product, anchor)| Figure { what: what.to_owned(), unit: "ns", product, anchor, aim: Aim::None };
    Part {
        title: "Verification in the process",
        how: format!(
            "`MemoryReplica::verify` of good tokens, drawn at random from {} in the replica, on one thread, the \
             reading of the clocks included: CPU time of the thread. The \
             anchor does only what cannot be left out: checksum, SHA-256, and one read that depends on it, from an array of 16 bytes a token.",
            short(tokens as f64)
        ),
        figures: vec![
            figure("one, each after the answer to the one before", alone),
            figure("one in a stream of independent ones", stream),
        ],
    }
    .told()
}

/// A lease long enough for a round: it is not what is measured.
fn lease(replica: &MemoryReplica) {
    let generation = replica.lease_generation();
    let lease = Lease { request: 1, sent: SystemClock.now(), authority_time: UnixTime::from_micros(1) };
    assert!(replica.lease_set(lease, generation), "nothing has voided it");
}

fn valid(replica: &MemoryReplica, text: &[u8]) -> bool {
    match replica.verify(text, &Required::default(), None, || SystemClock.now()) {
        Outcome::Answer(verdict) => verdict.valid(),
        other => panic!("no answer: {other:?}"),
    }
}

/// Nanoseconds of one when which comes next hangs on the outcome of the one before.
fn chained(texts: &[Vec<u8>], turn: Duration, one: impl Fn(&[u8]) -> u64) -> f64 {
    let mut at = 0;
    timed(turn, texts.len(), || {
        let outcome = one(&texts[at]);
        // Always one step on, which the processor cannot know before the outcome is there.
        at = (at + 1 + (black_box(outcome) as usize & black_box(0))) % texts.len();
    })
}

fn independent(texts: &[Vec<u8>], turn: Duration, one: impl Fn(&[u8]) -> u64) -> f64 {
    let mut next = texts.iter().cycle();
    timed(turn, texts.len(), || {
        black_box(next.next().map(|text| one(text)));
    })
}

fn timed(turn: Duration, warm: usize, mut one: impl FnMut()) -> f64 {
    for _ in 0..warm {
        one();
    }
    let (started, mut done) = (cpu_of_thread(), 0_u64);
    loop {
        for _ in 0..1_000 {
            one();
        }
        done += 1_000;
        let used = cpu_of_thread() - started;
        if used >= turn / 6 {
            return used.as_nanos() as f64 / done as f64;
        }
    }
}
