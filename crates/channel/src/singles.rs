//! Skips the last system call of a turn, which finds nothing if results arrive one at a time.

/// Number of consecutive turns with one result after which the next turn expects one.
const EXPECTED_AFTER: u32 = 4;

/// One in this number of turns looks for more results anyway.
const CHECK: u32 = 16;

/// The number of consecutive turns with one result.
///
/// A turn that reads messages or accepts connections until the kernel has no more ends with a call
/// that fails with EAGAIN. If results arrive one at a time, a turn can stop after the first: if
/// there are more, the socket is still readable.
#[derive(Default)]
pub(crate) struct Singles(u32);

impl Singles {
    /// Returns whether the next turn should stop after one result.
    pub(crate) fn expects_one(&self) -> bool {
        self.0 >= EXPECTED_AFTER && !self.0.is_multiple_of(CHECK)
    }

    /// Records the number of results of a turn.
    pub(crate) fn note(&mut self, results: usize) {
        self.0 = if results == 1 { self.0.wrapping_add(1) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expects_one_after_single_results_and_checks_at_times() {
        let mut singles = Singles::default();
        let mut expected = Vec::new();
        for _ in 0..33 {
            expected.push(singles.expects_one());
            singles.note(1);
        }
        assert!(expected[..4].iter().all(|one| !one), "not before four turns with one result");
        assert!(expected[4..16].iter().all(|one| *one));
        assert!(!expected[16] && expected[17] && !expected[32], "every 16th turn looks for more");
        singles.note(2);
        assert!(!singles.expects_one());
    }
}
