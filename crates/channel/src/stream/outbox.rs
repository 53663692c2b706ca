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

mod large;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fdwire_socket::{Errno, Stream};
use fdwire_wire::codec::{Codec, Frame};

use crate::limits::Limits;
use crate::send::{SendError, Sent};
use crate::stream::segment::{Payload, SEGMENT, Segment, Spare};

/// A payload from this length on (bytes) is not copied into a segment first.
const LARGE: usize = 32 * 1024;

/// More than the high-water mark goes out at once, and so does this (bytes).
const FLUSH: usize = 128 * 1024;

/// The longest text that is written into a segment at once (bytes).
pub const DIRECT: usize = 4 * 1024;

/// What a stream that has more to send than the kernel takes asks for as send buffer (bytes as the
/// kernel counts them): two processes that take turns to fill and to empty a small one mostly wait.
const BUFFER: usize = 512 * 1024;

/// The most segments of one sendmsg.
const VECTOR: usize = 16;

/// The pauses after an error that passes: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The sending direction of a stream.
pub(crate) struct Outbox {
    queue: VecDeque<Segment>,
    /// Bytes that the kernel hasn't taken.
    bytes: usize,
    /// Descriptors that it hasn't.
    fds: usize,
    /// Bytes that it has.
    taken: u64,
    spare: Rc<Spare>,
    headroom: usize,
    wait: Wait,
    pause: Duration,
    /// Whether the send buffer was made larger.
    raised: bool,
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

impl Outbox {
    pub(crate) fn new(spare: Rc<Spare>) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            fds: 0,
            taken: 0,
            spare,
            headroom: 0,
            wait: Wait::Nothing,
            pause: Duration::ZERO,
            raised: false,
            full: false,
            settled: false,
        }
    }

    /// Messages, bytes and descriptors that are queued.
    pub(crate) fn queued(&self) -> (usize, usize, usize) {
        let messages = self.queue.iter().map(|segment| segment.messages).sum();
        (messages, self.bytes, self.fds)
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

    /// Whether no more than half of a high-water mark is left after a `send` that was told of more.
    pub(crate) fn take_drained(&mut self, limits: &Limits) -> bool {
        let drained = self.full
            && self.bytes <= limits.high_water_mark / 2
            && self.fds <= limits.many_queued_fds() / 2;
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
        Ok(self.after_send(socket, limits))
    }

    /// Memory to write a small text into, behind as many bytes as [`headroom`](Self::headroom) says;
    /// there is room for [`DIRECT`] bytes. [`close`](Self::close) makes a frame of it.
    ///
    /// What is written elsewhere first is copied, and a processor that reads in large pieces what it
    /// has just written in small ones has to wait for that.
    pub(crate) fn open(&mut self, limits: &Limits) -> Option<&mut Vec<u8>> {
        if self.bytes + DIRECT > limits.max_queued {
            return None;
        }
        let room = self.headroom + DIRECT;
        let last = self.open_segment()?;
        last.bytes.reserve(room);
        Some(&mut last.bytes)
    }

    /// How long the last head was: the next is mostly as long.
    pub(crate) fn headroom(&self) -> usize {
        self.headroom
    }

    /// Frames the payload that stands behind the headroom from `start` on in the memory of `open`.
    pub(crate) fn close(
        &mut self,
        socket: Option<&Stream>,
        codec: &Codec,
        limits: &Limits,
        start: usize,
        text: bool,
    ) -> Result<Sent, SendError> {
        let guess = self.headroom;
        let Some(last) = self.queue.back_mut() else { return Ok(Sent::Now) };
        let (head, tail) = match codec.frame(&last.bytes[start + guess..], text) {
            Ok(Frame::Around { head, tail }) => (head, tail),
            Ok(Frame::Transformed) => {
                let payload = last.bytes.split_off(start + guess);
                last.bytes.truncate(start);
                self.append(codec, &payload, text)?;
                return Ok(self.after_send(socket, limits));
            }
            Err(why) => {
                last.bytes.truncate(start);
                return Err(SendError::Unframeable(why));
            }
        };
        let head = head.as_bytes();
        if head.len() == guess {
            last.bytes[start..start + guess].copy_from_slice(head);
        } else {
            last.bytes.splice(start..start + guess, head.iter().copied());
            self.headroom = head.len();
        }
        last.bytes.extend_from_slice(tail);
        last.messages += 1;
        self.bytes += last.bytes.len() - start;
        Ok(self.after_send(socket, limits))
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
                Err(Errno::AGAIN) if !std::mem::replace(&mut self.raised, true) => {
                    let _ = socket.raise_send_buffer(BUFFER);
                }
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
        let Some(last) = self.open_segment() else { return Ok(()) };
        let before = last.bytes.len();
        codec.encode(payload, text, &mut last.bytes).map_err(SendError::Unframeable)?;
        last.messages += 1;
        let len = last.bytes.len() - before;
        self.bytes += len;
        Ok(())
    }

    /// The segment for the next frame; it may stay empty.
    fn open_segment(&mut self) -> Option<&mut Segment> {
        if !self.queue.back().is_some_and(|last| !last.alone && last.bytes.len() < SEGMENT) {
            let bytes = self.spare.take();
            self.queue.push_back(Segment { bytes, ..Segment::default() });
        }
        self.queue.back_mut()
    }

    /// Sends what is more than the high-water mark; whether more is left.
    #[inline]
    fn after_send(&mut self, socket: Option<&Stream>, limits: &Limits) -> Sent {
        let limit = limits.high_water_mark;
        if self.bytes > limit.min(FLUSH) {
            self.flush_quietly(socket);
        }
        if self.bytes <= limit && self.fds <= limits.many_queued_fds() {
            return Sent::Now;
        }
        self.full = true;
        Sent::Queued(self.taken + self.bytes as u64)
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
                self.fds -= front.fds.len();
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
