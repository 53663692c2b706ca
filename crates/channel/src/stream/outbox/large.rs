//! Frames that are not collected in a segment: large ones, and those with descriptors.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use fdwire_socket::Errno;
use fdwire_wire::codec::Codec;

use super::{Outbox, VECTOR, Wait};
use crate::limits::Limits;
use crate::send::{SendError, duplicate};
use crate::stream::link::Link;
use crate::stream::segment::{Payload, Segment};

/// Number of bytes that are reserved for the framing of a message with descriptors.
const FRAMING: usize = 32;

impl Outbox {
    /// Sends the queue and a frame after it, and queues what the kernel does not accept.
    pub(super) fn send_large(
        &mut self,
        link: &Link,
        head: &[u8],
        payload: Payload<'_>,
        tail: &[u8],
    ) {
        let mut sent = 0;
        if let Link::Socket(socket) = link
            && self.wait == Wait::Nothing
            && self.queue.len() < VECTOR
            && self.queue.iter().all(|segment| !segment.alone)
        {
            let queued = self.queue.iter().map(|segment| IoSlice::new(segment.unsent()));
            let frame = [head, payload.bytes(), tail].map(IoSlice::new);
            let slices: Vec<_> = queued.chain(frame).collect();
            let before = self.bytes;
            match socket.send(&slices, &[]) {
                Ok(taken) => {
                    self.settle(taken.min(before));
                    sent = taken.saturating_sub(before);
                    self.taken += sent as u64;
                }
                // The flush reports the error.
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
        self.note_frame();
    }

    /// Queues bytes. The first `sent` of them have been sent.
    fn push_unsent(&mut self, bytes: Vec<u8>, sent: usize) {
        if sent < bytes.len() {
            self.bytes += bytes.len() - sent;
            self.push(Segment { bytes, sent, ..Segment::default() });
        }
    }

    /// Sends a frame with descriptors if the queue is empty, otherwise queues it.
    pub(super) fn send_with_fds(
        &mut self,
        link: &Link,
        codec: &Codec,
        limits: &Limits,
        payload: &[u8],
        text: bool,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        if matches!(link, Link::External { .. }) {
            return Err(SendError::Refused(Errno::OPNOTSUPP));
        }
        self.flush_quietly(link);
        let mut bytes = Vec::with_capacity(payload.len() + FRAMING);
        codec.encode(payload, text, &mut bytes).map_err(SendError::Unframeable)?;
        let len = bytes.len();
        let mut sent = 0;
        if let Some(socket) = link.socket()
            && self.bytes == 0
            && self.wait == Wait::Nothing
        {
            match socket.send(&[IoSlice::new(&bytes)], fds) {
                Ok(taken) => sent = taken,
                // With these errors no byte has entered the stream, and a retry would fail too.
                // EPERM: the receiver does not accept descriptors (SO_PASSRIGHTS).
                Err(errno @ (Errno::BADF | Errno::INVAL | Errno::PERM)) => {
                    return Err(SendError::Refused(errno));
                }
                // Any other error may be transient. If it is not, the flush reports it.
                Err(_) => {}
            }
        }
        self.taken += sent as u64;
        if sent == len {
            self.note_frame();
            return Ok(());
        }
        let fds = if sent > 0 { Vec::new() } else { duplicate(fds)? };
        if self.fds + fds.len() > limits.max_queued_fds {
            return Err(SendError::QueueFull);
        }
        self.bytes += len - sent;
        self.fds += fds.len();
        self.push(Segment { bytes, sent, messages: 1, fds, alone: true });
        self.note_frame();
        self.flush_quietly(link);
        Ok(())
    }
}
