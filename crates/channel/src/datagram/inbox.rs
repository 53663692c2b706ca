//! The receiving direction of a datagram transport: datagrams become messages in the slab, or are
//! refused.

use std::io::IoSliceMut;

use fdwire_socket::closing::discard;
use fdwire_socket::{Address, Datagram, Errno};
use fdwire_wire::{Protocol, jsoncomm};

use super::memfd::take_text;
use crate::batch::{Batch, Event, Message, Refusal, Sender};
use crate::limits::Meter;
use crate::singles::Singles;
use crate::{PayloadKind, Scratch, Shared};

/// The receiving direction of a datagram or seqpacket socket.
pub(crate) struct Inbox {
    protocol: Protocol,
    /// The last bound sender; None if all messages come from the peer.
    last_from: Option<Box<Address>>,
    singles: Singles,
    /// Whether the peer of a seqpacket socket has ended the connection.
    pub(crate) ended: bool,
}

impl Inbox {
    /// Creates an inbox. `connected`: whether all messages come from the peer.
    pub(crate) fn new(protocol: Protocol, connected: bool) -> Self {
        let last_from = (!connected).then(|| Box::new(Address::UNNAMED));
        Self { protocol, last_from, singles: Singles::default(), ended: false }
    }

    /// Reads messages into `batch` until the socket has no more, the batch is full, or the channel
    /// reaches its limit of open descriptors.
    pub(crate) fn read(
        &mut self,
        socket: &Datagram,
        meter: &mut Meter,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) {
        let results_before = batch.results();
        let one_only = self.singles.expects_one();
        while !self.ended && batch.has_room() {
            if meter.holds_fds() {
                if meter.at_max_open_fds() {
                    batch.events.push(Event::FdsHeld);
                }
                break;
            }
            match self.read_one(socket, meter, shared, batch) {
                // A message in a memfd may be as large as all other messages of a turn combined.
                Ok(memfd) if one_only || memfd => break,
                Ok(_) => {}
                Err(Errno::AGAIN) => break,
                // The peer has connected to another socket, or has closed with unread messages of
                // ours. Messages that it has sent can still be received.
                Err(Errno::CONNRESET) => {}
                Err(errno) => {
                    batch.events.push(Event::Failed(errno, "recvmsg"));
                    break;
                }
            }
        }
        self.singles.note(batch.results() - results_before);
    }

    /// Reads one message. Returns whether it came in a memfd.
    fn read_one(
        &mut self,
        socket: &Datagram,
        meter: &mut Meter,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) -> Result<bool, Errno> {
        let limits = &*meter.limits;
        let room = batch.room(limits.max_message);
        let room_len = room.len();
        let overflow_len = limits.max_message - room_len;
        let Shared { control, received: fds, from, scratch } = shared;
        let received = if overflow_len == 0 {
            socket.recv(&mut [room], control, fds, from)?
        } else {
            // The size is the maximum that can be needed, because the room shrinks with each
            // message.
            let overflow = &mut scratch.at_least(limits.max_message)?[..overflow_len];
            socket.recv(&mut [room, IoSliceMut::new(overflow)], control, fds, from)?
        };
        if received.end {
            self.ended = true;
            batch.events.push(Event::End);
            return Ok(false);
        }
        let in_slab = received.len.min(room_len);
        let memfd = limits.memfd && batch.received(in_slab) == jsoncomm::MARKER;
        let decoded = if received.fds_truncated {
            Err(Refusal::FdsTruncated)
        } else if received.truncated {
            Err(Refusal::TooLarge)
        } else if fds.len() > limits.max_fds + usize::from(memfd) {
            Err(Refusal::TooManyFds)
        } else if memfd {
            take_text(limits, fds).and_then(|text| self.decode_large(text))
        } else if received.len > room_len {
            match join(batch.received(room_len), scratch, received.len - room_len) {
                Ok(bytes) => self.decode_large(bytes),
                Err(errno) => {
                    discard(fds);
                    return Err(errno);
                }
            }
        } else {
            self.decode(batch.received(received.len)).map(|kind| (kind, None))
        };
        let from = self.name_sender(from, batch);
        let (kind, large) = match decoded {
            Ok(decoded) => decoded,
            Err(why) => {
                discard(fds);
                meter.counters.refused += 1;
                let sample = batch.keep_sample(in_slab);
                batch.events.push(Event::Refused(why, sample, from));
                return Ok(memfd);
            }
        };
        let first = batch.fds.len();
        batch.fds.append(fds);
        let fds = first..batch.fds.len();
        let len = large.as_ref().map_or(received.len, Vec::len);
        meter.received(len, fds.len());
        let credentials = received.credentials.and_then(|sender| batch.keep_credentials(sender));
        let is_plain = fds.is_empty() && credentials.is_none() && from == Sender::Peer;
        let message = Message { kind, fds, from, credentials };
        match large {
            Some(bytes) => batch.events.push(Event::Large(bytes, 0..len, message)),
            None => {
                let at = batch.keep(len);
                if is_plain {
                    batch.push_plain(at, kind);
                } else {
                    batch.push_message(at, message);
                }
            }
        }
        Ok(memfd)
    }

    fn decode_large(&self, bytes: Vec<u8>) -> Result<(PayloadKind, Option<Vec<u8>>), Refusal> {
        Ok((self.decode(&bytes)?, Some(bytes)))
    }

    fn decode(&self, bytes: &[u8]) -> Result<PayloadKind, Refusal> {
        match self.protocol {
            Protocol::Jsoncomm => {
                jsoncomm::decode(bytes).map(PayloadKind::Text).map_err(Refusal::Malformed)
            }
            _ => Ok(PayloadKind::Bytes),
        }
    }

    fn name_sender(&mut self, from: &Address, batch: &mut Batch<'_>) -> Sender {
        let Some(last_from) = &mut self.last_from else { return Sender::Peer };
        if from.is_unnamed() {
            Sender::Unnamed
        } else if *from == **last_from {
            Sender::Same
        } else {
            (**last_from).clone_from(from);
            Sender::Address(batch.store(from.as_bytes()))
        }
    }
}

/// Joins the two parts of a message that did not fit into the slab, and frees the scratch memory.
///
/// # Errors
///
/// `ENOMEM`.
fn join(in_slab: &[u8], scratch: &mut Scratch, overflow: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(in_slab.len() + overflow).map_err(|_| Errno::NOMEM)?;
    bytes.extend_from_slice(in_slab);
    bytes.extend_from_slice(&scratch.at_least(overflow)?[..overflow]);
    scratch.free();
    Ok(bytes)
}
