//! The deadlines of a connection: how long no byte may move, and how long one message may take.
//!
//! Nothing is done per message. While a clock runs, a timer compares the counters of the transport
//! with those at the last comparison, four times within the limit of an idle connection. So the
//! activity between two comparisons counts as if it were at the later one: a connection is never
//! idle too early, and at most a quarter too late.

use std::time::{Duration, Instant};

use super::Channel;
use crate::Turn;
use crate::batch::{Deadline, Event};
use crate::limits::Activity;
use crate::transport::on_transport;

/// Number of comparisons within the time after which a connection is idle.
const COMPARISONS: u32 = 4;

/// The shortest time between two comparisons.
const SHORTEST: Duration = Duration::from_millis(1);

/// The clocks that run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Running {
    /// That of an idle connection: the channel does not read, but waits for the peer to read.
    Idle,
    /// Both: the channel reads.
    Both,
}

/// The clocks of a connection.
pub(super) struct Deadlines {
    idle: Option<Duration>,
    message: Option<Duration>,
    /// How long no byte has moved, and how long the message has taken, at the last comparison.
    idle_for: Duration,
    message_for: Duration,
    seen: Activity,
    /// The clocks that run, and the time of the last comparison. None: no clock runs.
    running: Option<(Running, Instant)>,
    /// Whether the owner of the channel is occupied with messages, which stops the clocks.
    pub(super) busy: bool,
    /// Whether a deadline has passed, which is reported once.
    passed: bool,
}

impl Deadlines {
    /// Returns the clocks of a channel with these limits; None if it has none.
    pub(super) fn new(idle: Option<Duration>, message: Option<Duration>) -> Option<Box<Self>> {
        (idle.is_some() || message.is_some()).then(|| {
            Box::new(Self {
                idle,
                message,
                idle_for: Duration::ZERO,
                message_for: Duration::ZERO,
                seen: Activity::default(),
                running: None,
                busy: false,
                passed: false,
            })
        })
    }

    /// Returns whether the clocks must be updated: one starts or stops, or another message begins.
    pub(super) fn is_outdated(&self, runs: Option<Running>, activity: &Activity) -> bool {
        runs != self.running.map(|(running, _)| running)
            || (self.message.is_some() && activity.message != self.seen.message)
    }

    /// Advances the clocks, and sets which of them run from now on.
    pub(super) fn update(&mut self, now: Instant, runs: Option<Running>, activity: Activity) {
        let elapsed = self.running.map_or(Duration::ZERO, |(_, since)| now - since);
        let of_message = if self.runs_message() { elapsed } else { Duration::ZERO };
        let seen = std::mem::replace(&mut self.seen, activity);
        let moved = (seen.received, seen.sent) != (activity.received, activity.sent);
        self.idle_for = if moved { Duration::ZERO } else { self.idle_for + elapsed };
        let continues = activity.message.is_some() && activity.message == seen.message;
        self.message_for = if continues { self.message_for + of_message } else { Duration::ZERO };
        self.running = runs.map(|running| (running, now));
    }

    /// Returns whether the clock of messages runs.
    fn runs_message(&self) -> bool {
        matches!(self.running, Some((Running::Both, _)))
    }

    /// Returns the deadline that has passed, once.
    pub(super) fn take_passed(&mut self) -> Option<Deadline> {
        let is_over = |limit: Option<Duration>, time| limit.is_some_and(|limit| time >= limit);
        let passed = if self.passed || self.running.is_none() {
            None
        } else if self.runs_message()
            && self.seen.message.is_some()
            && is_over(self.message, self.message_for)
        {
            Some(Deadline::Message)
        } else {
            is_over(self.idle, self.idle_for).then_some(Deadline::Idle)
        };
        self.passed |= passed.is_some();
        passed
    }

    /// Returns when the clocks must be compared next.
    pub(super) fn next(&self) -> Option<Instant> {
        let (_, since) = self.running.filter(|_| !self.passed)?;
        let idle = self.idle.map(|limit| {
            let left = limit.saturating_sub(self.idle_for);
            left.min((limit / COMPARISONS).max(SHORTEST))
        });
        let begun = self.runs_message() && self.seen.message.is_some();
        let message = self.message.filter(|_| begun);
        let message = message.map(|limit| limit.saturating_sub(self.message_for));
        idle.into_iter().chain(message).min().map(|left| since + left)
    }

    /// Forgets what a previous connection has done.
    pub(super) fn restart(&mut self) {
        (self.idle_for, self.message_for) = (Duration::ZERO, Duration::ZERO);
        (self.seen, self.running, self.passed) = (Activity::default(), None, false);
    }
}

impl Channel {
    /// Sets whether the owner of the channel is occupied with messages, which stops the clocks of
    /// the deadlines.
    pub(crate) fn set_busy(&mut self, busy: bool) {
        if let Some(deadlines) = &mut self.deadlines {
            deadlines.busy = busy;
        }
    }

    /// Starts or stops the clocks of the deadlines as the channel reads or waits for the peer to
    /// read, and notes that a message has begun.
    pub(super) fn update_deadlines(&mut self) {
        if self.deadlines.is_some() {
            let (runs, activity) = (self.running_clocks(), self.activity());
            if let Some(deadlines) = &mut self.deadlines
                && deadlines.is_outdated(runs, &activity)
            {
                deadlines.update(Instant::now(), runs, activity);
            }
        }
    }

    /// Reports a deadline that has passed.
    pub(super) fn check_deadlines(&mut self, turn: &mut Turn<'_, '_>) {
        if self.deadlines.is_some() {
            let (runs, activity) = (self.running_clocks(), self.activity());
            if let Some(deadlines) = &mut self.deadlines {
                deadlines.update(Instant::now(), runs, activity);
                let passed = deadlines.take_passed();
                turn.batch.events.extend(passed.map(Event::Late));
            }
        }
    }

    /// Returns the clocks that run; None while the peer waits for us.
    fn running_clocks(&self) -> Option<Running> {
        if self.deadlines.as_ref().is_some_and(|deadlines| deadlines.busy) {
            None
        } else if self.reads() && !on_transport!(&self.transport, it => it.input_ended()) {
            Some(Running::Both)
        } else {
            // A peer that reads nothing is idle, although an owner who waits for it reads nothing.
            let waits = on_transport!(&self.transport, it => it.waits_for_peer());
            waits.then_some(Running::Idle)
        }
    }

    fn activity(&self) -> Activity {
        on_transport!(&self.transport, it => it.activity(&self.meter.counters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Option<Running> = Some(Running::Both);
    const MS: Duration = Duration::from_millis(1);

    fn deadlines(idle: u32, message: u32) -> Box<Deadlines> {
        let limit = |ms: u32| (ms > 0).then_some(MS * ms);
        Deadlines::new(limit(idle), limit(message)).expect("a limit")
    }

    fn received(bytes: u64) -> Activity {
        Activity { received: (0, bytes), ..Activity::default() }
    }

    #[test]
    fn a_connection_without_limits_has_no_clocks() {
        assert!(Deadlines::new(None, None).is_none());
    }

    #[test]
    fn a_connection_is_idle_after_the_limit_and_not_before() {
        let (mut clocks, start) = (deadlines(100, 0), Instant::now());
        clocks.update(start, BOTH, received(0));
        assert_eq!(clocks.next(), Some(start + 25 * MS));
        clocks.update(start + 25 * MS, BOTH, received(1));
        clocks.update(start + 99 * MS, BOTH, received(1));
        assert_eq!(clocks.take_passed(), None);
        assert_eq!(clocks.next(), Some(start + 124 * MS));
        clocks.update(start + 125 * MS, BOTH, received(1));
        assert_eq!(clocks.take_passed(), Some(Deadline::Idle));
        assert_eq!((clocks.take_passed(), clocks.next()), (None, None), "reported once");
    }

    #[test]
    fn time_in_which_the_clocks_do_not_run_does_not_count() {
        let (mut clocks, start) = (deadlines(100, 0), Instant::now());
        clocks.update(start, BOTH, received(0));
        assert!(clocks.is_outdated(None, &received(0)));
        clocks.update(start + 60 * MS, None, received(0));
        assert_eq!(clocks.next(), None);
        clocks.update(start + 1_000 * MS, BOTH, received(0));
        clocks.update(start + 1_039 * MS, BOTH, received(0));
        assert_eq!(clocks.take_passed(), None);
        clocks.update(start + 1_040 * MS, BOTH, received(0));
        assert_eq!(clocks.take_passed(), Some(Deadline::Idle));
    }

    #[test]
    fn a_message_takes_no_time_while_only_the_peer_can_act() {
        let (mut clocks, start) = (deadlines(1_000, 100), Instant::now());
        let part = Activity { message: Some(7), ..received(1) };
        clocks.update(start, BOTH, part);
        clocks.update(start + 50 * MS, Some(Running::Idle), part);
        assert_eq!(clocks.next(), Some(start + 300 * MS));
        clocks.update(start + 999 * MS, Some(Running::Idle), part);
        assert_eq!(clocks.take_passed(), None);
        clocks.update(start + 1_000 * MS, Some(Running::Idle), part);
        assert_eq!(clocks.take_passed(), Some(Deadline::Idle));
    }

    #[test]
    fn a_message_is_late_although_bytes_of_it_arrive() {
        let (mut clocks, start) = (deadlines(0, 100), Instant::now());
        let part = |bytes| Activity { message: Some(7), ..received(bytes) };
        clocks.update(start, BOTH, received(0));
        assert_eq!(clocks.next(), None, "no message has begun");
        assert!(clocks.is_outdated(BOTH, &part(1)));
        clocks.update(start + 500 * MS, BOTH, part(1));
        assert_eq!(clocks.next(), Some(start + 600 * MS));
        clocks.update(start + 599 * MS, BOTH, part(50));
        assert_eq!(clocks.take_passed(), None);
        clocks.update(start + 600 * MS, BOTH, part(51));
        assert_eq!(clocks.take_passed(), Some(Deadline::Message));
    }

    #[test]
    fn each_message_has_its_own_time() {
        let (mut clocks, start) = (deadlines(0, 100), Instant::now());
        for number in 1..50 {
            let part = Activity { message: Some(number), ..received(number) };
            clocks.update(start + 60 * MS * u32::try_from(number).unwrap(), BOTH, part);
            assert_eq!(clocks.take_passed(), None);
        }
    }
}
