//! varint: the payload's length as an unsigned LEB128 number, then the payload.
//!
//! ```text
//!  each byte   M l l l l l l l    the next 7 bits of the length, lowest first
//!              └─ 1: more bytes follow
//!
//!  ┌────┬───────┐    ┌───────┬──────────────┐
//!  │ 02 │ 68 69 │    │ ac 02 │ 300 bytes    │      0x2c + (0x02 << 7) = 300
//!  └────┴───────┘    └───────┴──────────────┘
//! ```
//!
//! The delimited form of Protocol Buffers. A length may have more bytes than it needs, as decoders
//! of Protocol Buffers accept it, but at most 10 bytes and 64 bits.

use crate::contract::{
    Frame, Head, Lost, Options, Step, StreamCodec, Unframeable, checked_length,
    length_prefixed_step,
};

/// The codec of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    max_message: usize,
    text: bool,
}

impl StreamCodec for Codec {
    fn new(Options { max_message, text, .. }: Options) -> Self {
        Self { max_message, text }
    }

    #[inline]
    fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        let Some((header, length)) = self.header(input)? else {
            return Ok(Step::Incomplete { frame: input.len() + 1 });
        };
        Ok(length_prefixed_step(input, header, length, self.text))
    }

    #[inline]
    fn frame(&self, payload: &[u8], _text: bool) -> Result<Frame<'_>, Unframeable> {
        let mut head = Head::EMPTY;
        let mut rest = payload.len();
        while rest > LOW_BITS {
            head.push(low_bits(rest) | MORE);
            rest >>= BITS;
        }
        head.push(low_bits(rest));
        Ok(Frame::Around { head, tail: b"" })
    }
}

impl Codec {
    /// Returns the header's length and the length that it announces, or None if it is incomplete.
    #[inline]
    fn header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, Lost> {
        let mut length = 0_u64;
        for (at, &byte) in input.iter().take(MAX_HEADER).enumerate() {
            let bits = u64::from(byte & !MORE);
            if at == MAX_HEADER - 1 && bits > 1 {
                return Err(Lost::BadHeader);
            }
            length |= bits << (BITS * at);
            if byte & MORE == 0 {
                return Ok(Some((at + 1, checked_length(length, self.max_message)?)));
            }
        }
        if input.len() < MAX_HEADER { Ok(None) } else { Err(Lost::BadHeader) }
    }
}

fn low_bits(value: usize) -> u8 {
    u8::try_from(value & LOW_BITS).unwrap_or(0)
}

const MORE: u8 = 0x80;
const BITS: usize = 7;
const LOW_BITS: usize = 0x7f;
/// Length in bytes of the longest header: the last byte has one bit of a 64-bit number.
const MAX_HEADER: usize = 10;
