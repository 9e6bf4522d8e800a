//! Some seeds, and that a seed is worth something: it repeats.

use jeton_stack::{play, run};

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
