//! The sending direction of a stream: framed messages, in order, until the kernel accepts them.
//!
//! ```text
//!  queue  │ partly sent ░░░ frames … │ frames, room for more … │ one frame with descriptors │ …
//!         └────── sendmsg with as many segments as fit ──────┘ └── a sendmsg of its own ──┘
//! ```
//!
//! Small frames are collected in a segment, which is sent once per tick, or when it exceeds the
//! high-water mark. A large payload is sent from the caller's memory, after the queue, and only
//! what the kernel does not accept is copied. Descriptors are sent with the first byte of their
//! frame, in a sendmsg without other frames, so that the receiver gets them with bytes of that
//! frame and no others.

pub(super) mod direct;
mod frames;
mod large;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fdwire_socket::{Errno, Stream};
use fdwire_wire::codec::{Codec, Encoded, Frame};

use crate::limits::Limits;
use crate::send::{Queued, SendError, Sent};
use crate::stream::link::Link;
use crate::stream::segment::{Payload, SEGMENT, Segment, SegmentPool};
use frames::Frames;

/// Length in bytes from which a payload is not copied into a segment.
const LARGE: usize = 32 * 1024;

/// Length in bytes above which a queue is sent at once, even below the high-water mark.
pub const FLUSH: usize = 128 * 1024;

/// What the caller of [`gather`](Outbox::gather) counts for the framing of a message, in bytes. It is
/// approximate. Three times as much is the longest framing: the block of `content_length` before a
/// gathered message.
pub const OVERHEAD: usize = 8;

/// Largest length of a gathered frame, as a multiple of what the caller counts for it. A text in
/// UTF-8 has up to three bytes for each UTF-16 code unit, and an escaped one two for each byte.
pub const EXPANSION: usize = 3;

/// Size in bytes, as the kernel reports it, of the send buffer that a stream requests when its
/// buffer is full for the first time. With a small buffer, two busy processes spend most of their
/// time waiting for each other.
const BUFFER: usize = 512 * 1024;

/// Maximum number of segments in one sendmsg.
const VECTOR: usize = 16;

/// The first and the longest pause after a transient error, in ms. Each pause is twice as long as
/// the previous one.
const RETRY_MS: (u16, u16) = (10, 1_000);

/// The sending direction of a stream.
pub(crate) struct Outbox {
    queue: VecDeque<Segment>,
    /// The number of queued bytes.
    bytes: usize,
    /// The number of bytes that the kernel has accepted.
    taken: u64,
    pool: Rc<SegmentPool>,
    wait: Wait,
    /// The number of queued descriptors.
    fds: usize,
    /// The last pause in ms; 0 after progress.
    pause_ms: u16,
    /// The length of the last frame's head, which is usually that of the next one.
    headroom: u8,
    /// Whether the send buffer has been enlarged.
    raised: bool,
    /// Whether a `send` has reported that the queue exceeds the high-water mark, and no `Drained`
    /// event has followed.
    full: bool,
    /// Whether the kernel has accepted bytes since `take_settled` was last called.
    settled: bool,
    /// Where frames end; None if the connection cannot be replaced.
    frames: Option<Box<Frames>>,
}

/// What the outbox waits for before it retries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Nothing,
    /// The socket becomes writable.
    Writable,
    /// This time comes.
    Until(Instant),
}

impl Outbox {
    pub(crate) fn new(pool: Rc<SegmentPool>) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            taken: 0,
            pool,
            wait: Wait::Nothing,
            fds: 0,
            pause_ms: 0,
            headroom: 0,
            raised: false,
            full: false,
            settled: false,
            frames: None,
        }
    }

    pub(crate) fn queued(&self) -> Queued {
        let messages = self.queue.iter().map(|segment| segment.messages).sum();
        Queued { messages, bytes: self.bytes, fds: self.fds }
    }

    /// Returns the positions in the stream, counted from 1, of the first queued byte, and of the
    /// next byte to be queued.
    pub(crate) fn seqs(&self) -> (Option<u64>, u64) {
        let oldest = (self.bytes > 0).then_some(self.taken + 1);
        (oldest, self.taken + self.bytes as u64 + 1)
    }

    /// Returns the number of bytes that the kernel has accepted.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Returns whether it waits for the socket to become writable.
    pub(crate) fn wants_writable(&self) -> bool {
        self.wait == Wait::Writable
    }

    /// Returns when to retry, if a pause is set.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.wait {
            Wait::Until(at) => Some(at),
            Wait::Nothing | Wait::Writable => None,
        }
    }

    /// Returns whether the kernel has accepted bytes since the last call.
    pub(crate) fn take_settled(&mut self) -> bool {
        std::mem::take(&mut self.settled)
    }

    /// Returns whether at most half of the high-water mark is queued after a `send` has reported
    /// that the queue exceeds it. Returns true once for each such report.
    pub(crate) fn take_drained(&mut self, limits: &Limits) -> bool {
        let drained = self.full
            && self.bytes <= limits.high_water_mark / 2
            && self.fds <= limits.fds_high_water_mark() / 2;
        self.full &= !drained;
        drained
    }

    /// Frames a message and queues it. Sends the queue at once if it is long.
    pub(crate) fn send(
        &mut self,
        link: &Link,
        codec: &Codec,
        limits: &Limits,
        payload: Payload<'_>,
        text: bool,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Sent, SendError> {
        let bytes = payload.bytes();
        if self.bytes + bytes.len() > limits.max_queued {
            // The queue may contain frames that no flush has tried to send.
            self.flush_quietly(link);
            if self.bytes > 0 && self.bytes + bytes.len() > limits.max_queued {
                return Err(SendError::QueueFull);
            }
        }
        if !fds.is_empty() {
            self.send_with_fds(link, codec, limits, bytes, text, fds)?;
        } else if bytes.len() < LARGE {
            self.append(codec, bytes, text)?;
        } else {
            match codec.frame(bytes, text).map_err(SendError::Unframeable)? {
                Frame::Around { head, tail } => {
                    self.send_large(link, head.as_bytes(), payload, tail);
                }
                Frame::Transformed => self.append(codec, bytes, text)?,
            }
        }
        Ok(self.after_send(link, limits))
    }

    /// Frames small messages and queues them, without a check of the limits: the caller has stayed
    /// within [`room`](Self::room). Each is a payload and whether it is text. A later call sends
    /// them. Adds what was queued to `total`.
    pub(crate) fn gather<'a>(
        &mut self,
        codec: &Codec,
        messages: impl Iterator<Item = (&'a [u8], bool)>,
        total: &mut Encoded,
    ) -> Result<(), SendError> {
        if self.frames.is_some() {
            return self.gather_singly(codec, messages, total);
        }
        let Some(last) = self.open_segment() else { return Ok(()) };
        let before = last.bytes.len();
        let encoded = codec.encode_all(messages, &mut last.bytes, total);
        last.messages += total.payloads;
        let len = last.bytes.len() - before;
        self.bytes += len;
        encoded.map_err(SendError::Unframeable)
    }

    /// Queues gathered messages one by one, to note where each ends.
    fn gather_singly<'a>(
        &mut self,
        codec: &Codec,
        messages: impl Iterator<Item = (&'a [u8], bool)>,
        total: &mut Encoded,
    ) -> Result<(), SendError> {
        for (payload, text) in messages {
            self.append(codec, payload, text)?;
            total.payloads += 1;
            total.bytes += payload.len();
        }
        Ok(())
    }

    /// Returns how many bytes [`gather`](Self::gather) accepts before the high-water mark or the
    /// limit of the queue is reached. No frame has more than three times as many bytes as a caller
    /// counts for it.
    pub(crate) fn room(&self, limits: &Limits) -> usize {
        if self.fds > limits.fds_high_water_mark() {
            return 0;
        }
        let mark = limits.high_water_mark.min(FLUSH).saturating_sub(self.bytes);
        mark.min(limits.max_queued.saturating_sub(self.bytes) / EXPANSION)
    }

    /// Sends until the queue is empty or the kernel accepts no more.
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

    /// Sends what the kernel accepts. An error is reported when the socket is polled next.
    pub(crate) fn flush_quietly(&mut self, link: &Link) {
        if let Link::Socket(socket) = link
            && self.bytes > 0
            && self.wait == Wait::Nothing
            && self.flush(socket).is_err()
        {
            self.wait = Wait::Writable;
        }
    }

    /// Returns all queued bytes, for a caller that transfers them. They count as queued until
    /// [`settle_fetched`](Self::settle_fetched).
    pub(crate) fn fetch(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for segment in self.queue.drain(..) {
            if bytes.is_empty() {
                bytes = segment.bytes;
            } else {
                bytes.extend_from_slice(&segment.bytes);
            }
        }
        self.pool.give_queue(std::mem::take(&mut self.queue));
        bytes
    }

    /// Counts fetched bytes as sent.
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
        self.note_frame();
        Ok(())
    }

    /// Returns the segment for the next frame, which may stay empty.
    fn open_segment(&mut self) -> Option<&mut Segment> {
        if !self.queue.back().is_some_and(|last| !last.alone && last.bytes.len() < SEGMENT) {
            let bytes = self.pool.take_segment();
            self.push(Segment { bytes, ..Segment::default() });
        }
        self.queue.back_mut()
    }

    fn push(&mut self, segment: Segment) {
        if self.queue.capacity() == 0 {
            self.queue = self.pool.take_queue();
        }
        self.queue.push_back(segment);
    }

    /// Sends what exceeds the high-water mark, and reports whether the queue still exceeds it.
    #[inline]
    fn after_send(&mut self, link: &Link, limits: &Limits) -> Sent {
        let limit = limits.high_water_mark;
        if self.bytes > limit.min(FLUSH) {
            self.flush_quietly(link);
        }
        if self.bytes <= limit && self.fds <= limits.fds_high_water_mark() {
            return Sent::Now;
        }
        self.full = true;
        Sent::Queued(self.taken + self.bytes as u64)
    }

    /// Counts queued bytes as sent, and drops the segments that have been sent completely.
    fn settle(&mut self, mut bytes: usize) {
        self.bytes -= bytes;
        self.taken += bytes as u64;
        self.settled |= bytes > 0;
        self.pause_ms = 0;
        self.forget_sent_frames();
        while let Some(front) = self.queue.front_mut() {
            if bytes > 0 {
                // Descriptors go with the first byte.
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
                self.pool.give_segment(done.bytes);
            }
        }
        self.pool.give_queue(std::mem::take(&mut self.queue));
    }

    fn wait_after(&mut self, errno: Errno) -> Result<(), Errno> {
        match errno {
            Errno::AGAIN => self.wait = Wait::Writable,
            // Too many descriptors are in flight, or memory is short. No readiness reports when
            // this ends.
            Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM => {
                let (first, longest) = RETRY_MS;
                self.pause_ms = (self.pause_ms * 2).clamp(first, longest);
                let pause = Duration::from_millis(self.pause_ms.into());
                self.wait = Wait::Until(Instant::now() + pause);
            }
            errno => return Err(errno),
        }
        Ok(())
    }
}
