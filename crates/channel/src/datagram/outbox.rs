//! The sending direction of a datagram transport: a queue for each destination.
//!
//! A destination has a queue only while something is queued for it. The kernel reports in different
//! ways that it accepts datagrams again, depending on why it has refused one. So a queue stores
//! what it waits for:
//!
//! | the kernel refuses a datagram because | the queue waits until |
//! | --- | --- |
//! | the queue of the peer of a connected socket is full | the socket itself is writable |
//! | the queue of the receiver is full | an unbound socket, connected to it, is writable |
//! | the receiver occupies its share of our send buffer | any receiver reads (`poll.rs`), or a pause ends |
//! | the kernel is out of memory, or too many descriptors are in flight | a pause ends |
//!
//! Every queue also waits for its oldest message to expire.

mod evict;
mod flush;
mod hold;
mod waits;

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Datagram, Errno, ForeignFd};
use fdwire_wire::jsoncomm;
use slab::Slab;

use super::attempt::{Blocked, Failure, attempt};
use super::memfd::{goes_in_memfd, memfd_for};
use super::queue::{ENTRY, Queue, QueuedMessage, Wait};
use super::share::Shares;
use crate::Site;
use crate::limits::{Counters, Limits};
use crate::send::{Queued, SendError, Sent, duplicate};
use evict::Evictions;

/// Length in bytes of a message that fits into the smallest send buffer that a socket can have.
const ALWAYS_FITS: usize = 4_096;

/// The most by which a message expires later than its timeout says.
const TOGETHER: Duration = Duration::from_millis(1);

/// The sending direction of a datagram or seqpacket socket.
pub(crate) struct Outbox {
    /// The indices of the queues by destination.
    by_name: HashMap<Address, usize>,
    /// The index of the queue of the peer.
    peer: Option<usize>,
    queues: Slab<Queue>,
    /// The deadlines of the queues.
    timers: BTreeSet<(Instant, usize)>,
    /// None if the socket is connected.
    shares: Option<Box<Shares>>,
    /// The sequence number of the message that was queued last.
    seq: u64,
    /// The sums over all queues.
    queued: Queued,
    evictions: Evictions,
    /// The number of bytes in memfds that the peer may not have received yet.
    memfd_bytes: usize,
    /// The number of queues that wait for write-space edges.
    edge_takers: usize,
    /// When the newest message with a timeout expires.
    last_expiry: Option<Instant>,
    /// Whether nothing is sent, because the connection is lost.
    held: bool,
    /// Whether the connection can be replaced: then its loss drops no message.
    reconnects: bool,
    /// Whether queued messages were sent or dropped since `take_settled` was called last.
    settled: bool,
}

/// The parts of a channel that its outbox uses.
pub(crate) struct Context<'a> {
    pub(crate) socket: &'a Datagram,
    pub(crate) site: Site<'a>,
    pub(crate) limits: &'a Limits,
    pub(crate) counters: &'a mut Counters,
}

impl Outbox {
    /// Creates an outbox. `shares` is None if the socket is connected.
    pub(crate) fn new(shares: Option<Shares>) -> Self {
        Self {
            by_name: HashMap::new(),
            peer: None,
            queues: Slab::new(),
            timers: BTreeSet::new(),
            shares: shares.map(Box::new),
            seq: 0,
            queued: Queued::default(),
            evictions: Evictions::default(),
            memfd_bytes: 0,
            edge_takers: 0,
            last_expiry: None,
            held: false,
            reconnects: false,
            settled: false,
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.shares.is_none()
    }

    /// Returns whether queued messages were sent or dropped since the last call.
    pub(crate) fn take_settled(&mut self) -> bool {
        std::mem::take(&mut self.settled)
    }

    pub(crate) fn queued(&self) -> Queued {
        self.queued
    }

    /// Returns the sequence number of the oldest queued message, and of the next one to be queued.
    pub(crate) fn seqs(&self) -> (Option<u64>, u64) {
        let oldest = |(_, queue): (usize, &Queue)| Some(queue.messages.front()?.seq);
        (self.queues.iter().filter_map(oldest).min(), self.seq + 1)
    }

    /// Returns whether a turn would have an event although nothing is ready.
    pub(crate) fn is_due(&self) -> bool {
        self.evictions.is_due()
    }

    /// Sends a message, or queues it after those of its destination.
    pub(crate) fn send(
        &mut self,
        cx: &Context<'_>,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<Sent, SendError> {
        if let Some(index) = self.queue_of(to) {
            return self.send_after(cx, index, bytes, fds);
        }
        let mut memfd = None;
        let blocked = loop {
            if self.held {
                break Blocked::Peer;
            }
            if memfd.is_some() && !self.has_room_for_memfd(cx, bytes.len()) {
                break Blocked::Share;
            }
            let shares = self.shares.as_deref_mut();
            let attempted = match &memfd {
                None => attempt(shares, cx.socket, bytes, fds, to),
                Some(memfd) => {
                    attempt(shares, cx.socket, jsoncomm::MARKER, &prepend(memfd, fds), to)
                }
            };
            match attempted {
                Ok(()) => {
                    self.memfd_bytes += if memfd.is_some() { bytes.len() } else { 0 };
                    return Ok(Sent::Now);
                }
                Err(Failure::Blocked(blocked)) => break blocked,
                Err(Failure::Refused(errno))
                    if memfd.is_none()
                        && goes_in_memfd(cx.limits, bytes.len(), fds.len(), errno) =>
                {
                    memfd = Some(memfd_for(bytes, fds.len())?);
                }
                Err(Failure::Refused(errno)) => return Err(SendError::Refused(errno)),
            }
        };
        // Nothing may fail after the message is queued.
        let message = self.message(cx, bytes, fds, memfd)?;
        self.make_room(cx, message.len, None)?;
        let queue = self.open_queue(to.cloned());
        let sent = self.enqueue(queue, message);
        self.wait_for(cx, queue, blocked, Instant::now());
        Ok(sent)
    }

    /// Queues a message after others of its destination.
    fn send_after(
        &mut self,
        cx: &Context<'_>,
        index: usize,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<Sent, SendError> {
        let queue = &self.queues[index];
        if queue.held() + ENTRY + bytes.len() > cx.limits.max_queued
            || queue.fds + fds.len() > cx.limits.max_queued_fds
        {
            return Err(SendError::QueueFull);
        }
        let memfd = match self.is_too_large(cx, bytes.len()) {
            false => None,
            true if cx.limits.memfd => Some(memfd_for(bytes, fds.len())?),
            true => return Err(SendError::Refused(Errno::MSGSIZE)),
        };
        let message = self.message(cx, bytes, fds, memfd)?;
        self.make_room(cx, message.len, Some(index))?;
        let sent = self.enqueue(index, message);
        // The message may be the oldest one now.
        self.update_timer(index);
        Ok(sent)
    }

    fn queue_of(&self, to: Option<&Address>) -> Option<usize> {
        match to {
            None => self.peer,
            Some(_) if self.by_name.is_empty() => None,
            Some(to) => self.by_name.get(to).copied(),
        }
    }

    fn open_queue(&mut self, to: Option<Address>) -> usize {
        let index = self.queues.insert(Queue::new(to.clone()));
        match to {
            None => self.peer = Some(index),
            Some(to) => {
                self.by_name.insert(to, index);
            }
        }
        index
    }

    /// Removes an empty queue, and returns its destination.
    fn close_queue(&mut self, cx: &Context<'_>, index: usize) -> Option<Address> {
        self.set_wait(cx, index, Wait::Pause, None, Instant::now());
        self.remove_queue(index)
    }

    /// Removes an empty queue that waits for nothing, and returns its destination.
    fn remove_queue(&mut self, index: usize) -> Option<Address> {
        self.update_timer(index);
        let queue = self.queues.remove(index);
        debug_assert!(queue.messages.is_empty() && queue.timer.is_none() && !queue.takes_edges);
        match &queue.to {
            None => self.peer = None,
            Some(to) => {
                self.by_name.remove(to);
            }
        }
        queue.to
    }

    fn message(
        &mut self,
        cx: &Context<'_>,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        memfd: Option<OwnedFd>,
    ) -> Result<QueuedMessage, SendError> {
        let mut fds = duplicate(fds)?;
        let datagram = if memfd.is_some() { jsoncomm::MARKER } else { bytes };
        fds.splice(..0, memfd.map(ForeignFd::from));
        self.seq += 1;
        let deadline = cx.limits.send_timeout.map(|timeout| self.expiry(timeout));
        let (seq, len) = (self.seq, bytes.len());
        Ok(QueuedMessage { seq, bytes: datagram.into(), len, fds, deadline })
    }

    /// Returns when a message that is queued now expires. Messages that are queued within TOGETHER of
    /// each other expire together, because each expiry may cost a wakeup.
    fn expiry(&mut self, timeout: Duration) -> Instant {
        let earliest = Instant::now() + timeout;
        match self.last_expiry {
            Some(last) if last >= earliest => last,
            _ => *self.last_expiry.insert(earliest + TOGETHER),
        }
    }

    /// Returns whether one more memfd of `len` bytes may be in flight to the peer. The kernel
    /// charges only a few bytes for a message in a memfd, so the send buffer does not limit them.
    ///
    /// There is no such limit for an unconnected socket, which cannot find out what each
    /// destination has received. The kernel's queues of its receivers are short.
    pub(super) fn has_room_for_memfd(&mut self, cx: &Context<'_>, len: usize) -> bool {
        if !self.is_connected() || self.memfd_bytes == 0 {
            return true;
        }
        if cx.socket.unsent().is_ok_and(|unread| unread == 0) {
            self.memfd_bytes = 0;
        }
        self.memfd_bytes == 0 || self.memfd_bytes + len <= cx.limits.max_queued
    }

    /// Returns the length in bytes of the longest message that the kernel accepts.
    pub(crate) fn largest(&self, socket: &Datagram) -> Result<usize, Errno> {
        self.shares.as_ref().map_or_else(|| socket.max_message(), |shares| Ok(shares.largest()))
    }

    /// Returns whether a message is longer than the kernel accepts.
    fn is_too_large(&self, cx: &Context<'_>, len: usize) -> bool {
        len > ALWAYS_FITS && self.largest(cx.socket).is_ok_and(|largest| len > largest)
    }

    fn enqueue(&mut self, queue: usize, message: QueuedMessage) -> Sent {
        self.queued.messages += 1;
        self.queued.bytes += message.len;
        self.queued.fds += message.fds.len();
        let (seq, before) = (message.seq, self.queues[queue].held());
        self.queues[queue].push(message);
        self.note_size(queue, before);
        Sent::Queued(seq)
    }

    /// Removes the oldest message of a queue, which was sent or is dropped.
    fn settle(&mut self, queue: usize) -> Option<QueuedMessage> {
        let before = self.queues[queue].held();
        let message = self.queues[queue].pop()?;
        self.note_size(queue, before);
        self.queued.messages -= 1;
        self.queued.bytes -= message.len;
        self.queued.fds -= message.fds.len();
        self.settled = true;
        Some(message)
    }
}

/// Puts a memfd before the descriptors of its message.
fn prepend<'fd>(memfd: &'fd OwnedFd, fds: &[BorrowedFd<'fd>]) -> Vec<BorrowedFd<'fd>> {
    std::iter::once(memfd.as_fd()).chain(fds.iter().copied()).collect()
}
