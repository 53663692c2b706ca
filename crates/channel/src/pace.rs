//! How many messages a turn may have, so that the owner of the channel handles them in a millisecond.

use std::time::Duration;

use crate::batch::MAX_EVENTS;

/// The largest limit.
#[expect(clippy::cast_possible_truncation, reason = "it is below 2^16")]
const MOST: u16 = MAX_EVENTS as u16;

/// How long the handling of a turn may take before the next turn has fewer messages.
const LONG: Duration = Duration::from_millis(1);

/// The smallest and the first limit. A malformed message takes about 30 µs.
const LEAST: u16 = 16;
const FIRST: u16 = 128;

/// The limit of the messages of one channel's turns. It halves after a long turn, and doubles after
/// any other that has reached it.
///
/// A peer decides how long its messages take: malformed ones take 200 times as long as others, and
/// so a limit of messages alone lets a few peers delay all others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace(u16);

impl Pace {
    pub(crate) const FIRST: Self = Self(FIRST);

    /// Returns the maximum number of events of the next turn.
    pub(crate) fn limit(self) -> usize {
        usize::from(self.0)
    }

    /// Records how long the owner took to handle a turn with this number of events.
    pub(crate) fn note(&mut self, events: usize, took: Duration) {
        if took > LONG {
            self.0 = (self.0 / 2).max(LEAST);
        } else if events + 2 > self.limit() {
            self.0 = self.0.saturating_mul(2).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_turns_halve_the_limit_and_full_short_ones_double_it() {
        let mut pace = Pace::FIRST;
        for _ in 0..20 {
            pace.note(pace.limit(), LONG);
        }
        assert_eq!(pace.limit(), MAX_EVENTS);
        pace.note(pace.limit(), 2 * LONG);
        assert_eq!(pace.limit(), MAX_EVENTS / 2);
        pace.note(1, LONG);
        assert_eq!(pace.limit(), MAX_EVENTS / 2, "a turn that was not full says nothing");
        for _ in 0..20 {
            pace.note(1, 2 * LONG);
        }
        assert_eq!(pace.limit(), usize::from(LEAST));
    }
}
