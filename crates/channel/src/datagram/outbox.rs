//! What a channel has sent and the kernel has not taken yet: a queue for each destination.
//!
//! A destination has a lane only while something is queued for it. The lane knows what it waits
//! for, since the kernel has a different sign for each reason to refuse a datagram:
//!
//! | refused because | the lane waits for |
//! | --- | --- |
//! | the one peer of a connected socket is behind | the socket itself to be writable |
//! | the receiver's queue is full | an unnamed socket, connected to the receiver, to be writable |
//! | the receiver holds its share of our send buffer | anybody to read (`poll.rs`), or a pause |
//! | the kernel is short of memory, or of descriptors in flight | a pause |
//!
//! Every lane waits for its oldest message's expiry too.

mod flush;

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use fdwire_socket::{Address, Datagram};
use fdwire_wire::jsoncomm;
use slab::Slab;

use super::attempt::{Blocked, Failure, attempt};
use super::carried::{file_of, is_for_file, may_be_for_file};
use super::lane::{LOOK, Lane, Pauses, Queued, Wait};
use super::share::Shares;
use crate::Site;
use crate::limits::Limits;
use crate::send::{SendError, Sent, duplicate};

/// The queues of one channel.
pub(crate) struct Outbox {
    by_name: HashMap<Address, usize>,
    /// The lane of the peer.
    peer: Option<usize>,
    lanes: Slab<Lane>,
    timers: BTreeSet<(Instant, usize)>,
    /// Only where the channel has no peer.
    shares: Option<Shares>,
    seq: u64,
    messages: usize,
    bytes: usize,
    fds: usize,
    /// Bytes in files that have been sent to the peer, and may not have been read.
    carried: usize,
    /// Lanes that want to hear that somebody has read.
    news_wanted: usize,
    settled: bool,
    undelivered: u64,
}

/// What an outbox needs of its channel while it works.
pub(crate) struct Surroundings<'a> {
    pub(crate) socket: &'a Datagram,
    pub(crate) site: Site<'a>,
    pub(crate) limits: &'a Limits,
}

impl Outbox {
    /// `shares` where the channel has no peer.
    pub(crate) fn new(shares: Option<Shares>) -> Self {
        Self {
            by_name: HashMap::new(),
            peer: None,
            lanes: Slab::new(),
            timers: BTreeSet::new(),
            shares,
            seq: 0,
            messages: 0,
            bytes: 0,
            fds: 0,
            carried: 0,
            news_wanted: 0,
            settled: false,
            undelivered: 0,
        }
    }

    /// Whether queued messages were settled since the last call.
    pub(crate) fn take_settled(&mut self) -> bool {
        std::mem::take(&mut self.settled)
    }

    /// Whether the peer's lane waits for the channel's socket to be writable.
    pub(crate) fn wants_writable(&self) -> bool {
        self.peer.is_some_and(|lane| matches!(self.lanes[lane].wait, Wait::Writable))
    }

    /// Whether a lane wants to hear that somebody has read.
    pub(crate) fn wants_news(&self) -> bool {
        self.news_wanted > 0
    }

    /// Messages, bytes and descriptors that are queued.
    pub(crate) fn queued(&self) -> (usize, usize, usize) {
        (self.messages, self.bytes, self.fds)
    }

    /// Counts the queued messages that could not be delivered, since the channel was made.
    pub(crate) fn undelivered(&self) -> u64 {
        self.undelivered
    }

    /// The number of the oldest queued message, and of the next one to be queued.
    pub(crate) fn seqs(&self) -> (Option<u64>, u64) {
        let oldest = self.lanes.iter().filter_map(|(_, lane)| Some(lane.queue.front()?.seq)).min();
        (oldest, self.seq + 1)
    }

    /// When `on_time` has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// Sends a message, or queues it behind those that already wait for its destination.
    pub(crate) fn send(
        &mut self,
        around: &Surroundings<'_>,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<Sent, SendError> {
        if let Some(lane) = self.lane_of(to) {
            let queued = &self.lanes[lane];
            if queued.bytes + bytes.len() > around.limits.max_queued
                || queued.fds + fds.len() > around.limits.max_queued_fds
            {
                return Err(SendError::QueueFull);
            }
            let file = if self.is_too_large(around, bytes.len()) {
                Some(file_of(bytes, fds.len())?)
            } else {
                None
            };
            let message = self.message(around, bytes, fds, file)?;
            return Ok(self.enqueue(lane, message));
        }
        let mut file = None;
        let blocked = loop {
            if file.is_some() && !self.has_room_for_file(around, bytes.len()) {
                break Blocked::Share;
            }
            let shares = self.shares.as_mut();
            let attempted = match &file {
                None => attempt(shares, around.socket, bytes, fds, to),
                Some(file) => {
                    attempt(shares, around.socket, jsoncomm::MARKER, &behind(file, fds), to)
                }
            };
            match attempted {
                Ok(()) => {
                    self.carried += if file.is_some() { bytes.len() } else { 0 };
                    return Ok(Sent::Now);
                }
                Err(Failure::Blocked(blocked)) => break blocked,
                Err(Failure::Refused(errno))
                    if file.is_none()
                        && is_for_file(around.limits, bytes.len(), fds.len(), errno) =>
                {
                    file = Some(file_of(bytes, fds.len())?);
                }
                Err(Failure::Refused(errno)) => return Err(SendError::Refused(errno)),
            }
        };
        // Whatever can fail comes before anything is queued.
        let message = self.message(around, bytes, fds, file)?;
        let lane = self.open_lane(to.cloned());
        let sent = self.enqueue(lane, message);
        self.wait_for(around, lane, blocked, Instant::now());
        Ok(sent)
    }

    /// The channel leaves the poller's set, and its lanes' sockets do.
    pub(crate) fn disarm(&mut self, around: &Surroundings<'_>) {
        for (_, lane) in &mut self.lanes {
            if let Wait::Receiver(socket) = std::mem::replace(&mut lane.wait, Wait::Pause) {
                let _ = around.site.poller.remove(&socket);
            }
        }
    }

    /// The channel's socket can't be polled for writing: its lane tries by itself.
    pub(crate) fn without_polling(&mut self, now: Instant) {
        if let Some(index) = self.peer {
            self.lanes[index].set_wait(Wait::Pause, Some(LOOK), now);
            self.retime(index);
        }
    }

    fn lane_of(&self, to: Option<&Address>) -> Option<usize> {
        match to {
            None => self.peer,
            Some(_) if self.by_name.is_empty() => None,
            Some(to) => self.by_name.get(to).copied(),
        }
    }

    fn open_lane(&mut self, to: Option<Address>) -> usize {
        let lane = self.lanes.insert(Lane::new(to.clone()));
        match to {
            None => self.peer = Some(lane),
            Some(to) => {
                self.by_name.insert(to, lane);
            }
        }
        lane
    }

    fn close_lane(&mut self, around: &Surroundings<'_>, index: usize) -> Option<Address> {
        self.set_wait(around, index, Wait::Pause, None, Instant::now());
        let lane = self.lanes.remove(index);
        match &lane.to {
            None => self.peer = None,
            Some(to) => {
                self.by_name.remove(to);
            }
        }
        lane.to
    }

    fn message(
        &mut self,
        around: &Surroundings<'_>,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        file: Option<OwnedFd>,
    ) -> Result<Queued, SendError> {
        let mut fds = duplicate(fds)?;
        let kept = if file.is_some() { jsoncomm::MARKER } else { bytes };
        fds.splice(..0, file);
        self.seq += 1;
        let deadline = around.limits.send_timeout.map(|timeout| Instant::now() + timeout);
        Ok(Queued { seq: self.seq, bytes: kept.into(), len: bytes.len(), fds, deadline })
    }

    /// Whether one more file of so many bytes may be under way to the peer: the kernel counts a few bytes
    /// of a message whose text is in a file, so its queue would hold any amount.
    ///
    /// Nothing tells how much of it each of many destinations has read; there their queues are short.
    pub(super) fn has_room_for_file(&mut self, around: &Surroundings<'_>, len: usize) -> bool {
        if self.shares.is_some() || self.carried == 0 {
            return true;
        }
        if around.socket.unsent().is_ok_and(|unread| unread == 0) {
            self.carried = 0;
        }
        self.carried == 0 || self.carried + len <= around.limits.max_queued
    }

    /// Whether the kernel will never take a message as it is, and it can go in a file.
    fn is_too_large(&self, around: &Surroundings<'_>, len: usize) -> bool {
        may_be_for_file(around.limits, len)
            && match &self.shares {
                Some(shares) => len > shares.largest(),
                None => around.socket.max_message().is_ok_and(|largest| len > largest),
            }
    }

    fn enqueue(&mut self, lane: usize, message: Queued) -> Sent {
        self.messages += 1;
        self.bytes += message.len;
        self.fds += message.fds.len();
        let seq = message.seq;
        self.lanes[lane].push(message);
        Sent::Queued(seq)
    }

    fn settle(&mut self, index: usize) -> Option<Queued> {
        let message = self.lanes[index].pop()?;
        self.messages -= 1;
        self.bytes -= message.len;
        self.fds -= message.fds.len();
        self.settled = true;
        Some(message)
    }

    fn set_wait(
        &mut self,
        around: &Surroundings<'_>,
        index: usize,
        wait: Wait,
        pauses: Option<Pauses>,
        now: Instant,
    ) {
        let lane = &mut self.lanes[index];
        self.news_wanted -= usize::from(lane.news);
        if let Wait::Receiver(socket) = lane.set_wait(wait, pauses, now) {
            // Its close takes it out of the set only if no child of ours shares it.
            let _ = around.site.poller.remove(&socket);
        }
        self.news_wanted += usize::from(lane.news);
        self.retime(index);
    }

    /// Writes a lane's deadline into the list.
    fn retime(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        let deadline = lane.deadline();
        if lane.timer == deadline {
            return;
        }
        if let Some(at) = std::mem::replace(&mut lane.timer, deadline) {
            self.timers.remove(&(at, index));
        }
        if let Some(at) = deadline {
            self.timers.insert((at, index));
        }
    }
}

/// A file, and a message's descriptors behind it.
fn behind<'fd>(file: &'fd OwnedFd, fds: &[BorrowedFd<'fd>]) -> Vec<BorrowedFd<'fd>> {
    std::iter::once(file.as_fd()).chain(fds.iter().copied()).collect()
}
