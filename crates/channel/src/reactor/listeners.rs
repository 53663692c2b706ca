//! What a reactor does with listeners.

use fdwire_socket::{Accepted, Errno};

use super::{Entry, Reactor};
use crate::batch::{Batch, Event};
use crate::channel::Channel;
use crate::listener::{ACCEPTS, Connection, Listening};

impl Reactor {
    /// Takes a listener in; its index, which is none of a channel.
    pub fn add_listener(&mut self, listening: Listening) -> usize {
        self.entries.insert(Entry::Listening(Box::new(listening)))
    }

    /// The listener at `index`.
    pub fn listener(&self, index: usize) -> Option<&Listening> {
        match self.entries.get(index)? {
            Entry::Listening(listening) => Some(listening),
            Entry::Channel(_) => None,
        }
    }

    /// Takes a listener out: dropped, it closes.
    pub fn remove_listener(&mut self, index: usize) -> Option<Listening> {
        match self.entries.get_mut(index)? {
            Entry::Listening(listening) => listening.disarm(&self.poller),
            Entry::Channel(_) => return None,
        }
        match self.entries.remove(index) {
            Entry::Listening(listening) => Some(*listening),
            Entry::Channel(_) => None,
        }
    }

    /// How many connections a listener may accept from now on.
    ///
    /// # Errors
    ///
    /// When the kernel can't poll one more descriptor.
    pub fn allow(&mut self, index: usize, connections: usize) -> Result<(), Errno> {
        let Some(Entry::Listening(listening)) = self.entries.get_mut(index) else { return Ok(()) };
        listening.allowed = connections;
        listening.arm(&self.poller, index)
    }

    pub(super) fn accept(&mut self, index: usize, batch: &mut Batch<'_>) {
        for _ in 0..ACCEPTS {
            let Some(Entry::Listening(listening)) = self.entries.get_mut(index) else { return };
            let accepted = match listening.accept() {
                Ok(None) => return,
                Ok(Some(accepted)) => accepted,
                Err(errno) => {
                    // Whoever listens says when to try again.
                    listening.allowed = 0;
                    batch.events.push(Event::Failed(errno, "accept4"));
                    return;
                }
            };
            let limits = listening.limits.clone();
            let channel = match (accepted, &listening.connection) {
                (Accepted::Stream(socket), Connection::Stream(framing)) => {
                    let framing = framing.clone();
                    self.insert_stream(Some(socket), false, framing, limits)
                }
                (Accepted::Seqpacket(socket), Connection::Seqpacket(protocol)) => {
                    match Channel::datagram(socket, None, *protocol, limits) {
                        Ok(channel) => self.add(channel),
                        // It has gone again.
                        Err(_) => continue,
                    }
                }
                // The listener was made for the other type.
                _ => continue,
            };
            self.accepted.push(channel);
            batch.events.push(Event::Accepted(channel));
        }
    }
}
