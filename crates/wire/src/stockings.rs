//! stockings: a header of one or more bytes with the payload's type and length, then the payload.
//!
//! ```text
//!              ┌─ 1: last byte of the header
//!              │ ┌─ 1: bytes, 0: UTF-8 text
//!  first byte  S B l l l l l l    the 6 lowest bits of the length
//!  others      S l l l l l l l    the next 7 bits each, lowest first
//!
//!  ┌────┬───────┐    ┌───────┬──────────────┐
//!  │ 82 │ 68 69 │    │ 2c 84 │ 300 bytes of │      0x2c + (0x04 << 6) = 300
//!  │    │ h  i  │    │       │ text         │
//!  └────┴───────┘    └───────┴──────────────┘
//! ```
//!
//! The original accepts headers of any length. This codec accepts up to 16 bytes, which can express
//! more than any length in use, and stops decoding at a longer header.

use crate::contract::{
    Frame, Head, Lost, Options, Step, StreamCodec, Unframeable, length_prefixed_step,
};

/// The codec of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    max_message: usize,
}

impl StreamCodec for Codec {
    fn new(Options { max_message, .. }: Options) -> Self {
        Self { max_message }
    }

    #[inline]
    fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        let Some((header, length)) = self.header(input)? else {
            return Ok(Step::Incomplete { frame: input.len() + 1 });
        };
        Ok(length_prefixed_step(input, header, length, input[0] & BYTES == 0))
    }

    #[inline]
    fn frame(&self, payload: &[u8], text: bool) -> Result<Frame<'_>, Unframeable> {
        let length = payload.len();
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
}

impl Codec {
    /// Returns the header's length and the length that it announces, or None if it is incomplete.
    #[inline]
    fn header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, Lost> {
        // The longest header has 6 + 15 * 7 bits.
        let (mut length, mut shift) = (0_u128, 0);
        for (at, byte) in input.iter().take(MAX_HEADER).enumerate() {
            let bits = if at == 0 { FIRST_BITS } else { OTHER_BITS };
            length |= u128::from(byte & ((1 << bits) - 1)) << shift;
            shift += bits;
            if length > self.max_message as u128 {
                return Err(Lost::TooLarge);
            }
            if byte & LAST != 0 {
                // The conversion succeeds, because the limit is a usize.
                return Ok(usize::try_from(length).ok().map(|length| (at + 1, length)));
            }
        }
        if input.len() < MAX_HEADER { Ok(None) } else { Err(Lost::BadHeader) }
    }
}

fn low_bits(value: usize, bits: u32) -> u8 {
    u8::try_from(value & ((1 << bits) - 1)).unwrap_or(0)
}

const LAST: u8 = 0x80;
const BYTES: u8 = 0x40;
const FIRST_BITS: u32 = 6;
const OTHER_BITS: u32 = 7;
/// Length in bytes of the longest header that is accepted.
const MAX_HEADER: usize = 16;
