//! length_prefixed: the payload's length in bytes, by default as a 32-bit big-endian integer, then
//! the payload.
//!
//! ```text
//!  ┌─────────────┬───────────────────────────────┐
//!  │ 00 00 00 0b │ 48 65 6c 6c 6f 20 57 6f …     │
//!  │ length      │ length bytes                  │
//!  └─────────────┴───────────────────────────────┘
//! ```
//!
//! The default of tokio-util's `LengthDelimitedCodec`, and Erlang's `{packet, 4}`. This codec is for
//! that form alone; [`field`] has the one for other forms of the length.

pub mod field;

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
        let Some(header) = input.first_chunk::<HEADER>() else {
            return Ok(Step::Incomplete { frame: HEADER.max(input.len() + 1) });
        };
        let length = checked_length(u32::from_be_bytes(*header), self.max_message)?;
        Ok(length_prefixed_step(input, HEADER, length, self.text))
    }

    #[inline]
    fn frame(&self, payload: &[u8], _text: bool) -> Result<Frame<'_>, Unframeable> {
        let length = u32::try_from(payload.len()).map_err(|_| Unframeable::TooLong)?;
        let mut head = Head::EMPTY;
        head.extend(&length.to_be_bytes());
        Ok(Frame::Around { head, tail: b"" })
    }
}

/// Length of the header in bytes.
const HEADER: usize = 4;
