//! The deadlines of a connection: how long no byte may move, and how long one message may take.
//!
//! Nothing is done per message. While a clock runs, a timer compares the activity of the transport
//! with that at the last comparison, four times within each limit. So the activity between two
//! comparisons counts as if it were at the later one: a deadline is never reported too early, and at
//! most a quarter too late.
//!
//! A healthy connection must not be destroyed because this process was late. If the program blocks
//! the event loop, or the process is stopped, everything has arrived long before it is read. So the
//! time between two comparisons counts only as far as it was planned, and a deadline that has passed
//! is compared once more, after the event loop has read what was there before.

use std::time::{Duration, Instant};

use super::Channel;
use crate::Turn;
use crate::batch::{Deadline, Event};
use crate::limits::Activity;
use crate::transport::on_transport;

/// Number of comparisons within each limit.
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

/// Whether a deadline has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    No,
    /// At the last comparison, whose time this is. Another one decides.
    Pending(Instant),
    /// It was reported, which happens once.
    Reported,
}

/// The clocks of a connection.
pub(super) struct Deadlines {
    idle: Option<Duration>,
    message: Option<Duration>,
    /// How long no byte has moved, and how long the message has taken, at the last comparison.
    idle_for: Duration,
    message_for: Duration,
    seen: Activity,
    /// The sent bytes that the peer had not received at the last comparison.
    in_transit: usize,
    /// The clocks that run, and the time of the last comparison. None: no clock runs.
    running: Option<(Running, Instant)>,
    /// Whether the owner of the channel is occupied with messages, which stops the clocks.
    pub(super) busy: bool,
    verdict: Verdict,
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
                in_transit: 0,
                running: None,
                busy: false,
                verdict: Verdict::No,
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
        let elapsed = elapsed.min(self.pause().unwrap_or(elapsed));
        let of_message = if self.runs_message() { elapsed } else { Duration::ZERO };
        let seen = std::mem::replace(&mut self.seen, activity);
        let moved = (seen.received, seen.sent) != (activity.received, activity.sent);
        self.idle_for = if moved { Duration::ZERO } else { self.idle_for + elapsed };
        let continues = activity.message.is_some() && activity.message == seen.message;
        self.message_for = if continues { self.message_for + of_message } else { Duration::ZERO };
        self.running = runs.map(|running| (running, now));
    }

    /// Notes how many of the sent bytes the peer has not received. A connection on which their number
    /// changes is not idle: the kernel accepts no more until a large part of its buffer is free, which
    /// takes long if the peer, or the network, is slow.
    fn note_in_transit(&mut self, bytes: usize) {
        if std::mem::replace(&mut self.in_transit, bytes) != bytes {
            self.idle_for = Duration::ZERO;
        }
    }

    /// Returns whether the clock of messages runs.
    fn runs_message(&self) -> bool {
        matches!(self.running, Some((Running::Both, _)))
    }

    /// Returns the deadline that has passed, once.
    pub(super) fn take_passed(&mut self, now: Instant) -> Option<Deadline> {
        let passed = self.passed();
        match (self.verdict, passed) {
            (Verdict::Reported, _) => None,
            (_, None) => {
                self.verdict = Verdict::No;
                None
            }
            (Verdict::Pending(since), Some(_)) if now - since >= SHORTEST => {
                self.verdict = Verdict::Reported;
                passed
            }
            (Verdict::Pending(_), Some(_)) => None,
            (Verdict::No, Some(_)) => {
                self.verdict = Verdict::Pending(now);
                None
            }
        }
    }

    /// Returns the deadline that has passed at the last comparison.
    fn passed(&self) -> Option<Deadline> {
        self.running?;
        let is_over = |limit: Option<Duration>, time| limit.is_some_and(|limit| time >= limit);
        if self.measures_message() && is_over(self.message, self.message_for) {
            Some(Deadline::Message)
        } else {
            is_over(self.idle, self.idle_for).then_some(Deadline::Idle)
        }
    }

    /// Returns whether a message has begun, and its clock runs.
    fn measures_message(&self) -> bool {
        self.runs_message() && self.seen.message.is_some()
    }

    /// Returns when the clocks must be compared next.
    pub(super) fn next(&self) -> Option<Instant> {
        let (_, since) = self.running?;
        match self.verdict {
            Verdict::No => self.pause().map(|pause| since + pause),
            Verdict::Pending(_) => Some(since + SHORTEST),
            Verdict::Reported => None,
        }
    }

    /// Returns how long after the last comparison the next one is planned.
    fn pause(&self) -> Option<Duration> {
        let until = |limit: Duration, time| {
            limit.saturating_sub(time).min((limit / COMPARISONS).max(SHORTEST))
        };
        let idle = self.idle.map(|limit| until(limit, self.idle_for));
        let message = self.message.filter(|_| self.measures_message());
        let message = message.map(|limit| until(limit, self.message_for));
        idle.into_iter().chain(message).min()
    }

    /// Forgets what a previous connection has done.
    pub(super) fn restart(&mut self) {
        (self.idle_for, self.message_for) = (Duration::ZERO, Duration::ZERO);
        (self.seen, self.in_transit) = (Activity::default(), 0);
        (self.running, self.verdict) = (None, Verdict::No);
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
            let in_transit = on_transport!(&self.transport, it => it.in_transit());
            if let Some(deadlines) = &mut self.deadlines {
                let now = Instant::now();
                deadlines.update(now, runs, activity);
                deadlines.note_in_transit(in_transit);
                let passed = deadlines.take_passed(now);
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

    /// Compares the clocks whenever that is due, until `end`. Returns the deadline that has passed.
    fn run_until(
        clocks: &mut Deadlines,
        end: Instant,
        runs: Option<Running>,
        activity: Activity,
    ) -> Option<Deadline> {
        while let Some(at) = clocks.next().filter(|at| *at <= end) {
            clocks.update(at, runs, activity);
            let passed = clocks.take_passed(at);
            if passed.is_some() {
                return passed;
            }
        }
        None
    }

    #[test]
    fn a_connection_is_idle_after_the_limit_and_not_before() {
        let (mut clocks, start) = (deadlines(100, 0), Instant::now());
        clocks.update(start, BOTH, received(0));
        assert_eq!(clocks.next(), Some(start + 25 * MS));
        clocks.update(start + 25 * MS, BOTH, received(1));
        assert_eq!(run_until(&mut clocks, start + 125 * MS, BOTH, received(1)), None);
        assert_eq!(clocks.idle_for, 100 * MS);
        assert_eq!(clocks.next(), Some(start + 126 * MS), "it is compared once more");
        let passed = run_until(&mut clocks, start + 126 * MS, BOTH, received(1));
        assert_eq!(passed, Some(Deadline::Idle));
        clocks.update(start + 999 * MS, BOTH, received(1));
        assert_eq!(clocks.take_passed(start + 999 * MS), None, "reported once");
        assert_eq!(clocks.next(), None);
    }

    #[test]
    fn time_in_which_the_clocks_do_not_run_does_not_count() {
        let (mut clocks, start) = (deadlines(100, 0), Instant::now());
        clocks.update(start, BOTH, received(0));
        assert_eq!(run_until(&mut clocks, start + 60 * MS, BOTH, received(0)), None);
        assert!(clocks.is_outdated(None, &received(0)));
        clocks.update(start + 60 * MS, None, received(0));
        assert_eq!(clocks.next(), None);
        clocks.update(start + 1_000 * MS, BOTH, received(0));
        assert_eq!(run_until(&mut clocks, start + 1_040 * MS, BOTH, received(0)), None);
        let passed = run_until(&mut clocks, start + 1_041 * MS, BOTH, received(0));
        assert_eq!(passed, Some(Deadline::Idle));
    }

    #[test]
    fn time_in_which_the_process_is_stopped_counts_as_one_comparison() {
        let (mut clocks, start) = (deadlines(100, 100), Instant::now());
        let part = Activity { message: Some(7), ..received(1) };
        clocks.update(start, BOTH, part);
        clocks.update(start + 5_000 * MS, BOTH, part);
        assert_eq!((clocks.idle_for, clocks.message_for), (25 * MS, 25 * MS));
        assert_eq!(run_until(&mut clocks, start + 5_075 * MS, BOTH, part), None);
        let passed = run_until(&mut clocks, start + 5_076 * MS, BOTH, part);
        assert_eq!(passed, Some(Deadline::Message));
    }

    #[test]
    fn what_has_arrived_before_a_deadline_is_read_before_the_deadline_is_reported() {
        let (mut clocks, start) = (deadlines(100, 100), Instant::now());
        let part = Activity { message: Some(7), ..received(1) };
        clocks.update(start, BOTH, part);
        assert_eq!(run_until(&mut clocks, start + 100 * MS, BOTH, part), None);
        let again = clocks.next().expect("another comparison");
        assert_eq!(clocks.take_passed(start + 100 * MS), None, "at the same time");
        // The end of the message is read, and the next one has begun.
        clocks.update(again, BOTH, Activity { message: Some(8), ..received(2) });
        assert_eq!(clocks.take_passed(again), None);
        assert_eq!(clocks.next(), Some(again + 25 * MS));
    }

    #[test]
    fn a_connection_is_not_idle_while_the_peer_receives_what_was_sent_before() {
        let (mut clocks, start) = (deadlines(100, 0), Instant::now());
        clocks.update(start, BOTH, received(0));
        for step in 1..50 {
            clocks.update(start + 25 * MS * step, BOTH, received(0));
            clocks.note_in_transit(1_000 - step as usize);
            assert_eq!(clocks.take_passed(start + 25 * MS * step), None);
            assert_eq!(clocks.idle_for, Duration::ZERO);
        }
    }

    #[test]
    fn a_message_takes_no_time_while_only_the_peer_can_act() {
        let (mut clocks, start) = (deadlines(1_000, 100), Instant::now());
        let (part, idle) = (Activity { message: Some(7), ..received(1) }, Some(Running::Idle));
        clocks.update(start, BOTH, part);
        assert_eq!(run_until(&mut clocks, start + 50 * MS, BOTH, part), None);
        clocks.update(start + 50 * MS, idle, part);
        assert_eq!(clocks.next(), Some(start + 300 * MS));
        assert_eq!(run_until(&mut clocks, start + 1_000 * MS, idle, part), None);
        let passed = run_until(&mut clocks, start + 1_001 * MS, idle, part);
        assert_eq!(passed, Some(Deadline::Idle));
    }

    #[test]
    fn a_message_is_late_although_bytes_of_it_arrive() {
        let (mut clocks, start) = (deadlines(0, 100), Instant::now());
        let part = |bytes| Activity { message: Some(7), ..received(bytes) };
        clocks.update(start, BOTH, received(0));
        assert_eq!(clocks.next(), None, "no message has begun");
        assert!(clocks.is_outdated(BOTH, &part(1)));
        clocks.update(start + 500 * MS, BOTH, part(1));
        assert_eq!(clocks.next(), Some(start + 525 * MS));
        assert_eq!(run_until(&mut clocks, start + 550 * MS, BOTH, part(50)), None);
        assert_eq!(run_until(&mut clocks, start + 600 * MS, BOTH, part(51)), None);
        let passed = run_until(&mut clocks, start + 601 * MS, BOTH, part(52));
        assert_eq!(passed, Some(Deadline::Message));
    }

    #[test]
    fn each_message_has_its_own_time() {
        let (mut clocks, start) = (deadlines(0, 100), Instant::now());
        for number in 0..50 {
            let begun = start + 90 * MS * number;
            let part = Activity { message: Some(number.into()), ..received(number.into()) };
            clocks.update(begun, BOTH, part);
            assert_eq!(run_until(&mut clocks, begun + 89 * MS, BOTH, part), None);
        }
    }
}
