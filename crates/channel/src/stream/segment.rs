//! The memory of an outbox: frames that go out together, and the payloads that they are made of.

use std::cell::Cell;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// A segment that holds this many bytes takes no more frames.
pub(super) const SEGMENT: usize = 64 * 1024;

/// The most segments that a queue has room for if its memory is kept.
const QUEUE: usize = 32;

/// Frames that go out together.
#[derive(Default)]
pub(super) struct Segment {
    pub(super) bytes: Vec<u8>,
    /// The number of bytes that the kernel has taken.
    pub(super) sent: usize,
    /// The number of messages whose frames end in this segment.
    pub(super) messages: usize,
    /// Descriptors that go with the first byte.
    pub(super) fds: Vec<OwnedFd>,
    /// Whether it is the one frame of a message with descriptors.
    pub(super) alone: bool,
}

impl Segment {
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }
}

/// A payload to send.
pub enum Payload<'a> {
    /// The caller's memory.
    Borrowed(&'a [u8]),
    /// The first bytes of memory that the outbox may keep if that saves a copy.
    Offered(&'a mut Vec<u8>, usize),
}

impl Payload<'_> {
    /// Returns the bytes.
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

/// The memory of one sent segment and of one empty queue, shared by the streams of a reactor: an
/// idle stream has neither.
#[derive(Default)]
pub(crate) struct SegmentPool {
    segment: Cell<Vec<u8>>,
    queue: Cell<VecDeque<Segment>>,
}

impl SegmentPool {
    pub(super) fn take_segment(&self) -> Vec<u8> {
        self.segment.take()
    }

    pub(super) fn give_segment(&self, mut memory: Vec<u8>) {
        if memory.capacity() <= 2 * SEGMENT {
            memory.clear();
            self.segment.set(memory);
        }
    }

    pub(super) fn take_queue(&self) -> VecDeque<Segment> {
        self.queue.take()
    }

    /// Takes an empty queue back.
    pub(super) fn give_queue(&self, queue: VecDeque<Segment>) {
        if (1..=QUEUE).contains(&queue.capacity()) {
            self.queue.set(queue);
        }
    }
}
