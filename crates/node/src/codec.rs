//! A codec without a channel, for bytes that the program transfers itself.

use fdwire_channel::SAMPLE;
use fdwire_wire::Malformed;
use fdwire_wire::codec::{self, End, Kind, Lost, Step};
use napi::bindgen_prelude::{Buffer, BufferSlice, Env, Uint8Array};
use napi::{Error, Result, Status};
use napi_derive::napi;

use crate::options::ChannelOptions;
use crate::record::{Record, loss_reason, malformed_reason, payload_kind, word};
use crate::sending::unframeable;
use crate::table::RecordKind;

/// Encodes and decodes the frames of one stream.
#[napi]
pub struct Codec {
    codec: codec::Codec,
    /// Received bytes that do not form a complete frame yet.
    rest: Vec<u8>,
}

/// The result of decoding.
///
/// V8 owns the memory of both Buffers, and frees it while a loop of the program decodes. Node frees
/// native memory only when the event loop turns.
#[napi(object)]
pub struct Decoded {
    /// The payloads of messages and the samples of malformed frames, concatenated.
    pub bytes: Buffer,
    /// The words of records as in a turn: `Messages`, and `Refused`, `Lost` or `Cut` for a failure.
    /// Offsets are those in `bytes`.
    pub records: Buffer,
    /// The words of the spans of the messages.
    pub spans: Buffer,
}

#[napi]
impl Codec {
    /// Creates a codec with the options of a channel. Throws if the protocol is not for streams.
    #[napi(constructor)]
    pub fn new(options: ChannelOptions) -> Result<Self> {
        let framing = options.framing().map_err(|_| {
            let reason = format!("{} is not a protocol for streams", options.protocol);
            Error::new(Status::InvalidArg, reason)
        })?;
        Ok(Self { codec: framing.codec, rest: Vec::new() })
    }

    /// Decodes the bytes that earlier calls have left incomplete, followed by `chunk`. A `Lost`
    /// record ends decoding, and drops the remaining bytes.
    #[napi]
    pub fn push(&mut self, env: &Env, chunk: Uint8Array) -> Result<Decoded> {
        self.rest.extend_from_slice(&chunk);
        let mut output = Output::default();
        let mut at = 0;
        while at < self.rest.len() {
            let input = &mut self.rest[at..];
            match self.codec.decode(input) {
                Ok(Step::Incomplete { .. }) => break,
                Ok(Step::Noise { consumed }) => at += consumed,
                Ok(Step::Message { consumed, payload, kind }) => {
                    output.message(&input[payload], kind);
                    at += consumed;
                }
                Ok(Step::Malformed { consumed, why }) => {
                    output.refused(&input[..consumed], why);
                    at += consumed;
                }
                Err(why) => {
                    output.lost(input, why);
                    at = self.rest.len();
                }
            }
        }
        self.rest.drain(..at);
        output.into_decoded(env)
    }

    /// Ends the stream, and decodes the remaining bytes.
    #[napi]
    pub fn end(&mut self, env: &Env) -> Result<Decoded> {
        let mut rest = std::mem::take(&mut self.rest);
        let mut output = Output::default();
        match self.codec.end(&mut rest) {
            End::Clean => {}
            End::Message(payload, kind) => output.message(&rest[payload], kind),
            End::Malformed(why) => output.refused(&rest, why),
            End::Cut { missing } => output.cut(missing),
        }
        output.into_decoded(env)
    }

    /// Returns the frame of a text, or an error code of `send` if the protocol cannot carry it.
    #[napi]
    pub fn encode_text(&self, env: &Env, text: String) -> Result<napi::Either<Buffer, i32>> {
        self.encode(env, text.as_bytes(), true)
    }

    /// Returns the frame of bytes, or an error code of `send` if the protocol cannot carry them.
    #[napi]
    pub fn encode_bytes(&self, env: &Env, bytes: Uint8Array) -> Result<napi::Either<Buffer, i32>> {
        self.encode(env, &bytes, false)
    }

    fn encode(&self, env: &Env, payload: &[u8], text: bool) -> Result<napi::Either<Buffer, i32>> {
        let mut frame = Vec::new();
        match self.codec.encode(payload, text, &mut frame) {
            Ok(()) => buffer_of(env, &frame).map(napi::Either::A),
            Err(why) => Ok(napi::Either::B(unframeable(why))),
        }
    }
}

/// The contents of a `Decoded` that is being built.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    /// The words of the records, in the byte order of the machine.
    records: Vec<u8>,
    /// The words of the spans.
    spans: Vec<u8>,
    /// The number of spans, and how many of them a record covers.
    messages: usize,
    recorded: usize,
}

impl Output {
    fn message(&mut self, payload: &[u8], kind: Kind) {
        let words = [word(self.bytes.len()), word(payload.len()), payload_kind(kind) as i32];
        self.spans.extend(words.into_iter().flat_map(i32::to_ne_bytes));
        self.bytes.extend_from_slice(payload);
        self.messages += 1;
    }

    fn refused(&mut self, frame: &[u8], why: Malformed) {
        let detail = malformed_reason(why) as i32;
        self.add(Record { detail, ..Record::new(RecordKind::Refused) }, sample(frame));
    }

    fn lost(&mut self, input: &[u8], why: Lost) {
        let detail = loss_reason(why) as i32;
        self.add(Record { detail, ..Record::new(RecordKind::Lost) }, sample(input));
    }

    fn cut(&mut self, missing: usize) {
        let record = Record { place: word(missing), ..Record::new(RecordKind::Cut) };
        self.record(record);
    }

    fn record(&mut self, record: Record) {
        self.record_messages();
        self.push(record);
    }

    /// Adds the record of the messages since the last record.
    fn record_messages(&mut self) {
        let (first, end) = (self.recorded, self.messages);
        if first < end {
            let record = Record::new(RecordKind::Messages);
            self.push(Record { place: word(first), length: word(end - first), ..record });
            self.recorded = end;
        }
    }

    fn push(&mut self, record: Record) {
        self.records.extend(record.words().into_iter().flat_map(i32::to_ne_bytes));
    }

    fn into_decoded(mut self, env: &Env) -> Result<Decoded> {
        self.record_messages();
        Ok(Decoded {
            bytes: buffer_of(env, &self.bytes)?,
            records: buffer_of(env, &self.records)?,
            spans: buffer_of(env, &self.spans)?,
        })
    }

    fn add(&mut self, record: Record, bytes: &[u8]) {
        let (place, length) = (word(self.bytes.len()), word(bytes.len()));
        self.record(Record { place, length, ..record });
        self.bytes.extend_from_slice(bytes);
    }
}

fn sample(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(SAMPLE)]
}

/// Returns a Buffer with a copy of `bytes`, in memory of V8.
fn buffer_of(env: &Env, bytes: &[u8]) -> Result<Buffer> {
    BufferSlice::copy_from(env, bytes)?.into_buffer(env)
}
