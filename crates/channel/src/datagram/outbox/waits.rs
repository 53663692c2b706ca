//! What the queues wait for, and their timers.

use std::collections::BTreeSet;
use std::time::Instant;

use fdwire_socket::{Datagram, Errno};

use super::{Context, Outbox};
use crate::datagram::attempt::Blocked;
use crate::datagram::queue::{Pauses, Queue, RETRY, SPACE, Wait};
use crate::poll::{EventFlags, Poller, Token};

impl Outbox {
    /// Returns whether the queue of the peer waits for the socket to become writable.
    pub(crate) fn wants_writable(&self) -> bool {
        !self.held
            && self.peer.is_some_and(|queue| matches!(self.queues[queue].wait, Wait::Writable))
    }

    /// Returns whether a queue waits for write-space edges.
    pub(crate) fn wants_write_space(&self) -> bool {
        self.edge_takers > 0
    }

    /// Returns when `on_deadline` must be called, if at all.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// Removes the sockets that wait for receivers from the epoll instance.
    pub(crate) fn disarm(&mut self, poller: &Poller) {
        for (_, queue) in &mut self.queues {
            if let Wait::Receiver(socket) = std::mem::replace(&mut queue.wait, Wait::Pause) {
                let _ = poller.remove(&socket);
            }
        }
    }

    /// Makes the queue of the peer retry by timer, because the socket cannot be polled.
    pub(crate) fn poll_by_timer(&mut self, now: Instant) {
        if let Some(index) = self.peer {
            self.change_wait(index, Wait::Pause, Some(SPACE), now);
        }
    }

    /// Makes a queue wait until the kernel may accept its oldest message.
    pub(super) fn wait_for(
        &mut self,
        cx: &Context<'_>,
        index: usize,
        blocked: Blocked,
        now: Instant,
    ) {
        if self.held {
            self.set_wait(cx, index, Wait::Pause, None, now);
            return;
        }
        let queue = &self.queues[index];
        if let (Blocked::Share, Wait::Share) = (blocked, &queue.wait)
            && queue.retry_at.is_some_and(|at| at > now)
        {
            // Another receiver has caused the write-space edge, or messages have expired, so the pause
            // continues.
            self.update_timer(index);
            return;
        }
        let (wait, pauses) = match blocked {
            Blocked::Peer => (Wait::Writable, None),
            Blocked::Share => (Wait::Share, Some(SPACE)),
            Blocked::Resources => (Wait::Pause, Some(RETRY)),
            Blocked::Receiver => match self.connect_to_receiver(cx, index) {
                Ok(socket) => (Wait::Receiver(socket), None),
                // No descriptor is available for the socket, or the receiver has closed or is
                // connected to another socket. The next attempt reports the latter.
                Err(_) => (Wait::Pause, Some(SPACE)),
            },
        };
        self.set_wait(cx, index, wait, pauses, now);
    }

    /// Creates an unnamed socket that is connected to the receiver of a queue, and polls it for
    /// writing.
    ///
    /// Each wait has a new socket, because another receiver may have bound the address meanwhile.
    fn connect_to_receiver(&self, cx: &Context<'_>, queue: usize) -> Result<Datagram, Errno> {
        let socket = Datagram::new()?;
        if let Some(to) = &self.queues[queue].to {
            socket.connect(to)?;
        }
        let token = Token::Receiver { channel: cx.site.index, queue };
        cx.site.poller.add(&socket, token, EventFlags::OUT)?;
        Ok(socket)
    }

    /// Sets what a queue waits for from now on, with the next of `pauses`.
    pub(super) fn set_wait(
        &mut self,
        cx: &Context<'_>,
        index: usize,
        wait: Wait,
        pauses: Option<Pauses>,
        now: Instant,
    ) {
        if let Wait::Receiver(socket) = self.change_wait(index, wait, pauses, now) {
            // Closing alone removes it from the epoll instance only if no other process shares it.
            let _ = cx.site.poller.remove(&socket);
        }
    }

    /// Does the same, and returns what the queue has waited for, which may be registered with epoll.
    /// The queue of a peer waits for the socket itself.
    pub(super) fn change_wait(
        &mut self,
        index: usize,
        wait: Wait,
        pauses: Option<Pauses>,
        now: Instant,
    ) -> Wait {
        let queue = &mut self.queues[index];
        self.edge_takers -= usize::from(queue.takes_edges);
        let before = queue.set_wait(wait, pauses, now);
        self.edge_takers += usize::from(queue.takes_edges);
        self.update_timer(index);
        before
    }

    /// Updates the timers with the deadline of a queue.
    pub(super) fn update_timer(&mut self, index: usize) {
        let queue = &mut self.queues[index];
        let deadline = queue.deadline();
        if queue.timer == deadline {
            return;
        }
        if let Some(at) = std::mem::replace(&mut queue.timer, deadline) {
            self.timers.remove(&(at, index));
        }
        if let Some(at) = deadline {
            self.timers.insert((at, index));
        }
    }

    /// Returns whether everything that the outbox knows about its queues is true of them, for a debug
    /// assertion.
    pub(super) fn is_consistent(&self) -> bool {
        let deadline = |(index, queue): (usize, &Queue)| Some((queue.deadline()?, index));
        let timers: BTreeSet<_> = self.queues.iter().filter_map(deadline).collect();
        let edge_takers = self.queues.iter().filter(|(_, queue)| queue.takes_edges).count();
        let index = |queue: &Queue| match &queue.to {
            None => self.peer,
            Some(to) => self.by_name.get(to).copied(),
        };
        let names = usize::from(self.peer.is_some()) + self.by_name.len();
        timers == self.timers
            && edge_takers == self.edge_takers
            && names == self.queues.len()
            && self.queues.iter().all(|(at, queue)| index(queue) == Some(at))
            && self.has_exact_sums()
    }
}
