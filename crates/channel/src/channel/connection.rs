//! Replaces the connection of a channel.

use super::Channel;
use crate::transport::{Transport, on_transport};

impl Channel {
    /// Lets the connection be replaced: its loss drops no message that was not sent at all.
    pub(crate) fn keep_on_loss(&mut self) {
        match &mut self.transport {
            Transport::Datagram(datagrams) => datagrams.keep_on_loss(),
            Transport::Stream(stream) => stream.outbox.track_frames(),
        }
    }

    /// Queues messages of a datagram or seqpacket socket instead of sending them.
    pub(crate) fn hold(&mut self) {
        if let Some(datagrams) = self.transport.datagrams_mut() {
            datagrams.hold();
        }
    }

    /// Drops the connection. With `keep` queued messages stay, except one that was sent in part.
    /// Returns the sequence numbers of the dropped messages.
    pub(crate) fn disconnect(&mut self, keep: bool) -> Vec<u64> {
        self.pidfd = None;
        let dropped = on_transport!(&mut self.transport, it => it.disconnect(keep));
        self.meter.counters.undelivered += dropped.len() as u64;
        self.update_deadlines();
        dropped
    }

    /// Replaces the lost connection by that of `other`, a new channel of the same kind. Returns
    /// whether it is of the same kind.
    pub(crate) fn reconnect(&mut self, other: Self) -> bool {
        match (&mut self.transport, other.transport) {
            (Transport::Stream(stream), Transport::Stream(other)) => stream.reconnect(other),
            (Transport::Datagram(own), Transport::Datagram(other)) => own.reconnect(*other),
            _ => return false,
        }
        if let Some(deadlines) = &mut self.deadlines {
            deadlines.restart();
        }
        // The new socket is prepared as the old one was.
        self.set_reading(self.reading);
        true
    }
}
