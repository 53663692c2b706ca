//! The memory of an outbox: payloads, and segments of frames that are sent together.

use std::cell::Cell;
use std::collections::VecDeque;

use fdwire_socket::ForeignFd;

/// Length in bytes from which a segment takes no more frames.
pub(super) const SEGMENT: usize = 64 * 1024;

/// Largest capacity of a queue whose memory is kept.
const QUEUE: usize = 32;

/// Frames that are sent together.
#[derive(Default)]
pub(super) struct Segment {
    pub(super) bytes: Vec<u8>,
    /// The number of bytes that the kernel has accepted.
    pub(super) sent: usize,
    /// The number of messages whose frames end in this segment.
    pub(super) messages: usize,
    /// Descriptors that are sent with the first byte.
    pub(super) fds: Vec<ForeignFd>,
    /// Whether it is sent alone, because it is the frame of a message with descriptors.
    pub(super) alone: bool,
}

impl Segment {
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }
}

/// A payload to send.
pub enum Payload<'a> {
    /// Memory that the caller keeps.
    Borrowed(&'a [u8]),
    /// The first bytes of a vector, which the outbox may take to avoid a copy.
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

/// The memory of one sent segment and of one empty queue, shared by the streams of a reactor, so
/// that an idle stream needs neither.
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
        if memory.capacity() <= 4 * SEGMENT {
            memory.clear();
            self.segment.set(memory);
        }
    }

    pub(super) fn take_queue(&self) -> VecDeque<Segment> {
        self.queue.take()
    }

    /// Takes back an empty queue.
    pub(super) fn give_queue(&self, queue: VecDeque<Segment>) {
        if (1..=QUEUE).contains(&queue.capacity()) {
            self.queue.set(queue);
        }
    }
}
