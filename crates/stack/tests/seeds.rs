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

/// A rule that is left out, and the seed that shows it.
#[test]
fn what_is_broken_on_purpose_is_noticed() {
    for (fault, seed, property) in [(Fault::ReplyBeforeCommit, 0, "S12")] {
        let (history, _) = run(seed, &std::env::temp_dir(), Some(fault));
        let shown = history.violations().iter().any(|violation| violation.starts_with(property));
        assert!(shown, "{} at seed {seed}: {:?}", fault.name(), history.violations());
    }
}
