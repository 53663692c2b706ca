//! What a stream brings: bytes become messages in a slab, or are refused.
//!
//! ```text
//!  kernel ──recv──► free part of the slab │ rest │ frame │ frame │ beginning of a fra │
//!                                            ▲                     │
//!                                            └──────── rest ◄──────┘
//! ```
//!
//! What is left behind the last whole frame goes into memory of the channel, and comes in front of
//! what is read next. A frame that is too large for that is read straight into memory of its own.
//! No byte is copied more often than that, however small the pieces are in which it comes: a piece
//! that is shorter than the rest is appended to the rest instead.

use std::io::IoSliceMut;
use std::ops::Range;

use fdwire_socket::{Errno, Stream};
use fdwire_wire::codec::{Codec, End, Lost, Step};

use crate::Shared;
use crate::batch::{Batch, Event, Refusal};
use crate::limits::Meter;
use crate::stream::message::{Large, Place, Received, push, refuse, sample_of};

/// From this length on (bytes) a frame of bytes is read into memory of its own, which is what
/// JavaScript gets.
const OWN_BYTES: usize = 32 * 1024;

/// The same for text, which JavaScript copies in any case.
const OWN_TEXT: usize = 128 * 1024;

/// Memory for a rest that is kept although it is empty (bytes).
const REST_KEPT: usize = 4 * 1024;

/// The receiving direction of a stream.
pub(crate) struct Inbox {
    codec: Codec,
    own: usize,
    rest: Vec<u8>,
    /// How much of `rest` is filled, where that is memory of its frame's own.
    filled: Option<usize>,
    /// Whether the rest may hold whole frames, because a turn was full.
    undecoded: bool,
    /// Descriptors of the frame that begins the rest.
    fds: Received,
    /// Descriptors of the frame that holds the last byte of an undecoded rest.
    last_fds: Received,
    ended: bool,
}

impl Inbox {
    /// `text`: payloads are text.
    pub(crate) fn new(codec: Codec, text: bool) -> Self {
        Self {
            codec,
            own: if text { OWN_TEXT } else { OWN_BYTES },
            rest: Vec::new(),
            filled: None,
            undecoded: false,
            fds: Received::default(),
            last_fds: Received::default(),
            ended: false,
        }
    }

    /// The codec, for the other direction.
    pub(crate) fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Whether nothing more is to be read.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes in hand that are no message yet.
    pub(crate) fn in_hand(&self) -> usize {
        self.filled.unwrap_or(self.rest.len())
    }

    /// Whether there is something to decode without reading.
    pub(crate) fn has_undecoded(&self) -> bool {
        self.undecoded
    }

    /// Reads messages into `batch` until there are no more, or no room, or too many descriptors.
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
                batch.events.push(Event::FdsHeld);
                return;
            }
            let read = match self.filled {
                Some(filled) => self.read_own(filled, socket, meter, shared, batch),
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

    /// Takes bytes in that came some other way; `decode` finds the messages.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if let Some(filled) = self.filled.take() {
            self.rest.truncate(filled);
        }
        self.rest.extend_from_slice(bytes);
        self.undecoded = true;
    }

    /// Decodes what is in hand.
    pub(crate) fn decode(&mut self, meter: &mut Meter, batch: &mut Batch<'_>) {
        self.decode_rest(meter, batch);
    }

    /// The peer has ended: what is left is a last message, or cut.
    pub(crate) fn end(&mut self, meter: &mut Meter, batch: &mut Batch<'_>) {
        self.ended = true;
        let mut rest = std::mem::take(&mut self.rest);
        rest.truncate(self.filled.take().unwrap_or(rest.len()));
        let mut fds = std::mem::take(&mut self.fds);
        match self.codec.end(&mut rest) {
            End::Clean => {}
            End::Message(payload, kind) => {
                let large = Large { bytes: rest, payload };
                push(Place::Large(large), kind, &mut fds, meter, batch);
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

    /// Nothing more comes, and what is in hand is nothing.
    pub(crate) fn drop_rest(&mut self) {
        self.ended = true;
        self.rest = Vec::new();
        self.filled = None;
        self.fds = Received::default();
        self.last_fds = Received::default();
    }

    /// Reads once into the slab; whether there may be more to read.
    fn read_slab(
        &mut self,
        socket: &Stream,
        meter: &mut Meter,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) -> Result<bool, Errno> {
        let kept = self.rest.len();
        let room = batch.room_behind(kept);
        let asked = room.len();
        let received =
            socket.recv(&mut [IoSliceMut::new(room)], &mut shared.control, &mut shared.received)?;
        if received.len == 0 {
            self.end(meter, batch);
            return Ok(false);
        }
        let fds = std::mem::take(&mut shared.received);
        let mut fds = Received::new(fds, received.fds_truncated);
        let len = kept + received.len;
        let mut first = None;
        if received.len < kept {
            self.rest.extend_from_slice(batch.unread(kept..len));
            match self.codec.decode(&mut self.rest) {
                Ok(Step::Incomplete { frame }) => {
                    self.fds.append(&mut fds, meter.limits.max_fds);
                    self.make_room(frame);
                    return Ok(received.len == asked);
                }
                step => first = Some(step),
            }
        }
        let copied = if first.is_some() { len } else { kept };
        batch.unread(0..copied).copy_from_slice(&self.rest[..copied]);
        self.forget_rest();
        // A chunk ends with the bytes that carried descriptors, though there may be more.
        let cut_short = !fds.fds.is_empty() || fds.truncated;
        self.last_fds = fds;
        let (_, frame) = self.decode_slab(len, first, false, meter, batch);
        self.make_room(frame);
        Ok(cut_short || received.len == asked)
    }

    /// Reads once into the memory of the frame's own; whether there may be more to read.
    fn read_own(
        &mut self,
        filled: usize,
        socket: &Stream,
        meter: &mut Meter,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) -> Result<bool, Errno> {
        let room = &mut self.rest[filled..];
        let asked = room.len();
        let received =
            socket.recv(&mut [IoSliceMut::new(room)], &mut shared.control, &mut shared.received)?;
        if received.len == 0 {
            self.end(meter, batch);
            return Ok(false);
        }
        let most = meter.limits.max_fds;
        let fds = std::mem::take(&mut shared.received);
        self.last_fds.append(&mut Received::new(fds, received.fds_truncated), most);
        let filled = filled + received.len;
        self.filled = Some(filled);
        match self.codec.decode(&mut self.rest[..filled]) {
            Ok(Step::Incomplete { frame }) => {
                self.fds.append(&mut self.last_fds, meter.limits.max_fds);
                if frame > self.rest.len() {
                    // How long it is will only be known at its end.
                    self.rest.resize(frame.max(2 * filled), 0);
                }
            }
            Ok(Step::Message { consumed, payload, kind }) => {
                let mut bytes = std::mem::take(&mut self.rest);
                self.filled = None;
                self.rest = bytes[consumed..filled].to_vec();
                self.undecoded = !self.rest.is_empty();
                bytes.truncate(consumed);
                let mut fds = self.claim(self.rest.is_empty(), meter);
                push(Place::Large(Large { bytes, payload }), kind, &mut fds, meter, batch);
                if self.undecoded {
                    self.decode_rest(meter, batch);
                }
            }
            step => {
                self.rest.truncate(filled);
                self.filled = None;
                self.apply_to_rest(step, meter, batch);
            }
        }
        Ok(received.len == asked)
    }

    /// Decodes a rest that may hold whole frames, as much of it as the batch has room for.
    fn decode_rest(&mut self, meter: &mut Meter, batch: &mut Batch<'_>) {
        while self.undecoded && !self.ended && batch.has_room() {
            self.undecoded = false;
            let piece = self.rest.len().min(batch.room_behind(0).len());
            let mut piece_of_rest = std::mem::take(&mut self.rest);
            let behind = piece_of_rest.split_off(piece);
            batch.unread(0..piece).copy_from_slice(&piece_of_rest);
            let more = !behind.is_empty();
            let (consumed, frame) = self.decode_slab(piece, None, more, meter, batch);
            if self.ended {
                return;
            }
            if !more {
                self.make_room(frame);
                return;
            }
            self.rest.extend_from_slice(&behind);
            self.undecoded = true;
            if consumed == 0 {
                // A frame that is larger than the slab.
                let step = self.codec.decode(&mut self.rest);
                self.apply_to_rest(step, meter, batch);
            }
        }
    }

    /// Does what the first step of a rest says that isn't in the slab.
    fn apply_to_rest(
        &mut self,
        step: Result<Step, Lost>,
        meter: &mut Meter,
        batch: &mut Batch<'_>,
    ) {
        let (consumed, message) = match step {
            Ok(Step::Incomplete { frame }) => {
                self.undecoded = false;
                self.fds.append(&mut self.last_fds, meter.limits.max_fds);
                self.make_room(frame);
                return;
            }
            Ok(Step::Message { consumed, payload, kind }) => (consumed, Ok(Some((payload, kind)))),
            Ok(Step::Malformed { consumed, why }) => (consumed, Err(why)),
            Ok(Step::Noise { consumed }) => {
                meter.counters.noise += consumed as u64;
                (consumed, Ok(None))
            }
            Err(why) => {
                let sample = batch.keep_sample_of(&self.rest);
                self.lose(why, sample, batch);
                return;
            }
        };
        let behind = self.rest.split_off(consumed);
        let bytes = std::mem::replace(&mut self.rest, behind);
        self.undecoded = !self.rest.is_empty();
        let mut fds = self.claim(self.rest.is_empty(), meter);
        match message {
            Ok(Some((payload, kind))) => {
                push(Place::Large(Large { bytes, payload }), kind, &mut fds, meter, batch);
            }
            Ok(None) => {}
            Err(why) => {
                let sample = batch.keep_sample_of(&bytes);
                refuse(Refusal::Malformed(why), sample, meter, batch);
            }
        }
    }

    /// Decodes the first `len` bytes of the free part of the slab, and keeps what is left.
    ///
    /// `first` is their first step where that is known, `more`: there are bytes behind them. Gives
    /// how many were consumed, and how many the frame that is left has at least.
    fn decode_slab(
        &mut self,
        len: usize,
        mut first: Option<Result<Step, Lost>>,
        more: bool,
        meter: &mut Meter,
        batch: &mut Batch<'_>,
    ) -> (usize, usize) {
        let (mut at, mut frame) = (0, 0);
        while at < len {
            if !batch.has_place() {
                self.undecoded = true;
                break;
            }
            let step = first.take().unwrap_or_else(|| self.codec.decode(batch.unread(at..len)));
            match step {
                Ok(Step::Message { consumed, payload, kind }) => {
                    let payload = batch.place(&(at + payload.start..at + payload.end));
                    at += consumed;
                    let mut fds = self.claim(at == len && !more, meter);
                    push(Place::Slab(payload), kind, &mut fds, meter, batch);
                }
                Ok(Step::Incomplete { frame: least }) => {
                    if !more {
                        self.fds.append(&mut self.last_fds, meter.limits.max_fds);
                    }
                    frame = least;
                    break;
                }
                Ok(Step::Noise { consumed }) => {
                    meter.counters.noise += consumed as u64;
                    at += consumed;
                    self.claim(at == len && !more, meter);
                }
                Ok(Step::Malformed { consumed, why }) => {
                    let sample = sample_of(batch, at..at + consumed);
                    at += consumed;
                    self.claim(at == len && !more, meter);
                    refuse(Refusal::Malformed(why), sample, meter, batch);
                }
                Err(why) => {
                    let sample = sample_of(batch, at..len);
                    self.lose(why, sample, batch);
                    break;
                }
            }
        }
        if !self.ended {
            self.rest.extend_from_slice(batch.unread(at..len));
        }
        batch.advance(at);
        (at, frame)
    }

    /// The descriptors of the frame that begins the bytes in hand; `last`: it ends them too.
    fn claim(&mut self, last: bool, meter: &Meter) -> Received {
        let mut fds = std::mem::take(&mut self.fds);
        if last {
            fds.append(&mut self.last_fds, meter.limits.max_fds);
        }
        fds
    }

    /// Gives the frame in hand memory of its own, where it has `frame` bytes and that is much.
    fn make_room(&mut self, frame: usize) {
        if frame <= self.own {
            return;
        }
        let filled = self.rest.len();
        // Where its length isn't known, there is room for as much again.
        let len = if frame > filled + 1 { frame } else { 2 * filled };
        // Zeroed pages that nobody touches take no memory: a length that is only promised costs none.
        let mut own = vec![0; len];
        own[..filled].copy_from_slice(&self.rest);
        self.rest = own;
        self.filled = Some(filled);
    }

    fn forget_rest(&mut self) {
        if self.rest.capacity() > REST_KEPT {
            self.rest = Vec::new();
        } else {
            self.rest.clear();
        }
    }

    fn lose(&mut self, why: Lost, sample: Range<usize>, batch: &mut Batch<'_>) {
        self.drop_rest();
        batch.events.push(Event::Lost(why, sample));
    }
}
