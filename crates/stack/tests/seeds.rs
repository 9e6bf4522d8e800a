//! Some seeds, that a seed is worth something because it repeats, and that what is broken on purpose is noticed.

use jeton_stack::{play, run};
use jeton_types::fault::Fault;

/// As many as `JETON_STACK_SEEDS` says; `./test` plays a hundred.
#[test]
fn no_seed_fails() {
    let count = std::env::var("JETON_STACK_SEEDS").map_or(4, |count| count.parse().expect("a number of seeds"));
    let sum = play(1..1 + count, None);
    println!("{sum}");
    assert!(sum.failed.is_empty(), "{sum}");
    assert!(sum.counts.valid > 0 && sum.counts.invalid > 0 && sum.counts.complete > 0, "{:?}", sum.counts);
}

/// Without this no seed would show anything twice.
#[test]
fn the_same_seed_gives_the_same_trace() {
    let dir = std::env::temp_dir();
    let [(first, _), (second, _), (other, _)] = [7, 7, 8].map(|seed| run(seed, &dir, None));
    assert_eq!(first.parts_from(&second), None);
    assert_eq!(first.trace(), second.trace());
    assert_ne!(first.trace(), other.trace(), "another seed is another run");
}

/// Answers that leave before a sync are lost with the machine.
#[test]
fn an_answer_before_the_commit_is_noticed() {
    let (history, _) = run(1, &std::env::temp_dir(), Some(Fault::ReplyBeforeCommit));
    let lost = history.violations().iter().any(|violation| violation.starts_with("S12"));
    assert!(lost, "{:?}", history.violations());
}
