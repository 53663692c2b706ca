//! What a received payload is, or why it cannot be delivered.

use core::error::Error;
use core::fmt;

/// How JavaScript converts a text to a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// Every byte is below 0x80: `latin1Slice`, the fastest conversion, is exact.
    Ascii,
    /// Valid UTF-8 with at least one byte of 0x80 or above: `utf8Slice`.
    Utf8,
}

impl Text {
    /// Returns the conversion that fits `bytes`, or None if they are not UTF-8.
    #[inline]
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.is_ascii() {
            return Some(Self::Ascii);
        }
        core::str::from_utf8(bytes).ok().map(|_| Self::Utf8)
    }
}

/// Why a message cannot be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The message is empty, and the protocol requires a text.
    Empty,
    /// The message is not UTF-8.
    NotUtf8,
    /// The message is not base64.
    NotBase64,
    /// The next frame starts before this one ends.
    CutOff,
    /// The frame contains an escape sequence that the protocol does not define.
    BadEscape,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the message is empty",
            Self::NotUtf8 => "the message is not valid UTF-8",
            Self::NotBase64 => "the message is not valid base64",
            Self::CutOff => "the next frame starts before this one ends",
            Self::BadEscape => "the frame contains an invalid escape sequence",
        })
    }
}

impl Error for Malformed {}
