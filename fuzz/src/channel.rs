//! A reactor with one channel, and what it reports.

use std::ops::Range;
use std::time::{Duration, Instant};

use fdwire_channel::{Batch, Event, Limits, NAMES, PayloadKind, ROOM, Reactor};
use fdwire_socket::{Errno, ForeignFd};

/// How long a step may take. Nothing here waits for anything but its own process.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A message of the channel.
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_text: bool,
    pub(crate) fds: Vec<ForeignFd>,
}

/// What a channel reports.
pub(crate) enum Report {
    Message(Received),
    Other(Event),
}

pub(crate) struct Driver {
    pub(crate) reactor: Reactor,
    slab: Vec<u8>,
}

impl Driver {
    pub(crate) fn new() -> Result<Self, Errno> {
        // Smaller than that of the addon, so that large frames get memory of their own sooner.
        Ok(Self { reactor: Reactor::new()?, slab: vec![0; 2 * ROOM + NAMES] })
    }

    /// Runs turns until no channel has anything to do. Waits until one has, if `waits`.
    pub(crate) fn run(&mut self, waits: bool) -> Vec<Report> {
        let reports = self.try_run(waits).expect("epoll_wait succeeds");
        reports.into_iter().map(|(_, report)| report).collect()
    }

    /// Does the same, and returns the channel of each report.
    pub(crate) fn try_run(&mut self, waits: bool) -> Result<Vec<(usize, Report)>, Errno> {
        let end = Instant::now() + if waits { TIMEOUT } else { Duration::ZERO };
        let mut reports = Vec::new();
        loop {
            self.reactor.poll(end.saturating_duration_since(Instant::now()))?;
            loop {
                let mut batch = Batch::new(&mut self.slab, Vec::new(), Vec::new(), Vec::new());
                let Some(channel) = self.reactor.turn(&mut batch) else { break };
                take(&mut batch, |report| reports.push((channel, report)));
            }
            // A wakeup may have nothing to report.
            if !reports.is_empty() || Instant::now() >= end {
                return Ok(reports);
            }
        }
    }
}

fn take(batch: &mut Batch<'_>, mut report: impl FnMut(Report)) {
    let mut fds: Vec<Option<ForeignFd>> = batch.fds.drain(..).map(Some).collect();
    let mut taken = |range: Range<usize>| -> Vec<ForeignFd> {
        fds[range].iter_mut().map(|fd| fd.take().expect("a descriptor has one message")).collect()
    };
    for event in std::mem::take(&mut batch.events) {
        let small = |index: usize, fds| {
            let span = batch.spans[index];
            let is_text = matches!(span.kind, PayloadKind::Text(_));
            Report::Message(Received { bytes: batch.bytes(span.range()).to_vec(), is_text, fds })
        };
        match event {
            Event::Messages(spans) => spans.for_each(|index| report(small(index, Vec::new()))),
            Event::Message(index, message) => report(small(index, taken(message.fds))),
            Event::Large(bytes, payload, message) => report(Report::Message(Received {
                bytes: bytes[payload].to_vec(),
                is_text: matches!(message.kind, PayloadKind::Text(_)),
                fds: taken(message.fds),
            })),
            other => report(Report::Other(other)),
        }
    }
    assert!(fds.iter().all(Option::is_none), "every descriptor belongs to a message");
}

/// The limits of a channel, large enough that no input of a few kilobytes reaches them.
pub(crate) fn limits() -> Limits {
    Limits {
        max_message: 1 << 24,
        max_fds: 253,
        max_open_fds: 1_024,
        high_water_mark: 64 * 1024,
        max_queued: 1 << 24,
        max_queued_total: usize::MAX,
        max_queued_fds: 1_024,
        memfd: false,
        send_timeout: None,
        idle_timeout: None,
        message_timeout: None,
        busy_poll: Duration::ZERO,
    }
}
