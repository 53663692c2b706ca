//! What a stream has to send: framed messages in the order of the calls, until the kernel takes them.
//!
//! ```text
//!  queue  │ part sent ░░░░ frames … │ frames, room for more … │ one frame with descriptors │ …
//!         └──────── sendmsg with as many as go at once ──────┘ └── a sendmsg of its own ──┘
//! ```
//!
//! Small frames gather in a segment, and go out once a tick or when there are more than the
//! high-water mark. A large payload goes out from where the caller has it, behind what waits; only
//! what the kernel doesn't take at once is copied. Descriptors go with the first byte of their frame,
//! and nothing stands before or behind that in their sendmsg: a receiver gets them with the bytes that
//! they were sent with, and must know whose they are.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fdwire_socket::{Errno, Stream};
use fdwire_wire::codec::{Codec, Frame};

use crate::limits::Limits;
use crate::send::{SendError, Sent, duplicate};

/// A payload from this length on (bytes) is not copied into a segment first.
const LARGE: usize = 32 * 1024;

/// More than the high-water mark goes out at once, and so does this (bytes).
const FLUSH: usize = 128 * 1024;

/// A segment that holds so much gets no more (bytes).
const SEGMENT: usize = 64 * 1024;

/// The most segments of one sendmsg.
const VECTOR: usize = 16;

/// The pauses after an error that passes: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

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

    fn into_owned(self) -> Vec<u8> {
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
    fn take(&self) -> Vec<u8> {
        self.0.take()
    }

    fn give(&self, mut memory: Vec<u8>) {
        if memory.capacity() <= 2 * SEGMENT {
            memory.clear();
            self.0.set(memory);
        }
    }
}

/// The sending direction of a stream.
pub(crate) struct Outbox {
    queue: VecDeque<Segment>,
    /// Bytes that the kernel hasn't taken.
    bytes: usize,
    /// Bytes that it has.
    taken: u64,
    spare: Rc<Spare>,
    wait: Wait,
    pause: Duration,
    /// A `send` has been told that there is more than the high-water mark.
    full: bool,
    /// Something was taken since the last question.
    settled: bool,
}

/// What the outbox waits for before it tries again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Nothing,
    /// The socket to be writable.
    Writable,
    /// Its time.
    Until(Instant),
}

/// Frames that go out together.
#[derive(Default)]
struct Segment {
    bytes: Vec<u8>,
    /// How many of them the kernel has.
    sent: usize,
    messages: usize,
    /// Descriptors that go with the first byte.
    fds: Vec<OwnedFd>,
    /// Whether it is one frame that has, or had, descriptors.
    alone: bool,
}

impl Segment {
    fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }
}

impl Outbox {
    pub(crate) fn new(spare: Rc<Spare>) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            taken: 0,
            spare,
            wait: Wait::Nothing,
            pause: Duration::ZERO,
            full: false,
            settled: false,
        }
    }

    /// Messages, bytes and descriptors that are queued.
    pub(crate) fn queued(&self) -> (usize, usize, usize) {
        let messages = self.queue.iter().map(|segment| segment.messages).sum();
        let fds = self.queue.iter().map(|segment| segment.fds.len()).sum();
        (messages, self.bytes, fds)
    }

    /// The places in the stream, counted from 1, of the first byte that the kernel hasn't taken, and of
    /// the next to be sent.
    pub(crate) fn seqs(&self) -> (Option<u64>, u64) {
        let oldest = (self.bytes > 0).then_some(self.taken + 1);
        (oldest, self.taken + self.bytes as u64 + 1)
    }

    /// Whether nothing is queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether it waits for the socket to be writable.
    pub(crate) fn wants_writable(&self) -> bool {
        self.wait == Wait::Writable
    }

    /// Whether something is queued and nothing waited for.
    pub(crate) fn is_due(&self) -> bool {
        self.bytes > 0 && self.wait == Wait::Nothing
    }

    /// When to try again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.wait {
            Wait::Until(at) => Some(at),
            _ => None,
        }
    }

    /// Whether something was taken since the last call.
    pub(crate) fn take_settled(&mut self) -> bool {
        std::mem::take(&mut self.settled)
    }

    /// Whether no more than half of the high-water mark is left after a `send` that was told of more.
    pub(crate) fn take_drained(&mut self, limits: &Limits) -> bool {
        let drained = self.full && self.bytes <= limits.high_water_mark / 2;
        self.full &= !drained;
        drained
    }

    /// Frames a message and queues it; what goes out at once depends on how much there is.
    ///
    /// `socket` is None where the bytes are fetched instead.
    pub(crate) fn send(
        &mut self,
        socket: Option<&Stream>,
        codec: &Codec,
        limits: &Limits,
        payload: Payload<'_>,
        text: bool,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Sent, SendError> {
        let bytes = payload.bytes();
        if self.bytes + bytes.len() > limits.max_queued {
            // It may be that nobody has tried yet.
            self.flush_quietly(socket);
            if self.bytes > 0 && self.bytes + bytes.len() > limits.max_queued {
                return Err(SendError::QueueFull);
            }
        }
        if !fds.is_empty() {
            self.send_with_fds(socket, codec, limits, bytes, text, fds)?;
        } else if bytes.len() < LARGE {
            self.append(codec, bytes, text)?;
        } else {
            match codec.frame(bytes, text).map_err(SendError::Unframeable)? {
                Frame::Around { head, tail } => {
                    self.send_large(socket, head.as_bytes(), payload, tail);
                }
                Frame::Transformed => self.append(codec, bytes, text)?,
            }
        }
        let limit = limits.high_water_mark;
        if self.bytes > limit.min(FLUSH) {
            self.flush_quietly(socket);
        }
        if self.bytes <= limit {
            return Ok(Sent::Now);
        }
        self.full = true;
        Ok(Sent::Queued(self.taken + self.bytes as u64))
    }

    /// Sends until nothing is left or the kernel takes no more.
    pub(crate) fn flush(&mut self, socket: &Stream) -> Result<(), Errno> {
        self.wait = Wait::Nothing;
        while let Some(front) = self.queue.front() {
            let result = if front.alone || self.queue.len() == 1 {
                let fds: Vec<BorrowedFd<'_>> = front.fds.iter().map(AsFd::as_fd).collect();
                socket.send(&[IoSlice::new(front.unsent())], &fds)
            } else {
                let together = self.queue.iter().take_while(|segment| !segment.alone).take(VECTOR);
                let slices: Vec<_> =
                    together.map(|segment| IoSlice::new(segment.unsent())).collect();
                socket.send(&slices, &[])
            };
            match result {
                Ok(sent) => self.settle(sent),
                Err(errno) => return self.wait_after(errno),
            }
        }
        Ok(())
    }

    /// Takes all that is queued, for somebody who writes it elsewhere; `settle` is due for it.
    pub(crate) fn fetch(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for segment in self.queue.drain(..) {
            if bytes.is_empty() {
                bytes = segment.bytes;
            } else {
                bytes.extend_from_slice(&segment.bytes);
            }
        }
        bytes
    }

    /// So many bytes that were fetched have been taken.
    pub(crate) fn settle_fetched(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.taken += bytes as u64;
        self.settled = true;
    }

    fn append(&mut self, codec: &Codec, payload: &[u8], text: bool) -> Result<(), SendError> {
        let open = self.queue.back().is_some_and(|last| !last.alone && last.bytes.len() < SEGMENT);
        if !open {
            let bytes = self.spare.take();
            self.queue.push_back(Segment { bytes, ..Segment::default() });
        }
        let Some(last) = self.queue.back_mut() else { return Ok(()) };
        let before = last.bytes.len();
        let encoded = codec.encode(payload, text, &mut last.bytes);
        self.bytes += last.bytes.len() - before;
        last.messages += 1;
        if encoded.is_err() {
            last.messages -= 1;
            if !open {
                self.queue.pop_back();
            }
        }
        encoded.map_err(SendError::Unframeable)
    }

    /// Sends what waits and a frame behind it, and queues what the kernel doesn't take.
    fn send_large(
        &mut self,
        socket: Option<&Stream>,
        head: &[u8],
        payload: Payload<'_>,
        tail: &'static [u8],
    ) {
        let mut sent = 0;
        if let Some(socket) = socket
            && self.wait == Wait::Nothing
            && self.queue.len() < VECTOR
            && self.queue.iter().all(|segment| !segment.alone)
        {
            let waiting = self.queue.iter().map(|segment| IoSlice::new(segment.unsent()));
            let frame = [head, payload.bytes(), tail].map(IoSlice::new);
            let slices: Vec<_> = waiting.chain(frame).collect();
            let before = self.bytes;
            match socket.send(&slices, &[]) {
                Ok(taken) => {
                    self.settle(taken.min(before));
                    sent = taken.saturating_sub(before);
                    self.taken += sent as u64;
                }
                // What it is comes out again when the queue is sent.
                Err(_) => self.wait = Wait::Writable,
            }
        }
        self.push_unsent(head.to_vec(), sent);
        let mut skipped = sent.saturating_sub(head.len());
        let len = payload.bytes().len();
        if skipped < len {
            self.push_unsent(payload.into_owned(), skipped);
        }
        skipped = skipped.saturating_sub(len);
        self.push_unsent(tail.to_vec(), skipped);
        if let Some(last) = self.queue.back_mut() {
            last.messages += 1;
        }
    }

    /// Queues what is left of bytes of which so many are sent.
    fn push_unsent(&mut self, bytes: Vec<u8>, sent: usize) {
        if sent < bytes.len() {
            self.bytes += bytes.len() - sent;
            self.queue.push_back(Segment { bytes, sent, ..Segment::default() });
        }
    }

    fn send_with_fds(
        &mut self,
        socket: Option<&Stream>,
        codec: &Codec,
        limits: &Limits,
        payload: &[u8],
        text: bool,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        let Some(socket) = socket else { return Err(SendError::Refused(Errno::OPNOTSUPP)) };
        self.flush_quietly(Some(socket));
        let mut bytes = Vec::with_capacity(payload.len() + 32);
        codec.encode(payload, text, &mut bytes).map_err(SendError::Unframeable)?;
        let len = bytes.len();
        let mut sent = 0;
        if self.bytes == 0 && self.wait == Wait::Nothing {
            match socket.send(&[IoSlice::new(&bytes)], fds) {
                Ok(taken) => sent = taken,
                Err(errno @ (Errno::BADF | Errno::INVAL)) => return Err(SendError::Refused(errno)),
                // Later it may go, or it will come out then that the stream is lost.
                Err(_) => {}
            }
        }
        self.taken += sent as u64;
        if sent == len {
            return Ok(());
        }
        let queued: usize = self.queue.iter().map(|segment| segment.fds.len()).sum();
        let fds = if sent > 0 { Vec::new() } else { duplicate(fds)? };
        if queued + fds.len() > limits.max_queued_fds {
            return Err(SendError::QueueFull);
        }
        self.bytes += len - sent;
        self.queue.push_back(Segment { bytes, sent, messages: 1, fds, alone: true });
        self.flush_quietly(Some(socket));
        Ok(())
    }

    /// Sends what goes; an error is told when the socket is found ready with it.
    pub(crate) fn flush_quietly(&mut self, socket: Option<&Stream>) {
        let Some(socket) = socket else { return };
        if self.is_due() && self.flush(socket).is_err() {
            self.wait = Wait::Writable;
        }
    }

    /// The kernel has so many bytes more.
    fn settle(&mut self, mut bytes: usize) {
        self.bytes -= bytes;
        self.taken += bytes as u64;
        self.settled |= bytes > 0;
        self.pause = Duration::ZERO;
        while let Some(front) = self.queue.front_mut() {
            if bytes > 0 {
                // They went with the first byte.
                front.fds.clear();
            }
            let part = bytes.min(front.unsent().len());
            front.sent += part;
            bytes -= part;
            if !front.unsent().is_empty() {
                return;
            }
            if let Some(done) = self.queue.pop_front() {
                self.spare.give(done.bytes);
            }
        }
    }

    fn wait_after(&mut self, errno: Errno) -> Result<(), Errno> {
        match errno {
            Errno::AGAIN => self.wait = Wait::Writable,
            // Too many descriptors in flight, or no memory for now: no event tells when that is over.
            Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM => {
                self.pause = (self.pause * 2).clamp(RETRY.0, RETRY.1);
                self.wait = Wait::Until(Instant::now() + self.pause);
            }
            errno => return Err(errno),
        }
        Ok(())
    }
}
