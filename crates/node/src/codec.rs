//! A codec alone, for bytes that come and go some other way.

use fdwire_wire::codec::{self, End, Kind, Lost, Step};
use napi::bindgen_prelude::{Buffer, Int32Array, Uint8Array};
use napi::{Error, Result, Status};
use napi_derive::napi;

use crate::outcome::{ChannelOptions, Failed, unframeable};
use crate::record::{loss_reason, malformed_reason, payload_kind};
use crate::table::RecordKind;

/// The codec of a protocol for streams, both ways.
#[napi]
pub struct Codec {
    codec: codec::Codec,
    rest: Vec<u8>,
}

/// What bytes have brought.
#[napi(object)]
pub struct Decoded {
    /// The messages, and the first bytes of what is none, behind each other.
    pub bytes: Buffer,
    /// Four numbers for each: a `RecordKind` (Message, Refused, Lost, or Cut with the bytes that are
    /// missing as its length), where its bytes begin, how many they are, and a detail as in a record.
    pub records: Int32Array,
}

/// How many bytes are shown of what is no message.
const SAMPLE: usize = 32;

#[napi]
impl Codec {
    /// A codec by the options of a channel.
    #[napi(constructor)]
    pub fn new(options: ChannelOptions) -> Result<Self> {
        let framing = options.framing().map_err(|Failed(errno, _)| {
            Error::new(Status::InvalidArg, format!("{}: {errno}", options.protocol))
        })?;
        Ok(Self { codec: framing.codec, rest: Vec::new() })
    }

    /// Decodes what was left and these bytes; of a stream that is lost nothing is left.
    #[napi]
    pub fn push(&mut self, chunk: Uint8Array) -> Decoded {
        self.rest.extend_from_slice(&chunk);
        let mut found = Found::default();
        let mut at = 0;
        while at < self.rest.len() {
            let input = &mut self.rest[at..];
            match self.codec.decode(input) {
                Ok(Step::Incomplete { .. }) => break,
                Ok(Step::Noise { consumed }) => at += consumed,
                Ok(Step::Message { consumed, payload, kind }) => {
                    found.message(&input[payload], kind);
                    at += consumed;
                }
                Ok(Step::Malformed { consumed, why }) => {
                    found.sample(
                        RecordKind::Refused,
                        &input[..consumed],
                        malformed_reason(why) as i32,
                    );
                    at += consumed;
                }
                Err(why) => {
                    found.lost(input, why);
                    at = self.rest.len();
                }
            }
        }
        self.rest.drain(..at);
        found.into()
    }

    /// What the end makes of the bytes that are left.
    #[napi]
    pub fn end(&mut self) -> Decoded {
        let mut rest = std::mem::take(&mut self.rest);
        let mut found = Found::default();
        match self.codec.end(&mut rest) {
            End::Clean => {}
            End::Message(payload, kind) => found.message(&rest[payload], kind),
            End::Malformed(why) => {
                found.sample(RecordKind::Refused, &rest, malformed_reason(why) as i32);
            }
            End::Cut { missing } => {
                let missing = i32::try_from(missing).unwrap_or(i32::MAX);
                found.records.extend([RecordKind::Cut as i32, 0, missing, 0]);
            }
        }
        found.into()
    }

    /// The frame of a text; an error code of `send`, as a number, where there is none.
    #[napi]
    pub fn encode_text(&self, text: String) -> napi::Either<Buffer, i32> {
        self.encode(text.as_bytes(), true)
    }

    /// The frame of bytes; as `encodeText`.
    #[napi]
    pub fn encode_bytes(&self, bytes: Uint8Array) -> napi::Either<Buffer, i32> {
        self.encode(&bytes, false)
    }

    fn encode(&self, payload: &[u8], text: bool) -> napi::Either<Buffer, i32> {
        let mut frame = Vec::new();
        match self.codec.encode(payload, text, &mut frame) {
            Ok(()) => napi::Either::A(frame.into()),
            Err(why) => napi::Either::B(unframeable(why)),
        }
    }
}

#[derive(Default)]
struct Found {
    bytes: Vec<u8>,
    records: Vec<i32>,
}

impl Found {
    fn message(&mut self, payload: &[u8], kind: Kind) {
        self.add(RecordKind::Message, payload, payload_kind(kind) as i32);
    }

    fn lost(&mut self, input: &[u8], why: Lost) {
        self.sample(RecordKind::Lost, input, loss_reason(why) as i32);
    }

    fn sample(&mut self, kind: RecordKind, bytes: &[u8], detail: i32) {
        self.add(kind, &bytes[..bytes.len().min(SAMPLE)], detail);
    }

    fn add(&mut self, kind: RecordKind, bytes: &[u8], detail: i32) {
        let word = |value: usize| i32::try_from(value).unwrap_or(i32::MAX);
        self.records.extend([kind as i32, word(self.bytes.len()), word(bytes.len()), detail]);
        self.bytes.extend_from_slice(bytes);
    }
}

impl From<Found> for Decoded {
    fn from(found: Found) -> Self {
        Self { bytes: found.bytes.into(), records: Int32Array::new(found.records) }
    }
}
