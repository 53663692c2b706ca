//! A reactor with one channel, and what it reports.

use std::ops::Range;
use std::time::Duration;

use fdwire_channel::{Batch, Event, Limits, NAMES, PayloadKind, ROOM, Reactor};
use fdwire_socket::ForeignFd;

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
    pub(crate) fn new() -> Self {
        // Smaller than that of the addon, so that large frames get memory of their own sooner.
        Self {
            reactor: Reactor::new().expect("epoll is available"),
            slab: vec![0; 2 * ROOM + NAMES],
        }
    }

    /// Runs turns until no channel has anything to do. Waits until one has, if `waits`.
    pub(crate) fn run(&mut self, waits: bool) -> Vec<Report> {
        let timeout = if waits { TIMEOUT } else { Duration::ZERO };
        self.reactor.poll(timeout).expect("epoll_wait succeeds");
        let mut reports = Vec::new();
        loop {
            let mut batch = Batch::new(&mut self.slab, Vec::new(), Vec::new(), Vec::new());
            if self.reactor.turn(&mut batch).is_none() {
                return reports;
            }
            take(&mut batch, &mut reports);
        }
    }
}

fn take(batch: &mut Batch<'_>, reports: &mut Vec<Report>) {
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
            Event::Messages(spans) => reports.extend(spans.map(|index| small(index, Vec::new()))),
            Event::Message(index, message) => reports.push(small(index, taken(message.fds))),
            Event::Large(bytes, payload, message) => reports.push(Report::Message(Received {
                bytes: bytes[payload].to_vec(),
                is_text: matches!(message.kind, PayloadKind::Text(_)),
                fds: taken(message.fds),
            })),
            other => reports.push(Report::Other(other)),
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
        max_queued_fds: 1_024,
        memfd: false,
        send_timeout: None,
        busy_poll: Duration::ZERO,
    }
}
