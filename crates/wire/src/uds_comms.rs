//! uds_comms: text in base64 between a percent and a dollar sign.
//!
//! ```text
//!  ┌────┬─────────────────────────────────────┬────┐
//!  │ 25 │ 55 6b 56 42 52 46 6b 3d             │ 24 │
//!  │ %  │ U  k  V  B  R  F  k  =  ("READY")   │ $  │
//!  └────┴─────────────────────────────────────┴────┘
//!         base64 of UTF-8, with padding, without line breaks
//! ```
//!
//! Bytes outside of a frame are noise. By default exactly what the original encodes is decoded, and a
//! percent sign inside of a frame begins the next one. The lenient decoder takes what the original
//! takes, which is Python's `base64.b64decode`: bytes that are none of the alphabet's are passed over,
//! a percent sign among them, and so two frames can become one.

mod lenient;

use alloc::vec::Vec;

use base64_simd::STANDARD;
use memchr::{memchr, memchr2};

use crate::Malformed;
use crate::codec::{End, Lost, Options, Step, kind_of};

/// The decoder of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    lenient: bool,
    /// The largest message (bytes).
    max_message: usize,
    /// The longest frame (bytes): that of the largest message.
    longest: usize,
    /// How far the input has been searched.
    searched: usize,
}

impl Codec {
    pub(crate) fn new(options: Options) -> Self {
        let longest = options.max_message.div_ceil(3).saturating_mul(4).saturating_add(2);
        let Options { max_message, lenient, .. } = options;
        Self { lenient, max_message, longest, searched: 0 }
    }

    #[inline]
    pub(crate) fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        if input[0] != BEGIN {
            let consumed = memchr(BEGIN, input).unwrap_or(input.len());
            return Ok(Step::Noise { consumed });
        }
        // What the original takes for a frame's end never stands right behind its beginning.
        let first = if self.lenient { 2 } else { 1 };
        let from = core::mem::take(&mut self.searched).max(first);
        let behind = input.get(from..).unwrap_or_default();
        let found = if self.lenient { memchr(END, behind) } else { memchr2(END, BEGIN, behind) };
        let found = found.map(|at| from + at);
        // Where no sign was found the frame has at least one byte more than there are.
        if found.unwrap_or(input.len()) >= self.longest {
            return Err(Lost::TooLarge);
        }
        let Some(end) = found else {
            self.searched = input.len();
            return Ok(Step::Incomplete { frame: input.len() + 1 });
        };
        if input[end] == BEGIN {
            return Ok(Step::Malformed { consumed: end, why: Malformed::CutOff });
        }
        let consumed = end + 1;
        Ok(match self.decode_in_place(&mut input[1..end]) {
            // The longest frame has room for two bytes more than the largest message.
            Ok(length) if length > self.max_message => return Err(Lost::TooLarge),
            Ok(length) => match kind_of(&input[1..=length], true) {
                Ok(kind) => Step::Message { consumed, payload: 1..1 + length, kind },
                Err(why) => Step::Malformed { consumed, why },
            },
            Err(why) => Step::Malformed { consumed, why },
        })
    }

    pub(crate) fn end(&mut self, rest: &mut [u8]) -> End {
        // Of what is missing only this is sure: the last group of four, and the dollar sign. Where bytes
        // may have to be passed over nobody knows what belongs to a group.
        let begun = (rest.len() - 1) % 4;
        End::Cut { missing: if self.lenient || begun == 0 { 1 } else { 5 - begun } }
    }

    /// Decodes base64 where it stands; how many bytes it is then.
    fn decode_in_place(&self, encoded: &mut [u8]) -> Result<usize, Malformed> {
        if self.lenient {
            return lenient::decode_in_place(encoded).ok_or(Malformed::NotBase64);
        }
        match STANDARD.decode_inplace(encoded) {
            Ok(decoded) => Ok(decoded.len()),
            Err(_) => Err(Malformed::NotBase64),
        }
    }
}

/// Appends the frame of a text.
pub(crate) fn encode(payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(payload.len().div_ceil(3) * 4 + 2);
    out.push(BEGIN);
    STANDARD.encode_append(payload, out);
    out.push(END);
}

const BEGIN: u8 = b'%';
const END: u8 = b'$';
