//! The receiving direction of a stream: bytes become messages in the slab, or are refused.
//!
//! ```text
//!  kernel ──recv──► free part of the slab │ rest │ frame │ frame │ start of a frame   │
//!                                            ▲                     │
//!                                            └──────── rest ◄──────┘
//! ```
//!
//! The bytes after the last whole frame are the *rest*. They are copied to memory of the channel,
//! and back to the slab right before the next read. A frame that is too large for the slab is read
//! into its own allocation, which becomes the message.
//!
//! A piece that is shorter than the rest is appended to the rest instead. This bounds the number of
//! copies per byte, however short the received pieces are.

mod decode;

use std::io::IoSliceMut;

use fdwire_socket::{Errno, Stream, zeroed};
use fdwire_wire::codec::{Codec, End, Step};

use crate::batch::{Batch, Event, Refusal};
use crate::limits::{Counters, Meter};
use crate::stream::message::{LargePayload, Place, ReceivedFds, deliver, refuse};
use crate::{Shared, append};

/// Length in bytes above which a frame of bytes gets its own allocation, which JavaScript then
/// uses.
const OWN_BYTES: usize = 32 * 1024;

/// Length in bytes above which a frame of text gets its own allocation. JavaScript copies text
/// anyway, so this gains less.
const OWN_TEXT: usize = 128 * 1024;

/// Smallest allocation in bytes of a large frame that needs more.
const OWN_LEAST: usize = 256 * 1024;

/// Largest size of the allocation of a large frame, as a multiple of the received bytes.
const OWN_GROWTH: usize = 8;

/// Largest allocation in bytes that is kept for the next rest.
const REST_KEPT: usize = 4 * 1024;

/// The receiving direction of a stream.
pub(crate) struct Inbox {
    codec: Codec,
    /// Whether payloads are text.
    text: bool,
    /// Whether the rest may contain complete frames, because a turn was full or the caller has fed
    /// them.
    undecoded: bool,
    /// Whether reading has stopped for good.
    ended: bool,
    /// Whether the peer has ended the stream.
    peer_ended: bool,
    /// Whether the memory for fed input could not be allocated.
    out_of_memory: bool,
    /// The bytes after the last whole frame.
    rest: Vec<u8>,
    /// How many bytes of the fed rest the codec has seen as an incomplete frame. It continues behind
    /// them, so the next step needs at least as many.
    seen: usize,
    /// The frame that is being read into its own allocation. The rest is empty meanwhile.
    large: Option<Box<LargeFrame>>,
    /// Descriptors of the rest or of the large frame.
    fds: Option<Box<PendingFds>>,
}

/// A frame that is being read into its own allocation.
struct LargeFrame {
    /// The bytes that have been read, then zeros. The allocation grows with the received bytes, so a
    /// length that a peer only announces costs nothing.
    bytes: Vec<u8>,
    /// The number of bytes that have been read.
    filled: usize,
    /// The length of the whole frame, as far as it is known.
    len: usize,
}

/// Descriptors that came with bytes that have not been decoded yet.
#[derive(Default)]
struct PendingFds {
    /// Those of the frame at the start of these bytes.
    first: ReceivedFds,
    /// Those of the frame that contains the last of these bytes.
    last: ReceivedFds,
}

impl Inbox {
    /// Creates an inbox. `text`: whether payloads are text.
    pub(crate) fn new(codec: Codec, text: bool) -> Self {
        Self {
            codec,
            text,
            undecoded: false,
            ended: false,
            peer_ended: false,
            out_of_memory: false,
            rest: Vec::new(),
            seen: 0,
            large: None,
            fds: None,
        }
    }

    /// Returns the codec, for the other direction.
    pub(crate) fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Returns whether reading has stopped for good.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Returns whether the peer has ended the stream.
    pub(crate) fn peer_ended(&self) -> bool {
        self.peer_ended
    }

    /// Returns the number of bytes that were read but do not form a complete message yet.
    pub(crate) fn buffered(&self) -> usize {
        self.large.as_ref().map_or(self.rest.len(), |large| large.filled)
    }

    /// Returns the number of messages so far, and a number of bytes that grows with each received
    /// one.
    pub(crate) fn progress(&self, counters: &Counters) -> (u64, u64) {
        let bytes = counters.received_bytes + counters.noise + self.buffered() as u64;
        (counters.received + counters.refused, bytes)
    }

    /// Returns whether there is something to decode without reading.
    pub(crate) fn has_undecoded(&self) -> bool {
        self.undecoded
    }

    /// Reads messages into `batch` until the socket has no more, the batch is full, or the channel
    /// reaches its limit of open descriptors.
    pub(crate) fn read(
        &mut self,
        socket: &Stream,
        meter: &mut Meter,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) {
        if self.undecoded {
            self.decode_rest(meter, batch);
        }
        while !self.ended && !self.undecoded && batch.has_room() {
            if meter.holds_fds() {
                if meter.at_max_open_fds() {
                    batch.events.push(Event::FdsHeld);
                }
                return;
            }
            let read = match self.large.take() {
                Some(large) => self.read_large(large, socket, meter, shared, batch),
                None => self.read_slab(socket, meter, shared, batch),
            };
            match read {
                Ok(true) => {}
                Ok(false) | Err(Errno::AGAIN) => return,
                Err(errno) => {
                    self.ended = true;
                    batch.events.push(Event::Failed(errno, "recvmsg"));
                }
            }
        }
    }

    /// Appends input that the caller has received; [`decode`](Self::decode) decodes it. Once reading
    /// has stopped, the input is dropped.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.ended {
            return;
        }
        if !self.undecoded {
            self.seen = self.buffered();
        }
        if let Some(large) = self.large.take() {
            self.rest = large.into_filled();
        }
        self.out_of_memory |= append(&mut self.rest, bytes).is_err();
        self.undecoded = true;
    }

    /// Decodes the bytes that `feed` has appended.
    pub(crate) fn decode(&mut self, meter: &mut Meter, batch: &mut Batch<'_>) {
        if self.out_of_memory && !self.ended {
            return self.run_out_of_memory(batch);
        }
        self.decode_rest(meter, batch);
    }

    /// Handles the end of the input: the rest is a last message, or a frame that is cut off.
    pub(crate) fn end(&mut self, meter: &mut Meter, batch: &mut Batch<'_>) {
        self.ended = true;
        self.peer_ended = true;
        let mut rest = match self.large.take() {
            Some(large) => large.into_filled(),
            None => std::mem::take(&mut self.rest),
        };
        let fds = self.fds.take().unwrap_or_default().first;
        match self.codec.end(&mut rest) {
            End::Clean => {}
            End::Message(payload, kind) => {
                let place = Place::Large(LargePayload { frame: rest, payload });
                deliver(place, kind, fds, meter, batch);
            }
            End::Malformed(why) => {
                let sample = batch.keep_sample_of(&rest);
                refuse(Refusal::Malformed(why), sample, meter, batch);
            }
            End::Cut { missing } => {
                batch.events.push(Event::Cut(missing));
                return;
            }
        }
        batch.events.push(Event::End);
    }

    /// Stops reading, and drops the rest.
    pub(crate) fn drop_rest(&mut self) {
        self.ended = true;
        self.undecoded = false;
        self.rest = Vec::new();
        self.large = None;
        self.fds = None;
    }

    /// Ends the input because memory for it could not be allocated.
    fn run_out_of_memory(&mut self, batch: &mut Batch<'_>) {
        self.drop_rest();
        self.undecoded = false;
        batch.events.push(Event::Failed(Errno::NOMEM, "recvmsg"));
    }

    /// Reads once into the slab. Returns whether there may be more to read.
    fn read_slab(
        &mut self,
        socket: &Stream,
        meter: &mut Meter,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) -> Result<bool, Errno> {
        let kept = self.rest.len();
        let room = batch.room_after(kept);
        let room_len = room.len();
        let received =
            socket.recv(&mut [IoSliceMut::new(room)], &mut shared.control, &mut shared.received)?;
        if received.len == 0 {
            self.end(meter, batch);
            return Ok(false);
        }
        let fds = std::mem::take(&mut shared.received);
        let fds = ReceivedFds::new(fds, received.fds_truncated);
        // A receive ends after bytes with descriptors even if more bytes are available.
        let more = received.len == room_len || !fds.is_empty();
        self.set_last_fds(fds);
        let len = kept + received.len;
        let mut first = None;
        if received.len < kept {
            append(&mut self.rest, batch.undecoded(kept..len))?;
            match self.codec.decode(&mut self.rest) {
                Ok(Step::Incomplete { frame }) => {
                    self.keep_fds(meter);
                    self.make_room(frame);
                    return Ok(received.len == room_len);
                }
                step => first = Some(step),
            }
        }
        let copied = if first.is_some() { len } else { kept };
        batch.undecoded(0..copied).copy_from_slice(&self.rest[..copied]);
        self.forget_rest();
        let (_, frame) = self.decode_slab(len, first, false, meter, batch);
        self.make_room(frame);
        Ok(more)
    }

    /// Reads once into the memory of a large frame. Returns whether there may be more to read.
    fn read_large(
        &mut self,
        mut large: Box<LargeFrame>,
        socket: &Stream,
        meter: &mut Meter,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) -> Result<bool, Errno> {
        large.make_room()?;
        let room = &mut large.bytes[large.filled..];
        let room_len = room.len();
        let received =
            socket.recv(&mut [IoSliceMut::new(room)], &mut shared.control, &mut shared.received);
        let received = match received {
            Ok(received) if received.len > 0 => received,
            nothing => {
                self.large = Some(large);
                if nothing?.len == 0 {
                    self.end(meter, batch);
                }
                return Ok(false);
            }
        };
        let fds = std::mem::take(&mut shared.received);
        self.set_last_fds(ReceivedFds::new(fds, received.fds_truncated));
        large.filled += received.len;
        self.decode_large(large, meter, batch);
        Ok(received.len == room_len)
    }

    /// Clears the rest, which has been copied. A small allocation is kept for the next rest.
    fn forget_rest(&mut self) {
        if self.rest.capacity() > REST_KEPT {
            self.rest = Vec::new();
        } else {
            self.rest.clear();
        }
    }

    /// Turns the rest into a large frame if its frame, of at least `frame` bytes, is large.
    fn make_room(&mut self, frame: usize) {
        let own = if self.text { OWN_TEXT } else { OWN_BYTES };
        if frame <= own || self.ended {
            return;
        }
        let bytes = std::mem::take(&mut self.rest);
        let filled = bytes.len();
        // If the codec does not know the length yet, twice the present length.
        let len = if frame > filled + 1 { frame } else { 2 * filled };
        self.large = Some(Box::new(LargeFrame { bytes, filled, len }));
    }

    /// Stores the descriptors that came with the last bytes.
    fn set_last_fds(&mut self, last: ReceivedFds) {
        if !last.is_empty() || self.fds.is_some() {
            self.fds.get_or_insert_default().last = last;
        }
    }

    /// Assigns the descriptors of the last bytes to the frame at the start of the rest, which is
    /// the only one.
    fn keep_fds(&mut self, meter: &Meter) {
        if let Some(fds) = &mut self.fds {
            fds.first.append(&mut fds.last, meter.limits.max_fds);
        }
    }

    /// Takes the descriptors of the frame at the start of the bytes. `last`: whether the frame also
    /// contains the last of the bytes.
    #[inline]
    fn claim_fds(&mut self, last: bool, meter: &Meter) -> ReceivedFds {
        match self.fds.take_if(|_| last) {
            Some(mut fds) => {
                fds.first.append(&mut fds.last, meter.limits.max_fds);
                fds.first
            }
            None => match &mut self.fds {
                Some(fds) => std::mem::take(&mut fds.first),
                None => ReceivedFds::default(),
            },
        }
    }
}

impl LargeFrame {
    /// Makes room for the next read.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn make_room(&mut self) -> Result<(), Errno> {
        if self.filled < self.bytes.len() {
            return Ok(());
        }
        let mut bytes = zeroed(self.len.min((OWN_GROWTH * self.filled).max(OWN_LEAST)))?;
        bytes[..self.filled].copy_from_slice(&self.bytes);
        self.bytes = bytes;
        Ok(())
    }

    /// Returns the bytes that have been read.
    fn into_filled(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        bytes.truncate(self.filled);
        bytes
    }
}
