use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Random choices (splitmix64) that a seed repeats: another one each run, unless `JETON_TEST_SEED` says which.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Prints its seed: a test that fails shows it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let seed = std::env::var("JETON_TEST_SEED").map_or_else(
            |_| u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()),
            |seed| seed.parse().expect("JETON_TEST_SEED is a number"),
        );
        println!("{name}: JETON_TEST_SEED={seed}");
        Self(seed)
    }

    /// The same in each run, whatever `JETON_TEST_SEED` says: for a script that several runs share.
    #[must_use]
    pub const fn fixed(seed: u64) -> Self {
        Self(seed)
    }

    /// Others, for a task of its own.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// From 0 up to, without, `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.next() % bound).unwrap()
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Between two lengths, to the microsecond.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = usize::try_from((to - from).as_micros()).unwrap();
        from + Duration::from_micros(u64::try_from(self.below(span)).unwrap())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
