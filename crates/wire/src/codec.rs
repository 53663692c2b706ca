//! The choice of a stream codec by protocol. Also re-exports the public types of the contract.

use alloc::vec::Vec;

pub use crate::contract::{Encoded, End, Frame, Head, Kind, Lost, Options, Step, Unframeable};
pub use crate::delimiter::Delimiter;
pub use crate::length_field::LengthField;

use crate::contract::StreamCodec;
use crate::protocol::Protocol;
use crate::{
    content_length, length_prefixed, lines, msg_channel, netstring, raw, socket_protocol,
    stockings, uds_comms, varint,
};

/// The codec of one direction of one stream.
///
/// The input of [`decode`](Self::decode) is what the previous call left unconsumed, followed by
/// newly received bytes. It may have moved in memory.
#[derive(Clone, Debug)]
pub enum Codec {
    /// A block of header lines before each payload.
    ContentLength(content_length::Codec),
    /// A length in four bytes, big-endian, before each payload.
    LengthPrefixed(length_prefixed::Codec),
    /// A length in another form before each payload.
    LengthField(length_prefixed::field::Codec),
    /// A line feed after each payload.
    Lines(lines::Codec),
    /// Another delimiter after each payload.
    Delimited(lines::delimited::Codec),
    /// A header line before each payload.
    MsgChannel(msg_channel::Codec),
    /// A length in digits before each payload, a comma after it.
    Netstring(netstring::Codec),
    /// No framing.
    Raw(raw::Codec),
    /// A payload with escape sequences between two delimiters.
    SocketProtocol(socket_protocol::Codec),
    /// A type and a length before each payload.
    Stockings(stockings::Codec),
    /// Base64 between two delimiters.
    UdsComms(uds_comms::Codec),
    /// A length of 1 to 10 bytes before each payload.
    Varint(varint::Codec),
}

/// Evaluates `$call` with `$codec` bound to the codec of the protocol.
macro_rules! dispatch {
    ($self:ident, $codec:ident => $call:expr) => {
        match $self {
            Self::ContentLength($codec) => $call,
            Self::LengthPrefixed($codec) => $call,
            Self::LengthField($codec) => $call,
            Self::Lines($codec) => $call,
            Self::Delimited($codec) => $call,
            Self::MsgChannel($codec) => $call,
            Self::Netstring($codec) => $call,
            Self::Raw($codec) => $call,
            Self::SocketProtocol($codec) => $call,
            Self::Stockings($codec) => $call,
            Self::UdsComms($codec) => $call,
            Self::Varint($codec) => $call,
        }
    };
}

impl Codec {
    /// Creates the codec of a protocol, or returns None if the protocol is not for streams.
    #[must_use]
    pub fn new(protocol: Protocol, options: Options) -> Option<Self> {
        Some(match protocol {
            Protocol::ContentLength => Self::ContentLength(StreamCodec::new(options)),
            Protocol::Jsoncomm => return None,
            Protocol::LengthPrefixed if options.length_field == LengthField::DEFAULT => {
                Self::LengthPrefixed(StreamCodec::new(options))
            }
            Protocol::LengthPrefixed => Self::LengthField(StreamCodec::new(options)),
            Protocol::Lines if options.delimiter == Delimiter::LINE_FEED => {
                Self::Lines(StreamCodec::new(options))
            }
            Protocol::Lines => Self::Delimited(StreamCodec::new(options)),
            Protocol::MsgChannel => Self::MsgChannel(StreamCodec::new(options)),
            Protocol::Netstring => Self::Netstring(StreamCodec::new(options)),
            Protocol::Raw => Self::Raw(StreamCodec::new(options)),
            Protocol::SocketProtocol => Self::SocketProtocol(StreamCodec::new(options)),
            Protocol::Stockings => Self::Stockings(StreamCodec::new(options)),
            Protocol::UdsComms => Self::UdsComms(StreamCodec::new(options)),
            Protocol::Varint => Self::Varint(StreamCodec::new(options)),
        })
    }

    /// Decodes one step at the start of `input`, which is not empty.
    ///
    /// # Errors
    ///
    /// [`Lost`] if no byte from here on can be assigned to a frame. The caller must not call again.
    pub fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        dispatch!(self, codec => codec.decode(input))
    }

    /// Returns how the stream ended, given the bytes that `decode` last reported as incomplete.
    pub fn end(&mut self, rest: &mut [u8]) -> End {
        if rest.is_empty() {
            return End::Clean;
        }
        dispatch!(self, codec => codec.end(rest))
    }

    /// Returns how a payload appears on the wire.
    ///
    /// # Errors
    ///
    /// [`Unframeable`] if the protocol cannot carry the payload.
    #[inline]
    pub fn frame(&self, payload: &[u8], text: bool) -> Result<Frame<'_>, Unframeable> {
        dispatch!(self, codec => codec.frame(payload, text))
    }

    /// Appends the frame of a payload to `out`.
    ///
    /// # Errors
    ///
    /// Those of [`frame`](Self::frame); `out` is unchanged in that case.
    #[inline]
    pub fn encode(&self, payload: &[u8], text: bool, out: &mut Vec<u8>) -> Result<(), Unframeable> {
        dispatch!(self, codec => codec.encode(payload, text, out))
    }

    /// Appends the frames of payloads, each of which is text or not, and adds what they contain to
    /// `total`.
    ///
    /// # Errors
    ///
    /// Those of [`frame`](Self::frame) for the first payload that it refuses. The frames before it
    /// are appended.
    #[inline]
    pub fn encode_all<'a>(
        &self,
        payloads: impl Iterator<Item = (&'a [u8], bool)>,
        out: &mut Vec<u8>,
        total: &mut Encoded,
    ) -> Result<(), Unframeable> {
        dispatch!(self, codec => codec.encode_all(payloads, out, total))
    }
}
