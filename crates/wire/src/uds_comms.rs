//! uds_comms: base64 of a text between a percent sign and a dollar sign.
//!
//! ```text
//!  ┌────┬─────────────────────────────────────┬────┐
//!  │ 25 │ 55 6b 56 42 52 46 6b 3d             │ 24 │
//!  │ %  │ U  k  V  B  R  F  k  =  ("READY")   │ $  │
//!  └────┴─────────────────────────────────────┴────┘
//!         base64 of UTF-8, padded, without line breaks
//! ```
//!
//! Bytes between frames are noise. By default the codec accepts exactly what the original encodes,
//! and a percent sign within a frame starts the next frame. The lenient decoder accepts what the
//! original accepts, which is the input of Python's `base64.b64decode`. It skips bytes outside the
//! base64 alphabet, including percent signs, so two frames may decode as one.

mod lenient;

use alloc::vec::Vec;

use base64_simd::STANDARD;
use memchr::{memchr, memchr2};

use crate::contract::{End, Frame, Lost, Options, Step, StreamCodec, Unframeable, complete_step};
use crate::payload::Malformed;

/// The codec of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    lenient: bool,
    /// Largest message in bytes.
    max_message: usize,
    /// Length in bytes of the largest message's frame.
    max_frame: usize,
    /// Number of bytes at the start of the input that are known to contain no delimiter.
    searched: usize,
}

impl StreamCodec for Codec {
    fn new(options: Options) -> Self {
        let max_frame = options.max_message.div_ceil(3).saturating_mul(4).saturating_add(2);
        let Options { max_message, lenient, .. } = options;
        Self { lenient, max_message, max_frame, searched: 0 }
    }

    #[inline]
    fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        if input[0] != START {
            let consumed = memchr(START, input).unwrap_or(input.len());
            return Ok(Step::Noise { consumed });
        }
        // The original does not recognise an end sign directly after the start sign.
        let first = if self.lenient { 2 } else { 1 };
        let from = core::mem::take(&mut self.searched).max(first);
        let unsearched = input.get(from..).unwrap_or_default();
        let found =
            if self.lenient { memchr(END, unsearched) } else { memchr2(END, START, unsearched) };
        let found = found.map(|at| from + at);
        // If no sign was found, the frame is at least one byte longer than the input.
        if found.unwrap_or(input.len()) >= self.max_frame {
            return Err(Lost::TooLarge);
        }
        let Some(end) = found else {
            self.searched = input.len();
            return Ok(Step::Incomplete { frame: input.len() + 1 });
        };
        if input[end] == START {
            return Ok(Step::Malformed { consumed: end, why: Malformed::CutOff });
        }
        let consumed = end + 1;
        match self.decode_in_place(&mut input[1..end]) {
            // The longest frame has room for two bytes more than the largest message.
            Ok(length) if length > self.max_message => Err(Lost::TooLarge),
            Ok(length) => Ok(complete_step(&input[1..=length], 1, consumed, true)),
            Err(why) => Ok(Step::Malformed { consumed, why }),
        }
    }

    fn end(&mut self, rest: &mut [u8]) -> End {
        // The end sign is missing, and so is the rest of an incomplete group of four. The lenient
        // decoder skips bytes, so it cannot tell whether a group is complete.
        let begun = (rest.len() - 1) % 4;
        End::Cut { missing: if self.lenient || begun == 0 { 1 } else { 5 - begun } }
    }

    #[inline]
    fn frame(&self, _payload: &[u8], _text: bool) -> Result<Frame<'_>, Unframeable> {
        Ok(Frame::Transformed)
    }

    fn encode_transformed(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.reserve(payload.len().div_ceil(3) * 4 + 2);
        out.push(START);
        STANDARD.encode_append(payload, out);
        out.push(END);
    }
}

impl Codec {
    /// Decodes base64 in place and returns the number of decoded bytes.
    #[inline]
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

const START: u8 = b'%';
const END: u8 = b'$';
