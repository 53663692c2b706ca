//! What a channel receives: datagrams become messages in a slab, or are refused.

use std::io::IoSliceMut;

use fdwire_socket::{Address, Datagram, Errno};
use fdwire_wire::{Protocol, jsoncomm};

use super::carried::take_out;
use crate::batch::{Batch, Event, Message, Refusal, Sender};
use crate::limits::Meter;
use crate::{PayloadKind, Shared};

/// The receiving direction of a channel.
pub(crate) struct Inbox {
    protocol: Protocol,
    connected: bool,
    last_from: Address,
    from: Address,
    /// Turns in a row that brought one message.
    singles: u32,
    /// The last message came in a file.
    carried: bool,
    /// The peer of a seqpacket socket has ended.
    pub(crate) ended: bool,
}

/// After so many single messages in a row one is read at a time; what is behind it is still ready.
const SINGLES: u32 = 4;

/// Every so many single messages the whole queue is read all the same.
const SINGLES_CHECK: u32 = 16;

impl Inbox {
    /// `connected`: all messages come from the peer.
    pub(crate) fn new(protocol: Protocol, connected: bool) -> Self {
        Self {
            protocol,
            connected,
            last_from: Address::UNNAMED,
            from: Address::UNNAMED,
            singles: 0,
            carried: false,
            ended: false,
        }
    }

    /// Reads messages into `batch` until there are no more, or no room, or too many descriptors.
    pub(crate) fn read(
        &mut self,
        socket: &Datagram,
        meter: &mut Meter,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) {
        let before = batch.events.len();
        // Who gets single messages would only be told EAGAIN by a second call, mostly.
        let one_only = self.singles >= SINGLES && !self.singles.is_multiple_of(SINGLES_CHECK);
        while !self.ended && batch.has_room() {
            if meter.holds_fds() {
                batch.events.push(Event::FdsHeld);
                break;
            }
            match self.read_one(socket, meter, shared, batch) {
                // One that came in a file may be as large as all others of a turn together.
                Ok(()) if one_only || std::mem::take(&mut self.carried) => break,
                Ok(()) => {}
                Err(Errno::AGAIN) => break,
                // The peer has turned to somebody else, or ended, with messages of ours unread. What
                // it sent before is still here, and the end of a seqpacket socket comes behind that.
                Err(Errno::CONNRESET) => {}
                Err(errno) => {
                    batch.events.push(Event::Failed(errno, "recvmsg"));
                    break;
                }
            }
        }
        let single = batch.events.len() == before + 1;
        self.singles = if single { self.singles.wrapping_add(1) } else { 0 };
    }

    fn read_one(
        &mut self,
        socket: &Datagram,
        meter: &mut Meter,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) -> Result<(), Errno> {
        let limit = meter.limits.max_message;
        let room = batch.room(limit);
        let room_len = room.len();
        let spill = limit - room_len;
        if shared.overflow.len() < spill {
            // As large as it can ever be needed, since the room shrinks with each message. Zeroed
            // pages that nobody touches take no memory.
            shared.overflow = vec![0; limit];
        }
        let mut buffers = [room, IoSliceMut::new(&mut shared.overflow[..spill])];
        let used = if spill == 0 { &mut buffers[..1] } else { &mut buffers[..] };
        let received =
            socket.recv(used, &mut shared.control, &mut shared.received, &mut self.from)?;
        if received.end {
            self.ended = true;
            batch.events.push(Event::End);
            return Ok(());
        }
        let shown = received.len.min(room_len);
        let carried = meter.limits.memfd && batch.received(shown) == jsoncomm::MARKER;
        let verdict = if received.fds_truncated {
            Err(Refusal::FdsTruncated)
        } else if received.truncated {
            Err(Refusal::TooLarge)
        } else if shared.received.len() > meter.limits.max_fds + usize::from(carried) {
            Err(Refusal::TooManyFds)
        } else if carried {
            self.carried = true;
            take_out(&meter.limits, &mut shared.received)
                .and_then(|bytes| self.decode(&bytes).map(|kind| (kind, Some(bytes))))
        } else if received.len > room_len {
            let mut bytes = batch.received(room_len).to_vec();
            bytes.extend_from_slice(&shared.overflow[..received.len - room_len]);
            // The pages that were touched go back to the system.
            shared.overflow = Vec::new();
            self.decode(&bytes).map(|kind| (kind, Some(bytes)))
        } else {
            self.decode(batch.received(received.len)).map(|kind| (kind, None))
        };
        let from = self.name_sender(batch);
        let event = match verdict {
            Ok((kind, large)) => {
                let first = batch.fds.len();
                batch.fds.append(&mut shared.received);
                let fds = first..batch.fds.len();
                let len = large.as_ref().map_or(received.len, Vec::len);
                meter.received(len, fds.len());
                let credentials =
                    received.credentials.and_then(|sender| batch.keep_credentials(sender));
                let message = Message { kind, fds, from, credentials };
                match large {
                    Some(bytes) => {
                        let whole = 0..bytes.len();
                        Event::Large(bytes, whole, message)
                    }
                    None => Event::Message(batch.keep(received.len), message),
                }
            }
            Err(why) => {
                shared.received.clear();
                meter.counters.refused += 1;
                Event::Refused(why, batch.keep_sample(shown), from)
            }
        };
        batch.events.push(event);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<PayloadKind, Refusal> {
        match self.protocol {
            Protocol::Jsoncomm => {
                jsoncomm::decode(bytes).map(PayloadKind::Text).map_err(Refusal::Malformed)
            }
            _ => Ok(PayloadKind::Bytes),
        }
    }

    fn name_sender(&mut self, batch: &mut Batch<'_>) -> Sender {
        if self.connected {
            Sender::Peer
        } else if self.from.is_unnamed() {
            Sender::Unnamed
        } else if self.from == self.last_from {
            Sender::Same
        } else {
            self.last_from.clone_from(&self.from);
            Sender::Name(batch.keep_name(self.from.as_bytes()))
        }
    }
}
