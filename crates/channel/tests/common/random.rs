//! Random numbers that a seed determines.

use std::ops::Range;

/// Returns the seeds of a test: FDWIRE_SEEDS of them, from FDWIRE_SEED on (1, and `default` of them).
pub fn seeds(default: u64) -> Range<u64> {
    let number =
        |name: &str, default| std::env::var(name).map_or(default, |it| it.parse().unwrap());
    let first = number("FDWIRE_SEED", 1);
    first..first + number("FDWIRE_SEEDS", default)
}

/// A xorshift64 generator.
pub struct Random(u64);

impl Random {
    /// Creates a generator. Equal seeds produce equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    /// Returns true once in `chances` calls, on average.
    pub fn once_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}
