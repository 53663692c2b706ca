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
            Entry::Channel(_) => None,
        }
    }

    /// Removes a listener. Dropping it closes its socket.
    pub fn remove_listener(&mut self, index: usize) -> Option<Listening> {
        match self.entries.get_mut(index)? {
            Entry::Listening(listening) => listening.disarm(&self.poller),
            Entry::Channel(_) => return None,
        }
        self.refused.remove(&index);
        match self.entries.remove(index) {
            Entry::Listening(listening) => Some(*listening),
            Entry::Channel(_) => None,
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
        let events_before = batch.events.len();
        self.accept_up_to(most, index, batch);
        if let Some(Entry::Listening(listening)) = self.entries.get_mut(index) {
            listening.singles.note(batch.events.len() - events_before);
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
                        Ok(channel) => self.add(channel),
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
