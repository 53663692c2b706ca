//! Methods that return information about a channel.

use fdwire_socket::{Datagram, Stream};

use crate::Channel;
use crate::limits::Counters;
use crate::send::Queued;
use crate::stream::StreamTransport;
use crate::transport::on_transport;

impl Channel {
    /// Returns whether the channel has one peer, to which all messages go.
    pub fn connected(&self) -> bool {
        on_transport!(&self.transport, it => it.is_connected())
    }

    /// Returns whether received texts are JSON.
    pub fn receives_json(&self) -> bool {
        self.json
    }

    /// Returns the socket of a stream.
    pub fn stream_socket(&self) -> Option<&Stream> {
        self.transport.stream()?.socket()
    }

    /// Returns the socket of datagrams or records.
    pub fn datagram_socket(&self) -> Option<&Datagram> {
        Some(&self.transport.datagrams()?.socket)
    }

    /// Returns the length in bytes of the longest message that the kernel accepts; None for a
    /// stream, which has no such limit.
    pub fn largest_message(&self) -> Option<usize> {
        self.transport.datagrams()?.largest().ok()
    }

    /// Returns the counters.
    pub fn counters(&self) -> Counters {
        self.meter.counters
    }

    /// Returns the numbers of queued messages, bytes and descriptors.
    pub fn queued(&self) -> Queued {
        on_transport!(&self.transport, it => it.queued())
    }

    /// Returns the number of received descriptors that are not taken or closed yet.
    pub fn open_fds(&self) -> usize {
        self.meter.open_fds
    }

    /// Returns the number of received bytes that do not form a complete message yet.
    pub fn buffered_input(&self) -> usize {
        self.transport.stream().map_or(0, StreamTransport::buffered_input)
    }

    /// Returns the sequence number of the oldest queued message, and of the next one to be queued.
    ///
    /// The sequence numbers of a stream are byte positions, counted from 1.
    pub fn seqs(&self) -> (Option<u64>, u64) {
        on_transport!(&self.transport, it => it.seqs())
    }
}
