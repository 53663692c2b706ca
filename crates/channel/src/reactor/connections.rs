//! Channels whose connection is lost and replaced.

use super::{Entry, Reactor};
use crate::Site;
use crate::channel::Channel;

impl Reactor {
    /// Lets the connection of a channel be replaced: its loss drops no message that was not sent at
    /// all.
    pub fn keep_on_loss(&mut self, index: usize) {
        if let Some(channel) = self.channel_mut(index) {
            channel.keep_on_loss();
        }
    }

    /// Queues the messages of a datagram or seqpacket socket instead of sending them.
    pub fn hold(&mut self, index: usize) {
        self.update(index, Channel::hold);
    }

    /// Drops the connection of a channel and closes its socket. With `keep` queued messages stay,
    /// except one that was sent in part. Returns the sequence numbers of the dropped messages.
    pub fn disconnect(&mut self, index: usize, keep: bool) -> Vec<u64> {
        let Some(Entry::Channel(channel)) = self.entries.get_mut(index) else { return Vec::new() };
        channel.disarm(Site { poller: &self.poller, index });
        // The readiness of the old socket does not concern the next one.
        self.ready.retain(|ready| ready.token.index() != index);
        let dropped = channel.disconnect(keep);
        self.schedule(index);
        dropped
    }

    /// Moves the connection of the channel at `from`, which is new and is removed, to the channel at
    /// `to`, whose connection is lost. Returns whether both are of the same kind.
    pub fn reconnect(&mut self, to: usize, from: usize) -> bool {
        let Some(new) = self.remove(from) else { return false };
        let mut replaced = false;
        self.update(to, |channel| replaced = channel.reconnect(new));
        // A turn reports what has left the queue.
        self.due.push(to);
        replaced
    }
}
