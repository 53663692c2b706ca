//! The memory of an outbox: frames that go out together, and what they are made of.

use std::cell::Cell;
use std::os::fd::OwnedFd;

/// A segment that holds so much gets no more (bytes).
pub(super) const SEGMENT: usize = 64 * 1024;

/// Frames that go out together.
#[derive(Default)]
pub(super) struct Segment {
    pub(super) bytes: Vec<u8>,
    /// How many of them the kernel has.
    pub(super) sent: usize,
    pub(super) messages: usize,
    /// Descriptors that go with the first byte.
    pub(super) fds: Vec<OwnedFd>,
    /// Whether it is one frame that has, or had, descriptors.
    pub(super) alone: bool,
}

impl Segment {
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }
}

/// A payload on its way into the outbox.
pub enum Payload<'a> {
    /// The caller's.
    Borrowed(&'a [u8]),
    /// The first bytes of memory that the outbox may keep, if that saves it a copy.
    Offered(&'a mut Vec<u8>, usize),
}

impl Payload<'_> {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Offered(memory, len) => &memory[..*len],
        }
    }

    pub(super) fn into_owned(self) -> Vec<u8> {
        match self {
            Self::Borrowed(bytes) => bytes.to_vec(),
            Self::Offered(memory, len) => {
                let mut bytes = std::mem::take(memory);
                bytes.truncate(len);
                bytes
            }
        }
    }
}

/// The memory of a segment that was sent: the streams of an environment share it.
#[derive(Default)]
pub(crate) struct Spare(Cell<Vec<u8>>);

impl Spare {
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.take()
    }

    pub(super) fn give(&self, mut memory: Vec<u8>) {
        if memory.capacity() <= 2 * SEGMENT {
            memory.clear();
            self.0.set(memory);
        }
    }
}
