//! Busy polling: the loop polls for messages instead of waiting for them.

use std::thread;
use std::time::{Duration, Instant};

use fdwire_uv::AboutToWait;

use crate::state::State;
use crate::turn::Inner;

/// The number of polls of one iteration of the loop that look at one channel only. Then the loop
/// looks at everything else.
const POLLS: u32 = 8;

/// The longest stay of one iteration of the loop.
const STAY_MAX: Duration = Duration::from_millis(1);

impl Inner {
    /// Polls for messages if a channel expects one soon. Returns whether the loop must not wait,
    /// but poll for other events and call this again.
    ///
    /// While one channel is hot, this reads its socket and runs its turns directly. That saves the
    /// rest of the loop and its call of epoll. It ends after a few polls, or as soon as JavaScript
    /// has left the loop something to do.
    pub(crate) fn skips_wait(&self, about_to_wait: &AboutToWait) -> bool {
        // JavaScript runs the loop within a turn. Its messages cannot be delivered before the turn
        // ends.
        if self.in_turn.get() {
            return false;
        }
        let start = Instant::now();
        let mut now = start;
        for _ in 0..POLLS {
            let is_hot = {
                let mut state = self.state.borrow_mut();
                let Some(State { reactor, .. }) = &mut *state else { return false };
                if !reactor.is_polling(now) {
                    return false;
                }
                // The peer may run on the same processor.
                thread::yield_now();
                reactor.poll_hot()
            };
            if !is_hot {
                break;
            }
            self.in_turn.set(true);
            while self.run_turn() {}
            self.in_turn.set(false);
            now = Instant::now();
            if now - start >= STAY_MAX || about_to_wait.has_work() {
                break;
            }
        }
        true
    }
}
