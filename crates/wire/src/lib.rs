//! Sans-IO codecs: bytes to messages and back, one file a protocol.
//!
//! Nothing here reads, writes, waits or looks at a clock; without `std` it could not. What a module
//! gets is a slice that came from a peer who may be hostile, and what it gives is a verdict on it:
//! no byte makes it panic, and its time is linear in the bytes.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`codec`] | what a codec for streams must do, and the choice between them |
//! | [`jsoncomm`] | one datagram, one JSON text |
//! | [`length_prefixed`] | a length before each payload |
//! | [`lines`] | a line feed behind each payload |
//! | [`msg_channel`] | a header line before each payload |
//! | [`raw`] | no framing |
//! | [`socket_protocol`] | a body between two signs, with escapes; what is in the body |
//! | [`stockings`] | a type and a length before each payload |
//! | [`uds_comms`] | base64 between two signs |
//! | [`json`] | how far JSON must be understood to put texts together and to cut them apart |
//! | [`Protocol`] | the list of protocols |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use core::error::Error;
use core::fmt;

pub mod codec;
pub mod json;
pub mod jsoncomm;
pub mod length_prefixed;
pub mod lines;
pub mod msg_channel;
mod protocol;
pub mod raw;
pub mod socket_protocol;
pub mod stockings;
pub mod uds_comms;

pub use protocol::Protocol;

/// How JavaScript must slice a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// Every byte is below 0x80, so that `latin1Slice`, the fastest, is exact.
    Ascii,
    /// Valid UTF-8 with at least one byte of 0x80 or more: `utf8Slice`.
    Utf8,
}

impl Text {
    /// What `bytes` are; None where they aren't UTF-8.
    #[inline]
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.is_ascii() {
            return Some(Self::Ascii);
        }
        core::str::from_utf8(bytes).ok().map(|_| Self::Utf8)
    }
}

/// Why a message can't be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No byte at all, where the protocol asks for a text.
    Empty,
    /// Bytes that aren't UTF-8.
    NotUtf8,
    /// Bytes that aren't base64.
    NotBase64,
    /// A frame in which the next one begins.
    CutOff,
    /// A frame with an escape that the protocol doesn't know.
    BadEscape,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the message is empty",
            Self::NotUtf8 => "the message is not valid UTF-8",
            Self::NotBase64 => "the message is not valid base64",
            Self::CutOff => "the frame ends where the next one begins",
            Self::BadEscape => "the frame has an escape that is none",
        })
    }
}

impl Error for Malformed {}
