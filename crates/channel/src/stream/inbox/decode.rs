//! Decodes the bytes that the inbox has read: in the slab, in the rest, or in a large frame.

use fdwire_wire::codec::{Lost, Step};

use super::{Inbox, LargeFrame};
use crate::batch::{Batch, Event, Refusal};
use crate::limits::Meter;
use crate::stream::message::{LargePayload, Place, deliver, refuse, sample_of};
use crate::{append, copied};

impl Inbox {
    /// Decodes the first `len` bytes of the free part of the slab, and keeps the rest.
    ///
    /// `first` is the result of the first step, if it is known. `more`: whether bytes follow that
    /// are not in the slab. Returns the number of consumed bytes, and the least length of the frame
    /// at the start of the rest.
    pub(super) fn decode_slab(
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
            let step = first.take().unwrap_or_else(|| self.codec.decode(batch.undecoded(at..len)));
            match step {
                Ok(Step::Message { consumed, payload, kind }) => {
                    let payload = batch.place(&(at + payload.start..at + payload.end));
                    at += consumed;
                    if self.fds.is_none() {
                        meter.received(payload.len(), 0);
                        batch.push_plain(payload, kind);
                    } else {
                        let fds = self.claim_fds(at == len && !more, meter);
                        deliver(Place::Slab(payload), kind, fds, meter, batch);
                    }
                }
                Ok(Step::Incomplete { frame: minimum }) => {
                    if !more {
                        self.keep_fds(meter);
                    }
                    frame = minimum;
                    break;
                }
                Ok(Step::Noise { consumed }) => {
                    meter.counters.noise += consumed as u64;
                    at += consumed;
                    self.claim_fds(at == len && !more, meter);
                }
                Ok(Step::Malformed { consumed, why }) => {
                    let sample = sample_of(batch, at..at + consumed);
                    at += consumed;
                    self.claim_fds(at == len && !more, meter);
                    refuse(Refusal::Malformed(why), sample, meter, batch);
                }
                Err(why) => {
                    let sample = sample_of(batch, at..len);
                    self.lose(why, sample, batch);
                    break;
                }
            }
        }
        if at < len && !self.ended {
            if append(&mut self.rest, batch.undecoded(at..len)).is_err() {
                self.run_out_of_memory(batch);
            }
        } else {
            // An idle channel has no memory for a rest.
            self.rest = Vec::new();
        }
        batch.advance(at);
        (at, frame)
    }

    /// Decodes a rest that may contain complete frames, as far as the batch has room.
    pub(super) fn decode_rest(&mut self, meter: &mut Meter, batch: &mut Batch<'_>) {
        while self.undecoded && !self.ended && batch.has_room() {
            self.undecoded = false;
            let room = batch.room_after(0).len();
            if std::mem::take(&mut self.seen) > room {
                // The codec has seen more of the frame than the slab takes.
                let step = self.codec.decode(&mut self.rest);
                self.apply_to_rest(step, meter, batch);
                continue;
            }
            let piece = self.rest.len().min(room);
            let Ok(after) = copied(&self.rest[piece..]) else {
                return self.run_out_of_memory(batch);
            };
            batch.undecoded(0..piece).copy_from_slice(&self.rest[..piece]);
            self.rest = Vec::new();
            let more = !after.is_empty();
            let (consumed, frame) = self.decode_slab(piece, None, more, meter, batch);
            if self.ended {
                return;
            }
            if !more {
                self.make_room(frame);
                return;
            }
            if append(&mut self.rest, &after).is_err() {
                return self.run_out_of_memory(batch);
            }
            self.undecoded = true;
            if consumed == 0 {
                // The frame is larger than the slab.
                let step = self.codec.decode(&mut self.rest);
                self.apply_to_rest(step, meter, batch);
            }
        }
    }

    /// Decodes a large frame after more of its bytes were read.
    pub(super) fn decode_large(
        &mut self,
        mut large: Box<LargeFrame>,
        meter: &mut Meter,
        batch: &mut Batch<'_>,
    ) {
        let filled = large.filled;
        match self.codec.decode(&mut large.bytes[..filled]) {
            Ok(Step::Incomplete { frame }) => {
                self.keep_fds(meter);
                if frame > large.len {
                    // The codec does not know the length of the frame before its end.
                    large.len = frame.max(2 * filled);
                }
                self.large = Some(large);
            }
            Ok(Step::Message { consumed, payload, kind }) => {
                let mut frame = large.bytes;
                let Ok(rest) = copied(&frame[consumed..filled]) else {
                    return self.run_out_of_memory(batch);
                };
                self.rest = rest;
                self.undecoded = !self.rest.is_empty();
                frame.truncate(consumed);
                let fds = self.claim_fds(self.rest.is_empty(), meter);
                let place = Place::Large(LargePayload { frame, payload });
                deliver(place, kind, fds, meter, batch);
                if self.undecoded {
                    self.decode_rest(meter, batch);
                }
            }
            step => {
                self.rest = large.into_filled();
                self.apply_to_rest(step, meter, batch);
            }
        }
    }

    /// Applies the first step of decoding a rest that is not in the slab.
    fn apply_to_rest(
        &mut self,
        step: Result<Step, Lost>,
        meter: &mut Meter,
        batch: &mut Batch<'_>,
    ) {
        let (consumed, message) = match step {
            Ok(Step::Incomplete { frame }) => {
                self.undecoded = false;
                self.keep_fds(meter);
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
        let Ok(after) = copied(&self.rest[consumed..]) else {
            return self.run_out_of_memory(batch);
        };
        let mut frame = std::mem::replace(&mut self.rest, after);
        frame.truncate(consumed);
        self.undecoded = !self.rest.is_empty();
        let fds = self.claim_fds(self.rest.is_empty(), meter);
        match message {
            Ok(Some((payload, kind))) => {
                let place = Place::Large(LargePayload { frame, payload });
                deliver(place, kind, fds, meter, batch);
            }
            Ok(None) => {}
            Err(why) => {
                let sample = batch.keep_sample_of(&frame);
                refuse(Refusal::Malformed(why), sample, meter, batch);
            }
        }
    }

    /// Ends the input because the codec cannot find the next frame.
    fn lose(&mut self, why: Lost, sample: std::ops::Range<usize>, batch: &mut Batch<'_>) {
        self.drop_rest();
        batch.events.push(Event::Lost(why, sample));
    }
}
