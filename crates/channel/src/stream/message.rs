//! Delivers or refuses the messages of a stream, with their descriptors.

use std::ops::Range;

use fdwire_socket::ForeignFd;
use fdwire_socket::closing::discard;

use crate::PayloadKind;
use crate::batch::{Batch, Event, Message, Refusal, Sender};
use crate::limits::Meter;

/// The descriptors that were received with bytes of one message.
#[derive(Default)]
pub(super) struct ReceivedFds {
    fds: Vec<ForeignFd>,
    /// Whether the kernel could not install all of them.
    truncated: bool,
    /// Whether there were more than the limit.
    too_many: bool,
}

impl ReceivedFds {
    /// Wraps the descriptors of one receive.
    pub(super) fn new(fds: Vec<ForeignFd>, truncated: bool) -> Self {
        Self { fds, truncated, too_many: false }
    }

    /// Returns whether no descriptors came.
    pub(super) fn is_empty(&self) -> bool {
        self.fds.is_empty() && !self.is_refused()
    }

    /// Adds descriptors that came later with the same message, which may have up to `max_fds`.
    ///
    /// Above the limit all are closed at once, so that a frame that never ends cannot accumulate
    /// them.
    pub(super) fn append(&mut self, other: &mut Self, max_fds: usize) {
        self.fds.append(&mut other.fds);
        self.truncated |= std::mem::take(&mut other.truncated);
        self.too_many |= std::mem::take(&mut other.too_many) || self.fds.len() > max_fds;
        if self.is_refused() {
            discard(&mut self.fds);
        }
    }

    /// Returns why a message with these descriptors is refused, if it is.
    fn refusal(&self, max_fds: usize) -> Option<Refusal> {
        if self.is_empty() {
            return None;
        }
        // With a limit of 0, a descriptor that the kernel could not install is also one too many.
        if self.too_many || self.fds.len() > max_fds || max_fds == 0 {
            return Some(Refusal::TooManyFds);
        }
        self.truncated.then_some(Refusal::FdsTruncated)
    }

    fn is_refused(&self) -> bool {
        self.truncated || self.too_many
    }
}

impl Drop for ReceivedFds {
    fn drop(&mut self) {
        discard(&mut self.fds);
    }
}

/// Where the payload of a message is.
pub(super) enum Place {
    /// In the slab.
    Slab(Range<usize>),
    /// In its own allocation.
    Large(LargePayload),
}

/// A frame in its own allocation.
pub(super) struct LargePayload {
    pub(super) frame: Vec<u8>,
    /// The range of the payload within the frame.
    pub(super) payload: Range<usize>,
}

/// Adds a message to the batch, or its refusal because of its descriptors.
#[inline]
pub(super) fn deliver(
    place: Place,
    kind: PayloadKind,
    mut received: ReceivedFds,
    meter: &mut Meter,
    batch: &mut Batch<'_>,
) {
    if let Some(why) = received.refusal(meter.limits.max_fds) {
        let sample = match &place {
            Place::Slab(at) => batch.keep_sample_at(at.clone()),
            Place::Large(large) => batch.keep_sample_of(&large.frame[large.payload.clone()]),
        };
        drop(received);
        return refuse(why, sample, meter, batch);
    }
    let first = batch.fds.len();
    batch.fds.append(&mut received.fds);
    let fds = first..batch.fds.len();
    let count = fds.len();
    let message = Message { kind, fds, from: Sender::Peer, credentials: None };
    match place {
        Place::Slab(at) => {
            meter.received(at.len(), count);
            if count == 0 {
                batch.push_plain(at, kind);
            } else {
                batch.push_message(at, message);
            }
        }
        Place::Large(LargePayload { frame, payload }) => {
            meter.received(payload.len(), count);
            batch.events.push(Event::Large(frame, payload, message));
        }
    }
}

/// Adds the refusal of a message to the batch.
pub(super) fn refuse(why: Refusal, sample: Range<usize>, meter: &mut Meter, batch: &mut Batch<'_>) {
    meter.counters.refused += 1;
    batch.events.push(Event::Refused(why, sample, Sender::Peer));
}

/// Copies the first bytes of `range` of the free part of the slab as a sample.
pub(super) fn sample_of(batch: &mut Batch<'_>, range: Range<usize>) -> Range<usize> {
    let at = batch.place(&range);
    batch.keep_sample_at(at)
}
