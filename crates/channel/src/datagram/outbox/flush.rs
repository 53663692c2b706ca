//! Sends queued messages: which event starts it, and how many go at a time.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use fdwire_socket::Errno;
use fdwire_wire::jsoncomm;

use super::{Context, Outbox};
use crate::batch::{Event, Undelivered, UndeliveredReason};
use crate::datagram::attempt::{Blocked, Failure, attempt, probe};
use crate::datagram::memfd::{goes_in_memfd, memfd_for};
use crate::datagram::queue::{Queue, Wait};
use crate::datagram::share::PROBE;

/// The part of a queue that is sent before other queues and channels have their turn.
#[derive(Clone, Copy)]
struct Burst {
    messages: usize,
    bytes: usize,
}

impl Burst {
    const TURN: Self = Self { messages: 128, bytes: 1024 * 1024 };
    const UNLIMITED: Self = Self { messages: usize::MAX, bytes: usize::MAX };
}

impl Outbox {
    /// Sends to the peer, because the channel's socket is writable.
    pub(crate) fn on_writable(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) {
        if let Some(queue) = self.peer {
            self.flush(cx, queue, Burst::TURN, Instant::now(), events);
        }
    }

    /// Sends to the destinations that have occupied their share, because a receiver has consumed a
    /// datagram.
    pub(crate) fn on_write_space(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) {
        self.read_sum(cx);
        self.flush_all(cx, events, Burst::TURN, |queue| queue.takes_edges);
    }

    /// Sends to the destination of a queue, because its receiver has room or has closed.
    pub(crate) fn on_receiver(
        &mut self,
        cx: &mut Context<'_>,
        queue: usize,
        events: &mut Vec<Event>,
    ) {
        // The queue may have been closed since epoll reported the readiness.
        if self.queues.get(queue).is_some_and(|queue| matches!(queue.wait, Wait::Receiver(_))) {
            self.flush(cx, queue, Burst::TURN, Instant::now(), events);
        }
    }

    /// Retries the queues whose pause has ended, and drops expired messages.
    pub(crate) fn on_deadline(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        self.read_sum(cx);
        let due = self.timers.iter().take_while(|&&(at, _)| at <= now);
        let due: Vec<usize> = due.map(|&(_, queue)| queue).collect();
        for queue in due {
            self.flush(cx, queue, Burst::TURN, now, events);
        }
        debug_assert!(self.is_consistent());
    }

    /// Makes one attempt to send everything that is queued, because the process exits.
    pub(crate) fn try_all(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) {
        self.flush_all(cx, events, Burst::UNLIMITED, |_| true);
    }

    fn read_sum(&mut self, cx: &Context<'_>) {
        if let Some(shares) = &mut self.shares {
            shares.read_sum(cx.socket);
        }
    }

    fn flush_all(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Vec<Event>,
        burst: Burst,
        which: impl Fn(&Queue) -> bool,
    ) {
        let chosen = self.queues.iter().filter(|(_, queue)| which(queue));
        let chosen: Vec<usize> = chosen.map(|(index, _)| index).collect();
        for queue in chosen {
            self.flush(cx, queue, burst, Instant::now(), events);
        }
        debug_assert!(self.is_consistent());
    }

    /// Sends from the front of a queue until it is empty, must wait, or has sent its burst.
    fn flush(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        mut burst: Burst,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        while let Some(front) = self.queues[index].messages.front() {
            if burst.messages == 0 || burst.bytes == 0 {
                // The event that the queue waits for may have been handled already, so a timer
                // continues.
                self.queues[index].retry_at = Some(now);
                self.update_timer(index);
                return;
            }
            burst.messages -= 1;
            burst.bytes = burst.bytes.saturating_sub(front.bytes.len());
            let outcome = if front.deadline.is_some_and(|deadline| deadline <= now) {
                Some(UndeliveredReason::Expired)
            } else if self.held {
                self.wait_for(cx, index, Blocked::Peer, now);
                return;
            } else {
                match self.attempt_front(cx, index, now) {
                    Ok(()) => None,
                    Err(Failure::Refused(errno)) if self.is_loss(errno) => {
                        self.hold();
                        if !cx.socket.is_seqpacket() {
                            events.push(Event::Failed(errno, "sendmsg"));
                        }
                        return;
                    }
                    Err(Failure::Refused(errno)) => Some(UndeliveredReason::Refused(errno)),
                    Err(Failure::Blocked(blocked)) => {
                        self.wait_for(cx, index, blocked, now);
                        return;
                    }
                }
            };
            let message = self.settle(index);
            let queue = &mut self.queues[index];
            match (message, outcome) {
                (Some(message), Some(reason)) => {
                    cx.counters.undelivered += 1;
                    let to = queue.to.clone();
                    events.push(Event::Undelivered(Undelivered { reason, seq: message.seq, to }));
                }
                // The receiver reads, so the next pause is short.
                _ => queue.pause = Duration::ZERO,
            }
        }
        let to = self.close_queue(cx, index);
        events.push(Event::Drained(to));
    }

    /// Hands the oldest message of a queue to the kernel, in a memfd if it is too large.
    fn attempt_front(
        &mut self,
        cx: &Context<'_>,
        index: usize,
        now: Instant,
    ) -> Result<(), Failure> {
        match self.attempt_as_is(cx, index, now) {
            Err(Failure::Refused(errno)) if self.move_front_to_memfd(cx, index, errno) => {
                self.attempt_as_is(cx, index, now)
            }
            result => result,
        }
        .map_err(|failure| match failure {
            // The error is transient and the message was accepted, so it stays queued.
            Failure::Refused(Errno::NOBUFS | Errno::TOOMANYREFS | Errno::NOMEM) => {
                Failure::Blocked(Blocked::Resources)
            }
            failure => failure,
        })
    }

    /// Moves the oldest message of a queue to a memfd, if the kernel may accept it then. Returns
    /// whether it was moved.
    fn move_front_to_memfd(&mut self, cx: &Context<'_>, index: usize, errno: Errno) -> bool {
        let queue = &mut self.queues[index];
        let Some(front) = queue.messages.front_mut() else { return false };
        if !goes_in_memfd(cx.limits, front.bytes.len(), front.fds.len(), errno) {
            return false;
        }
        let Ok(memfd) = memfd_for(&front.bytes, front.fds.len()) else { return false };
        front.bytes = jsoncomm::MARKER.into();
        front.fds.insert(0, memfd.into());
        queue.fds += 1;
        self.queued.fds += 1;
        true
    }

    fn attempt_as_is(
        &mut self,
        cx: &Context<'_>,
        index: usize,
        now: Instant,
    ) -> Result<(), Failure> {
        let Some(front) = self.queues[index].messages.front() else { return Ok(()) };
        let memfd_len = front.memfd_len();
        if let Some(len) = memfd_len
            && !self.has_room_for_memfd(cx, len)
        {
            return Err(Failure::Blocked(Blocked::Share));
        }
        let queue = &self.queues[index];
        let Some(front) = queue.messages.front() else { return Ok(()) };
        let fds: Vec<BorrowedFd<'_>> = front.fds.iter().map(AsFd::as_fd).collect();
        let to = queue.to.as_ref();
        let mut shares = self.shares.as_deref_mut();
        let bytes = &front.bytes;
        let result = match attempt(shares.as_deref_mut(), cx.socket, bytes, &fds, to) {
            // The receiver may be about to read. It becomes a suspect only after a longer wait.
            Err(Failure::Blocked(Blocked::Share)) if queue.pause >= PROBE => {
                probe(shares, cx.socket, bytes, &fds, to, now)
            }
            result => result,
        };
        if result.is_ok() {
            self.memfd_bytes += memfd_len.unwrap_or(0);
        }
        result
    }
}
