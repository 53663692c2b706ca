//! length_prefixed: the payload's length in bytes, as 32 bits big-endian, then the payload.
//!
//! ```text
//!  ┌─────────────┬───────────────────────────────┐
//!  │ 00 00 00 0b │ 48 65 6c 6c 6f 20 57 6f …     │
//!  │ length      │ length bytes                  │
//!  └─────────────┴───────────────────────────────┘
//! ```
//!
//! What tokio-util's `LengthDelimitedCodec` and Erlang's `{packet, 4}` speak by default.

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
        let Some(head) = input.first_chunk::<HEADER>() else {
            return Ok(Step::Incomplete { frame: HEADER.max(input.len() + 1) });
        };
        let length = usize::try_from(u32::from_be_bytes(*head)).map_err(|_| Lost::TooLarge)?;
        if length > self.options.max_message {
            return Err(Lost::TooLarge);
        }
        Ok(announced(input, HEADER, length, self.options.text))
    }

    pub(crate) fn end(&mut self, rest: &mut [u8]) -> End {
        cut(self.decode(rest), rest.len())
    }
}

#[inline]
pub(crate) fn frame(length: usize) -> Result<Frame, Unframeable> {
    let length = u32::try_from(length).map_err(|_| Unframeable::TooLong)?;
    let mut head = Head::EMPTY;
    head.extend(&length.to_be_bytes());
    Ok(Frame::Around { head, tail: b"" })
}

const HEADER: usize = 4;
