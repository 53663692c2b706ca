//! The queue of a connection that is lost and may be replaced.

use std::time::Instant;

use fdwire_socket::Errno;

use super::Outbox;
use crate::datagram::queue::{SPACE, Wait};

impl Outbox {
    /// Makes the loss of the connection drop no message.
    pub(crate) fn keep_on_loss(&mut self) {
        self.reconnects = true;
    }

    /// Returns whether an error of sending means that the connection is lost and may be replaced.
    pub(super) fn is_loss(&self, errno: Errno) -> bool {
        let lost = [Errno::CONNREFUSED, Errno::NOTCONN, Errno::PIPE, Errno::CONNRESET];
        self.reconnects && lost.contains(&errno)
    }

    /// Returns whether nothing is sent, because the connection is lost.
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Stops sending: messages are queued, and only expire.
    pub(crate) fn hold(&mut self) {
        self.held = true;
        if let Some(index) = self.peer {
            self.change_wait(index, Wait::Pause, None, Instant::now());
        }
    }

    /// Holds the queue, or drops its messages unless `keep`. Returns their sequence numbers.
    pub(crate) fn disconnect(&mut self, keep: bool) -> Vec<u64> {
        self.hold();
        self.memfd_bytes = 0;
        let mut dropped = Vec::new();
        if let Some(index) = self.peer
            && !keep
        {
            while let Some(message) = self.settle(index) {
                dropped.push(message.seq);
            }
            self.remove_queue(index);
        }
        debug_assert!(self.is_consistent());
        dropped
    }

    /// Sends again, over a new connection.
    pub(crate) fn release(&mut self) {
        self.held = false;
        if let Some(index) = self.peer {
            self.change_wait(index, Wait::Pause, Some(SPACE), Instant::now());
        }
    }
}
