//! The contract of a codec for streams: bytes without borders to messages, and back.
//!
//! ```text
//!  input  │ frame │ frame │ noise │ frame │ beginning of a fra │
//!         └───────┘                       └────────────────────┘
//!          decode: Message { consumed, payload }   decode: Incomplete, the input stays
//! ```
//!
//! Laws, for any bytes and every codec, which `tests/streams` asks of each:
//!
//! - `0 < consumed <= input.len()`; with no input nothing is consumed.
//! - The sequence of messages and of malformed frames is the same however the bytes are cut.
//! - What `frame` makes of a payload decodes to that payload.
//! - Time is linear in the bytes, also where they come one by one: a search remembers how far it got.
//! - Nothing is reserved: a length is only compared with the limit.

use alloc::vec::Vec;
use core::ops::Range;

use crate::{Malformed, Protocol, Text};
use crate::{length_prefixed, lines, msg_channel, raw, socket_protocol, stockings, uds_comms};

/// What a codec is to do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The largest payload (bytes); in a frame that is larger the stream is lost.
    pub max_message: usize,
    /// Whether payloads are text (JSON is), so that they must be UTF-8. stockings ignores it: there
    /// each message says what it is.
    pub text: bool,
    /// uds_comms: to decode what the original decodes.
    pub lenient: bool,
    /// lines: what stands behind the last delimiter is a message too.
    pub final_line: bool,
}

/// How a payload is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text(Text),
    /// Bytes.
    Bytes,
}

/// What stands at the beginning of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The beginning of a frame. It has `frame` bytes at least, which are more than there are.
    Incomplete {
        /// The length of the whole frame as far as it is known (bytes): exact where the header is
        /// there, else one more than there are.
        frame: usize,
    },
    /// A message.
    Message {
        /// The bytes of its frame.
        consumed: usize,
        /// Where the payload stands, within the frame. Bytes that must be decoded were decoded there.
        payload: Range<usize>,
        /// How it is to be read.
        kind: Kind,
    },
    /// A frame without a message that can be delivered; the stream goes on behind it.
    Malformed {
        /// The bytes of the frame.
        consumed: usize,
        /// What is wrong.
        why: Malformed,
    },
    /// Bytes outside of any frame, which the protocol passes over.
    Noise {
        /// How many.
        consumed: usize,
    },
}

/// Why nothing behind this point of the stream can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The frame is larger than the limit.
    TooLarge,
    /// The header is none of the protocol's.
    BadHeader,
}

/// What the stream's end makes of the bytes that are left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// There was no frame under way.
    Clean,
    /// They are a message.
    Message(Range<usize>, Kind),
    /// They are a frame that can't be delivered.
    Malformed(Malformed),
    /// They are the beginning of a frame.
    Cut {
        /// Bytes that are missing to its end, at least; exact where the header was there.
        missing: usize,
    },
}

/// Why a payload can't be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unframeable {
    /// It holds the delimiter.
    Delimiter,
    /// It is longer than the header can say.
    TooLong,
}

/// How a payload travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// As it is, between these.
    Around {
        /// What stands before it.
        head: Head,
        /// What stands behind it.
        tail: &'static [u8],
    },
    /// Transformed: [`Codec::encode`] writes the frame.
    Transformed,
}

/// The bytes before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; HEAD],
    len: u8,
}

/// The longest head that is sent (bytes).
const HEAD: usize = 24;

impl Head {
    /// No bytes.
    pub const EMPTY: Self = Self { bytes: [0; HEAD], len: 0 };

    /// Appends one byte; past the longest head it is dropped.
    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    /// Appends bytes; past the longest head they are dropped.
    #[inline]
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let from = usize::from(self.len);
        let to = from + bytes.len();
        if let Some(place) = self.bytes.get_mut(from..to) {
            place.copy_from_slice(bytes);
            self.len = u8::try_from(to).unwrap_or(self.len);
        }
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The codec of one direction of one stream.
///
/// The input of `decode` is what was not consumed before, with more behind it: the same bytes, maybe
/// elsewhere in memory. So a codec may remember how far it has looked.
#[derive(Clone, Debug)]
pub enum Codec {
    /// A length before each payload.
    LengthPrefixed(length_prefixed::Codec),
    /// A line feed behind each payload.
    Lines(lines::Codec),
    /// A header line before each payload.
    MsgChannel(msg_channel::Codec),
    /// No framing.
    Raw(raw::Codec),
    /// Between two signs, with escapes.
    SocketProtocol(socket_protocol::Codec),
    /// A type and a length before each payload.
    Stockings(stockings::Codec),
    /// Base64 between two signs.
    UdsComms(uds_comms::Codec),
}

impl Codec {
    /// The codec of a protocol; None where it isn't for streams.
    #[must_use]
    pub fn new(protocol: Protocol, options: Options) -> Option<Self> {
        Some(match protocol {
            Protocol::Jsoncomm => return None,
            Protocol::LengthPrefixed => Self::LengthPrefixed(length_prefixed::Codec::new(options)),
            Protocol::Lines => Self::Lines(lines::Codec::new(options)),
            Protocol::MsgChannel => Self::MsgChannel(msg_channel::Codec::new(options)),
            Protocol::Raw => Self::Raw(raw::Codec::new(options)),
            Protocol::SocketProtocol => Self::SocketProtocol(socket_protocol::Codec::new(options)),
            Protocol::Stockings => Self::Stockings(stockings::Codec::new(options)),
            Protocol::UdsComms => Self::UdsComms(uds_comms::Codec::new(options)),
        })
    }

    /// What stands at the beginning of `input`, which isn't empty.
    ///
    /// # Errors
    ///
    /// When nothing behind this point can be trusted; the codec is not to be asked again.
    pub fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        match self {
            Self::LengthPrefixed(codec) => codec.decode(input),
            Self::Lines(codec) => codec.decode(input),
            Self::MsgChannel(codec) => codec.decode(input),
            Self::Raw(codec) => codec.decode(input),
            Self::SocketProtocol(codec) => codec.decode(input),
            Self::Stockings(codec) => codec.decode(input),
            Self::UdsComms(codec) => codec.decode(input),
        }
    }

    /// What the stream's end makes of `rest`, of which `decode` has said that it is incomplete.
    pub fn end(&mut self, rest: &mut [u8]) -> End {
        if rest.is_empty() {
            return End::Clean;
        }
        match self {
            Self::LengthPrefixed(codec) => codec.end(rest),
            Self::Lines(codec) => codec.end(rest),
            Self::MsgChannel(codec) => codec.end(rest),
            Self::Raw(codec) => codec.end(rest),
            Self::SocketProtocol(codec) => codec.end(rest),
            Self::Stockings(codec) => codec.end(rest),
            Self::UdsComms(codec) => codec.end(rest),
        }
    }

    /// How a payload of these bytes travels.
    ///
    /// # Errors
    ///
    /// When the protocol can't carry it.
    #[inline]
    pub fn frame(&self, payload: &[u8], text: bool) -> Result<Frame, Unframeable> {
        match self {
            Self::LengthPrefixed(_) => length_prefixed::frame(payload.len()),
            Self::Lines(_) => lines::frame(payload),
            Self::MsgChannel(_) => msg_channel::frame(payload.len()),
            Self::Raw(_) => Ok(Frame::Around { head: Head::EMPTY, tail: b"" }),
            Self::SocketProtocol(_) => Ok(socket_protocol::frame(payload)),
            Self::Stockings(_) => stockings::frame(payload.len(), text),
            Self::UdsComms(_) => Ok(Frame::Transformed),
        }
    }

    /// Appends the frame of a payload to `out`.
    ///
    /// # Errors
    ///
    /// Those of [`frame`](Self::frame); nothing is appended then.
    #[inline]
    pub fn encode(&self, payload: &[u8], text: bool, out: &mut Vec<u8>) -> Result<(), Unframeable> {
        match self.frame(payload, text)? {
            Frame::Around { head, tail } => {
                out.reserve(HEAD + payload.len() + tail.len());
                let end = out.len() + usize::from(head.len);
                // A copy of a length that is known is a few instructions, and no call.
                out.extend_from_slice(&head.bytes);
                out.truncate(end);
                out.extend_from_slice(payload);
                out.extend_from_slice(tail);
            }
            Frame::Transformed => self.transform(payload, out),
        }
        Ok(())
    }

    fn transform(&self, payload: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::SocketProtocol(_) => socket_protocol::encode(payload, out),
            Self::UdsComms(_) => uds_comms::encode(payload, out),
            // These frame what they carry as it is.
            Self::LengthPrefixed(_)
            | Self::Lines(_)
            | Self::MsgChannel(_)
            | Self::Raw(_)
            | Self::Stockings(_) => {}
        }
    }
}

/// What a frame is that says in a header of `header` bytes how long its payload is.
#[inline]
pub(crate) fn announced(input: &[u8], header: usize, length: usize, text: bool) -> Step {
    let consumed = header.saturating_add(length);
    let Some(payload) = input.get(header..consumed) else {
        return Step::Incomplete { frame: consumed };
    };
    match kind_of(payload, text) {
        Ok(kind) => Step::Message { consumed, payload: header..consumed, kind },
        Err(why) => Step::Malformed { consumed, why },
    }
}

/// What the end makes of `rest` bytes of which `step` is what they begin with.
pub(crate) fn cut(step: Result<Step, Lost>, rest: usize) -> End {
    match step {
        Ok(Step::Incomplete { frame }) => End::Cut { missing: frame - rest },
        _ => End::Clean,
    }
}

/// What a payload is, where text must be UTF-8.
pub(crate) fn kind_of(payload: &[u8], text: bool) -> Result<Kind, Malformed> {
    if !text {
        return Ok(Kind::Bytes);
    }
    Text::of(payload).map(Kind::Text).ok_or(Malformed::NotUtf8)
}
