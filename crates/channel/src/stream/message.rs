//! Messages of a stream with their descriptors, delivered or refused.

use std::ops::Range;
use std::os::fd::OwnedFd;

use crate::PayloadKind;
use crate::batch::{Batch, Event, Message, Refusal, Sender};
use crate::limits::Meter;

/// Descriptors that came with bytes, as long as their message may be delivered.
#[derive(Default)]
pub(super) struct Received {
    pub(super) fds: Vec<OwnedFd>,
    pub(super) truncated: bool,
    too_many: bool,
}

impl Received {
    /// What a receiving call brought.
    pub(super) fn new(fds: Vec<OwnedFd>, truncated: bool) -> Self {
        Self { fds, truncated, too_many: false }
    }

    /// Adds what came later with the same message, of which `most` are allowed. More are closed at once:
    /// a frame that never ends would hold them for ever.
    pub(super) fn append(&mut self, other: &mut Self, most: usize) {
        self.fds.append(&mut other.fds);
        self.truncated |= std::mem::take(&mut other.truncated);
        self.too_many |= std::mem::take(&mut other.too_many) || self.fds.len() > most;
        if self.is_refused() {
            self.fds.clear();
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.truncated || self.too_many
    }
}

/// Where the payload of a message is.
pub(super) enum Place {
    Slab(Range<usize>),
    Large(Large),
}

/// A frame in memory of its own.
pub(super) struct Large {
    pub(super) bytes: Vec<u8>,
    pub(super) payload: Range<usize>,
}

/// Tells a message, or that it is refused for its descriptors.
#[inline]
pub(super) fn push(
    place: Place,
    kind: PayloadKind,
    received: &mut Received,
    meter: &mut Meter,
    batch: &mut Batch<'_>,
) {
    let first = batch.fds.len();
    if !received.fds.is_empty() || received.is_refused() {
        // With a limit of 0 what the kernel could not install was too many as well.
        let most = meter.limits.max_fds;
        let too_many = received.too_many || received.fds.len() > most || most == 0;
        if too_many || received.truncated {
            received.fds.clear();
            let why = if too_many { Refusal::TooManyFds } else { Refusal::FdsTruncated };
            let sample = match &place {
                Place::Slab(at) => batch.keep_sample_at(at.clone()),
                Place::Large(large) => batch.keep_sample_of(&large.bytes[large.payload.clone()]),
            };
            refuse(why, sample, meter, batch);
            return;
        }
        batch.fds.append(&mut received.fds);
    }
    let fds = first..batch.fds.len();
    let message = Message { kind, fds: fds.clone(), from: Sender::Peer, credentials: None };
    match place {
        Place::Slab(at) => {
            meter.received(at.len(), fds.len());
            batch.events.push(Event::Message(at, message));
        }
        Place::Large(Large { bytes, payload }) => {
            meter.received(payload.len(), fds.len());
            batch.events.push(Event::Large(bytes, payload, message));
        }
    }
}

pub(super) fn refuse(why: Refusal, sample: Range<usize>, meter: &mut Meter, batch: &mut Batch<'_>) {
    meter.counters.refused += 1;
    batch.events.push(Event::Refused(why, sample, Sender::Peer));
}

/// A copy of the first bytes of `range` of the free part.
pub(super) fn sample_of(batch: &mut Batch<'_>, range: Range<usize>) -> Range<usize> {
    let at = batch.place(&range);
    batch.keep_sample_at(at)
}
