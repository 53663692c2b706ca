//! Listeners, and the connections that they accept.

use fdwire_socket::Accepted;

use super::{Entry, Reactor};
use crate::batch::{Batch, Event};
use crate::channel::Channel;
use crate::listener::{Connection, Listening};
use crate::stream::Link;

/// Maximum number of connections that one turn accepts.
const ACCEPTS: usize = 64;

impl Reactor {
    /// Adds a listener, and returns its index. No channel has the same index.
    pub fn add_listener(&mut self, listening: Listening) -> usize {
        self.entries.insert(Entry::Listening(Box::new(listening)))
    }

    /// Returns the listener at `index`.
    pub fn listener(&self, index: usize) -> Option<&Listening> {
        match self.entries.get(index)? {
            Entry::Listening(listening) => Some(listening),
            Entry::Channel(_) | Entry::Watched(_) => None,
        }
    }

    /// Removes a listener. Dropping it closes its socket.
    pub fn remove_listener(&mut self, index: usize) -> Option<Listening> {
        match self.entries.get_mut(index)? {
            Entry::Listening(listening) => listening.disarm(&self.poller),
            Entry::Channel(_) | Entry::Watched(_) => return None,
        }
        match self.remove_entry(index) {
            Entry::Listening(listening) => Some(*listening),
            Entry::Channel(_) | Entry::Watched(_) => None,
        }
    }

    /// Sets how many connections a listener may accept from now on.
    pub fn allow(&mut self, index: usize, connections: usize) {
        if let Some(Entry::Listening(listening)) = self.entries.get_mut(index) {
            listening.allowed = connections;
            self.arm(index);
        }
    }

    /// Accepts connections. An event reports each of them.
    pub(super) fn accept(&mut self, index: usize, batch: &mut Batch<'_>) {
        let Some(Entry::Listening(listening)) = self.entries.get(index) else { return };
        let most = if listening.singles.expects_one() { 1 } else { ACCEPTS };
        if matches!(listening.connection, Connection::Unread) {
            self.accept_fds(most, index, batch);
            return;
        }
        let events_before = batch.events.len();
        self.accept_up_to(most, index, batch);
        if let Some(Entry::Listening(listening)) = self.entries.get_mut(index) {
            listening.singles.note(batch.events.len() - events_before);
        }
    }

    /// Accepts descriptors. One event reports all of them.
    fn accept_fds(&mut self, most: usize, index: usize, batch: &mut Batch<'_>) {
        let Some(Entry::Listening(listening)) = self.entries.get_mut(index) else { return };
        let first = batch.fds.len();
        let failed = loop {
            if batch.fds.len() - first == most {
                break None;
            }
            match listening.accept_fd() {
                Ok(None) => break None,
                Ok(Some(fd)) => batch.fds.push(fd.into()),
                Err(errno) => break Some(errno),
            }
        };
        listening.singles.note(batch.fds.len() - first);
        if batch.fds.len() > first {
            batch.events.push(Event::Connections(first..batch.fds.len()));
        }
        if let Some(errno) = failed {
            // The caller decides when to retry.
            listening.allowed = 0;
            batch.events.push(Event::Failed(errno, "accept4"));
        }
    }

    fn accept_up_to(&mut self, most: usize, index: usize, batch: &mut Batch<'_>) {
        for _ in 0..most {
            let Some(Entry::Listening(listening)) = self.entries.get_mut(index) else { return };
            let accepted = match listening.accept() {
                Ok(None) => return,
                Ok(Some(accepted)) => accepted,
                Err(errno) => {
                    // The caller decides when to retry.
                    listening.allowed = 0;
                    batch.events.push(Event::Failed(errno, "accept4"));
                    return;
                }
            };
            let limits = listening.limits.clone();
            let channel = match (accepted, &listening.connection) {
                (Accepted::Stream(socket), Connection::Stream(framing)) => {
                    let framing = framing.clone();
                    self.insert_stream(Link::Socket(socket), false, framing, limits)
                }
                (Accepted::Seqpacket(socket), Connection::Seqpacket(protocol)) => {
                    match Channel::datagram(socket, *protocol, limits) {
                        Ok(channel) => self.insert(channel),
                        // The peer has closed the connection already.
                        Err(_) => continue,
                    }
                }
                // Unreachable: connections have the type of their listener.
                _ => continue,
            };
            self.unarmed.push(channel);
            batch.events.push(Event::Accepted(channel));
        }
    }
}
