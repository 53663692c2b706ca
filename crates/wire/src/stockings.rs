//! stockings: a header of one byte or more with the payload's type and length, then the payload.
//!
//! ```text
//!              ┌─ 1: the last byte of the header
//!              │ ┌─ 1: bytes, 0: text in UTF-8
//!  first byte  S B l l l l l l    the low 6 bits of the length
//!  others      S l l l l l l l    the next 7 bits each, low ones first
//!
//!  ┌────┬───────┐    ┌───────┬──────────────┐
//!  │ 82 │ 68 69 │    │ 2c 84 │ 300 bytes of │      0x2c + (0x04 << 6) = 300
//!  │    │ h  i  │    │       │ text         │
//!  └────┴───────┘    └───────┴──────────────┘
//! ```
//!
//! The original reads headers of any length. Up to 16 bytes are taken here, which says more than any
//! length can be; a stream with a longer one can't be trusted.

use crate::codec::{End, Frame, Head, Lost, Options, Step, Unframeable, announced, cut};

/// The decoder of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    options: Options,
}

impl Codec {
    pub(crate) fn new(options: Options) -> Self {
        Self { options }
    }

    #[inline]
    pub(crate) fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        let Some((header, length)) = self.header(input)? else {
            return Ok(Step::Incomplete { frame: input.len() + 1 });
        };
        Ok(announced(input, header, length, input[0] & BYTES == 0))
    }

    pub(crate) fn end(&mut self, rest: &mut [u8]) -> End {
        cut(self.decode(rest), rest.len())
    }

    /// The lengths of the header and of what it announces; None where it isn't whole.
    #[inline]
    fn header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, Lost> {
        // 6 + 15 * 7 bits.
        let (mut length, mut shift) = (0_u128, 0);
        for (at, byte) in input.iter().take(HEADER_MAX).enumerate() {
            let bits = if at == 0 { FIRST_BITS } else { OTHER_BITS };
            length |= u128::from(byte & ((1 << bits) - 1)) << shift;
            shift += bits;
            if length > self.options.max_message as u128 {
                return Err(Lost::TooLarge);
            }
            if byte & LAST != 0 {
                // No more than the limit, which is a usize.
                return Ok(usize::try_from(length).ok().map(|length| (at + 1, length)));
            }
        }
        if input.len() < HEADER_MAX { Ok(None) } else { Err(Lost::BadHeader) }
    }
}

#[inline]
pub(crate) fn frame(length: usize, text: bool) -> Result<Frame, Unframeable> {
    let mut head = Head::EMPTY;
    let mut byte = low_bits(length, FIRST_BITS) | if text { 0 } else { BYTES };
    let mut rest = length >> FIRST_BITS;
    while rest > 0 {
        head.push(byte);
        byte = low_bits(rest, OTHER_BITS);
        rest >>= OTHER_BITS;
    }
    head.push(byte | LAST);
    Ok(Frame::Around { head, tail: b"" })
}

fn low_bits(value: usize, bits: u32) -> u8 {
    u8::try_from(value & ((1 << bits) - 1)).unwrap_or(0)
}

const LAST: u8 = 0x80;
const BYTES: u8 = 0x40;
const FIRST_BITS: u32 = 6;
const OTHER_BITS: u32 = 7;
const HEADER_MAX: usize = 16;
