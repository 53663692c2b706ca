//! Decides when the caller's loop polls for the next message of a channel instead of waiting for
//! it.
//!
//! A **stay** is the time for which the loop polls. A stay that ends without input was a waste of
//! processor time: the peer is slower than the window. Three such stays in a row are tolerated.
//! Each further one halves how often the channel polls, down to one stay in 64. A stay with input
//! restores the full rate at once.

use std::time::{Duration, Instant};

/// The number of consecutive stays without input that are tolerated.
const TOLERATED: u32 = 3;

/// Binary logarithm of the largest number of chances to poll for each stay.
const RAREST: u32 = 6;

/// The busy polling of one channel.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    window: Duration,
    expects: Expects,
    /// The number of consecutive stays that have ended without input.
    misses: u32,
    /// The number of stays to skip before the next one.
    skips: u32,
    /// Whether a call of the channel's owner waits for a message.
    pub(crate) awaited: bool,
    /// The number of messages that had been sent when the last input arrived.
    pub(crate) sent_before: u64,
    /// Whether the channel is in the reactor's list of those that take part in its stay.
    pub(crate) in_stay: bool,
    /// The number of stays since the channel was created.
    pub(crate) stays: u64,
    /// The number of these in which input has arrived.
    pub(crate) hits: u64,
}

/// What the channel expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Nothing,
    /// Input until this time.
    Input {
        until: Instant,
    },
    /// Input, but the stay is skipped because the peer is slower than the window.
    LateInput,
}

impl BusyPoll {
    /// Creates the state of a channel that polls for at most `window`, or None if that is zero.
    pub(crate) fn new(window: Duration) -> Option<Box<Self>> {
        (!window.is_zero()).then(|| {
            Box::new(Self {
                window,
                expects: Expects::Nothing,
                misses: 0,
                skips: 0,
                awaited: false,
                sent_before: 0,
                in_stay: false,
                stays: 0,
                hits: 0,
            })
        })
    }

    /// Begins a stay, or extends the present one. Returns its end, or None if it is skipped.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Instant> {
        match self.expects {
            Expects::LateInput => return None,
            Expects::Nothing if self.skips > 0 => {
                self.skips -= 1;
                self.expects = Expects::LateInput;
                return None;
            }
            Expects::Nothing => self.stays += 1,
            Expects::Input { .. } => {}
        }
        let until = now + self.window;
        self.expects = Expects::Input { until };
        Some(until)
    }

    /// Records that input has arrived.
    pub(crate) fn on_input(&mut self, now: Instant) {
        match std::mem::replace(&mut self.expects, Expects::Nothing) {
            Expects::Input { until } if now <= until => {
                self.hits += 1;
                self.misses = 0;
            }
            Expects::Input { .. } => self.on_miss(),
            Expects::Nothing | Expects::LateInput => {}
        }
    }

    /// Records that the loop polls no more, whether or not input has arrived before.
    pub(crate) fn end(&mut self) {
        self.in_stay = false;
        if let Expects::Input { .. } = self.expects {
            self.expects = Expects::Nothing;
            self.on_miss();
        }
    }

    fn on_miss(&mut self) {
        self.misses = self.misses.saturating_add(1);
        if let Some(excess @ 1..) = self.misses.checked_sub(TOLERATED) {
            self.skips = (1 << excess.min(RAREST)) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_micros(50);

    fn polls() -> BusyPoll {
        *BusyPoll::new(WINDOW).expect("the window is not zero")
    }

    /// Makes `chances` chances to poll, each answered after `delay`. Returns which of them polled.
    fn answer(it: &mut BusyPoll, now: &mut Instant, chances: usize, delay: Duration) -> Vec<bool> {
        let mut polled = Vec::new();
        for _ in 0..chances {
            polled.push(it.begin(*now).is_some());
            *now += delay;
            if delay > WINDOW {
                it.end();
            }
            it.on_input(*now);
        }
        polled
    }

    #[test]
    fn a_window_of_zero_needs_no_state() {
        assert!(BusyPoll::new(Duration::ZERO).is_none());
    }

    #[test]
    fn every_message_of_a_fast_peer_is_polled_for() {
        let (mut it, mut now) = (polls(), Instant::now());
        let polled = answer(&mut it, &mut now, 1_000, WINDOW);
        assert!(polled.iter().all(|&polled| polled));
        assert_eq!((it.stays, it.hits), (1_000, 1_000));
    }

    #[test]
    fn a_slow_peer_is_polled_for_less_and_less_down_to_one_message_in_64() {
        let (mut it, mut now) = (polls(), Instant::now());
        let polled = answer(&mut it, &mut now, 1_000, 2 * WINDOW);
        let at: Vec<_> = (0..1_000).filter(|&at| polled[at]).collect();
        let gaps: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps[..10], [1, 1, 1, 2, 4, 8, 16, 32, 64, 64]);
        assert!(gaps[10..].iter().all(|&gap| gap == 64));
        assert_eq!(it.hits, 0);
    }

    #[test]
    fn the_full_rate_returns_with_the_first_fast_answer_that_is_polled_for() {
        let (mut it, mut now) = (polls(), Instant::now());
        answer(&mut it, &mut now, 1_000, 2 * WINDOW);
        let polled = answer(&mut it, &mut now, 200, WINDOW / 2);
        let first = polled.iter().position(|&polled| polled).expect("a stay");
        assert!(first < 64);
        assert!(polled[first..].iter().all(|&polled| polled));
    }

    #[test]
    fn a_stay_is_extended_by_further_reasons_to_poll_and_counts_once() {
        let (mut it, now) = (polls(), Instant::now());
        assert_eq!(it.begin(now), Some(now + WINDOW));
        assert_eq!(it.begin(now + WINDOW), Some(now + 2 * WINDOW));
        it.on_input(now + 2 * WINDOW);
        assert_eq!((it.stays, it.hits, it.misses), (1, 1, 0));
    }

    #[test]
    fn input_after_the_window_is_a_miss_even_if_other_channels_prolong_the_stay() {
        let (mut it, now) = (polls(), Instant::now());
        it.begin(now);
        it.on_input(now + 2 * WINDOW);
        assert_eq!((it.stays, it.hits, it.misses), (1, 0, 1));
        it.end();
        assert_eq!(it.misses, 1, "the end of the stay is no second miss");
    }
}
