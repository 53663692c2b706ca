//! The contract of a stream codec: what [`StreamCodec`] requires of a protocol.
//!
//! A stream has no message boundaries. The sender encodes each payload as a frame, and the
//! receiver's codec finds the frames again:
//!
//! ```text
//!  input  │ frame │ frame │ noise │ frame │ start of a frame │
//!         └───┬───┘       └───┬───┘       └────────┬─────────┘
//!        Step::Message   Step::Noise       Step::Incomplete
//! ```
//!
//! # Calling a decoder
//!
//! The caller owns the buffer of received bytes. It calls [`decode`](StreamCodec::decode) while the
//! buffer is not empty, and acts on the result:
//!
//! - [`Step::Message`], [`Step::Malformed`], [`Step::Noise`]: the caller removes `consumed` bytes
//!   from the front of the buffer and calls again.
//! - [`Step::Incomplete`]: the caller keeps the buffer, appends the bytes that it receives next,
//!   and calls again.
//! - [`Lost`]: the caller stops decoding this stream.
//!
//! At the end of the stream, the caller passes the remaining bytes to [`end`](StreamCodec::end).
//!
//! Each input therefore starts with the bytes that the previous call left unconsumed. They may have
//! moved in memory. A codec may rely on this and store how far it has searched, as `lines` does.
//!
//! # Laws
//!
//! They hold for any bytes. `tests/streams` checks them for every codec:
//!
//! - Progress: `0 < consumed <= input.len()`.
//! - Chunking is invisible: a stream yields the same messages and malformed frames however its
//!   bytes are split into chunks. (`raw` is exempt: its chunks are the messages.)
//! - Round trip: the frame of a payload decodes to that payload.
//! - Linear time, even if the bytes arrive one at a time.
//! - No allocation: a decoder only compares an announced length with the limit.

use alloc::vec::Vec;
use core::ops::Range;

use crate::delimiter::Delimiter;
use crate::length_field::LengthField;
use crate::payload::{Malformed, Text};

/// A codec for one direction of one stream.
pub(crate) trait StreamCodec {
    /// Creates a codec at the start of a stream.
    fn new(options: Options) -> Self;

    /// Decodes one step at the start of `input`, which is not empty.
    ///
    /// A codec may change the input's bytes only within the frame that it consumes: to decode a
    /// payload in place.
    ///
    /// # Errors
    ///
    /// [`Lost`] if no byte from here on can be assigned to a frame. The caller must not call again.
    fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost>;

    /// Returns how the stream ended, given the bytes that `decode` last reported as incomplete.
    ///
    /// `rest` is not empty. The default suits codecs whose frames tell where they end: the last one
    /// is cut.
    fn end(&mut self, rest: &mut [u8]) -> End {
        match self.decode(rest) {
            Ok(Step::Incomplete { frame }) => End::Cut { missing: frame - rest.len() },
            _ => End::Clean,
        }
    }

    /// Returns what surrounds a payload on the wire, or that the payload must be transformed.
    ///
    /// # Errors
    ///
    /// [`Unframeable`] if the protocol cannot carry the payload.
    fn frame(&self, payload: &[u8], text: bool) -> Result<Frame<'_>, Unframeable>;

    /// Appends the frame of a payload for which `frame` returned [`Frame::Transformed`].
    ///
    /// The default suits codecs that never return it.
    fn encode_transformed(&self, _payload: &[u8], _out: &mut Vec<u8>) {}

    /// Appends the frame of a payload.
    ///
    /// # Errors
    ///
    /// Those of `frame`; `out` is unchanged in that case.
    #[inline]
    fn encode(&self, payload: &[u8], text: bool, out: &mut Vec<u8>) -> Result<(), Unframeable> {
        match self.frame(payload, text)? {
            Frame::Around { head, tail } => {
                out.reserve(Head::CAPACITY + payload.len() + tail.len());
                head.append_to(out);
                out.extend_from_slice(payload);
                out.extend_from_slice(tail);
            }
            Frame::Transformed => self.encode_transformed(payload, out),
        }
        Ok(())
    }

    /// Appends the frames of payloads, each of which is text or not, and adds what they contain to
    /// `total`.
    ///
    /// # Errors
    ///
    /// Those of `frame` for the first payload that it refuses. The frames before it are appended.
    #[inline]
    fn encode_all<'a>(
        &self,
        payloads: impl Iterator<Item = (&'a [u8], bool)>,
        out: &mut Vec<u8>,
        total: &mut Encoded,
    ) -> Result<(), Unframeable> {
        for (payload, text) in payloads {
            self.encode(payload, text, out)?;
            total.payloads += 1;
            total.bytes += payload.len();
        }
        Ok(())
    }
}

/// What frames contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The number of payloads.
    pub payloads: usize,
    /// The number of their bytes.
    pub bytes: usize,
}

/// How a codec decodes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Largest payload in bytes. A frame with a larger one is [`Lost::TooLarge`].
    pub max_message: usize,
    /// Whether payloads are text, such as JSON, and must be UTF-8.
    ///
    /// `stockings` ignores it, since each message carries its type, and so does `uds_comms`, since
    /// each message is text.
    pub text: bool,
    /// `uds_comms`: whether to accept everything that the original implementation accepts.
    pub lenient: bool,
    /// `lines`: whether the bytes after the last delimiter are a message.
    pub final_line: bool,
    /// `lines`: the bytes that end each message.
    pub delimiter: Delimiter,
    /// `length_prefixed`: how the length is written.
    pub length_field: LengthField,
}

impl Options {
    /// Returns the options of a codec whose protocol has its defaults.
    #[must_use]
    pub const fn new(max_message: usize, text: bool) -> Self {
        Self {
            max_message,
            text,
            lenient: false,
            final_line: false,
            delimiter: Delimiter::LINE_FEED,
            length_field: LengthField::DEFAULT,
        }
    }
}

/// Whether a payload is text or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Valid UTF-8.
    Text(Text),
    /// Arbitrary bytes.
    Bytes,
}

/// What a decoder found at the start of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The start of a frame that ends after the input.
    Incomplete {
        /// Least length of the frame in bytes, greater than the input's. It is exact if the header
        /// is complete and announces the payload's length.
        frame: usize,
    },
    /// A message.
    Message {
        /// Length of its frame in bytes.
        consumed: usize,
        /// Range of the payload within the frame. A transformed payload has been decoded in place.
        payload: Range<usize>,
        /// Whether the payload is text.
        kind: Kind,
    },
    /// A frame whose payload cannot be delivered. The codec can decode the bytes after it.
    Malformed {
        /// Length of the frame in bytes.
        consumed: usize,
        /// What is wrong with it.
        why: Malformed,
    },
    /// Bytes between frames, which the protocol ignores.
    Noise {
        /// Number of bytes.
        consumed: usize,
    },
}

/// Why a decoder cannot find the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The payload exceeds [`Options::max_message`].
    TooLarge,
    /// The frame header is invalid.
    BadHeader,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Between two frames.
    Clean,
    /// With a last message, which the end of the stream delimits: the range of its payload.
    Message(Range<usize>, Kind),
    /// With a last frame whose payload cannot be delivered.
    Malformed(Malformed),
    /// Within a frame.
    Cut {
        /// Least number of bytes missing from the frame. It is exact if the header is complete and
        /// announces the payload's length.
        missing: usize,
    },
}

/// Why a protocol cannot carry a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unframeable {
    /// The payload contains the delimiter.
    Delimiter,
    /// The payload is longer than the header can express.
    TooLong,
}

/// How a payload appears on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Unchanged, between a head and a tail.
    Around {
        /// The bytes before the payload.
        head: Head,
        /// The bytes after the payload.
        tail: &'a [u8],
    },
    /// Transformed, so that the whole frame must be written anew.
    Transformed,
}

/// The bytes of a frame before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; Head::CAPACITY],
    len: u8,
}

impl Head {
    /// Length in bytes of the longest head.
    pub(crate) const CAPACITY: usize = 32;

    /// A head without bytes.
    pub const EMPTY: Self = Self { bytes: [0; Self::CAPACITY], len: 0 };

    /// Appends one byte, or nothing if the head is full.
    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    /// Appends all of `bytes`, or nothing if they do not fit.
    #[inline]
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let from = usize::from(self.len);
        let to = from + bytes.len();
        if let Some(free) = self.bytes.get_mut(from..to) {
            free.copy_from_slice(bytes);
            self.len = u8::try_from(to).unwrap_or(self.len);
        }
    }

    /// Returns the bytes of the head.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Appends the head to `out`.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        let end = out.len() + usize::from(self.len);
        // A copy of constant length compiles to a few instructions; one of `len` bytes is a call.
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

/// Returns the length of a payload that a header announces.
///
/// # Errors
///
/// [`Lost::TooLarge`] if it exceeds `max_message`.
#[inline]
pub(crate) fn checked_length<N>(length: N, max_message: usize) -> Result<usize, Lost>
where
    usize: TryFrom<N>,
{
    match usize::try_from(length) {
        Ok(length) if length <= max_message => Ok(length),
        _ => Err(Lost::TooLarge),
    }
}

/// Returns the step for a frame whose header has `header` bytes and announces `length` bytes.
#[inline]
pub(crate) fn length_prefixed_step(input: &[u8], header: usize, length: usize, text: bool) -> Step {
    let consumed = header.saturating_add(length);
    match input.get(header..consumed) {
        Some(payload) => complete_step(payload, header, consumed, text),
        None => Step::Incomplete { frame: consumed },
    }
}

/// Returns the step for a complete frame of `consumed` bytes whose payload starts at `start`.
#[inline]
pub(crate) fn complete_step(payload: &[u8], start: usize, consumed: usize, text: bool) -> Step {
    match kind_of(payload, text) {
        Ok(kind) => Step::Message { consumed, payload: start..start + payload.len(), kind },
        Err(why) => Step::Malformed { consumed, why },
    }
}

/// Returns the kind of a payload, which must be UTF-8 if it is `text`.
pub(crate) fn kind_of(payload: &[u8], text: bool) -> Result<Kind, Malformed> {
    if !text {
        return Ok(Kind::Bytes);
    }
    Text::of(payload).map(Kind::Text).ok_or(Malformed::NotUtf8)
}
