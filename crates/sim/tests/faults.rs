//! Every rule that can be left out is missed: some world among the first few hundred shows it. And none shows anything while all
//! rules are there.
//!
//! For the release build, which is thirty times as fast: `cargo test --release -p jeton-sim --test faults -- --nocapture`.

use std::{thread, time::Instant};

use jeton_sim::campaign::{FAULTS, Until, campaign};
use jeton_types::fault::Fault;

const SEEDS: u64 = 600;

fn threads() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[test]
fn every_fault_is_noticed_by_some_seed() {
    let mut missed = Vec::new();
    for fault in FAULTS {
        let began = Instant::now();
        let found = campaign(&Until::Seeds(0..SEEDS), Some(*fault), threads());
        let took = began.elapsed().as_secs_f64();
        match found.violations.first() {
            Some((seed, violation)) => {
                println!("{}: seed {seed}, {} worlds, {took:.1} s: {}", fault.name(), found.seeds, violation.text);
            }
            None => missed.push(fault.name()),
        }
    }
    assert!(missed.is_empty(), "no world of {SEEDS} shows {missed:?}");
}

#[test]
fn without_a_fault_nothing_is_noticed() {
    let found = campaign(&Until::Seeds(0..100), None, threads());
    assert_eq!(found.violations, []);
    let again = campaign(&Until::Seeds(0..100), None, 1);
    assert_eq!((found.hash, found.seen), (again.hash, again.seen), "the same worlds whoever runs them");
}

#[test]
fn names_are_those_of_the_list() {
    for fault in FAULTS {
        assert_eq!(fault.name().parse::<Fault>(), Ok(*fault));
    }
}
