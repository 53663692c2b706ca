//! msg_channel: a header line with the payload's length in decimal digits, then the payload.
//!
//! ```text
//!  ┌───────┬─────────────┬───────┬───────┬──────────────────────────────┐
//!  │ 0d 0a │ 4d 53 47 20 │ 31 31 │ 0d 0a │ 48 65 6c 6c 6f 20 57 6f …    │
//!  │ \r \n │ M  S  G  SP │ 1  1  │ \r \n │ length bytes                 │
//!  └───────┴─────────────┴───────┴───────┴──────────────────────────────┘
//!                          length: 1 to 10 digits
//! ```
//!
//! The original accepts more than it sends: any two bytes at the start, a bare line feed, blanks, a
//! sign. This codec accepts only what the original sends. After an invalid header it cannot tell
//! where the next frame starts, so decoding stops.

use crate::contract::{
    Frame, Head, Lost, Options, Step, StreamCodec, Unframeable, checked_length,
    length_prefixed_step,
};
use crate::decimal;

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
            return Ok(Step::Incomplete { frame: SHORTEST_FRAME.max(input.len() + 1) });
        };
        Ok(length_prefixed_step(input, header, length, self.text))
    }

    #[inline]
    fn frame(&self, payload: &[u8], _text: bool) -> Result<Frame<'_>, Unframeable> {
        let mut head = Head::EMPTY;
        head.extend(HEADER_START);
        decimal::append::<MAX_DIGITS>(payload.len(), &mut head)?;
        head.extend(HEADER_END);
        Ok(Frame::Around { head, tail: b"" })
    }
}

impl Codec {
    /// Returns the header's length and the length that it announces, or None if it is incomplete.
    fn header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, Lost> {
        let available = input.len().min(HEADER_START.len());
        if input[..available] != HEADER_START[..available] {
            return Err(Lost::BadHeader);
        }
        let digits = &input[available..];
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count > MAX_DIGITS {
            return Err(Lost::BadHeader);
        }
        let (digits, rest) = digits.split_at(count);
        if rest.is_empty() {
            return Ok(None);
        }
        let available = rest.len().min(HEADER_END.len());
        if count == 0 || rest[..available] != HEADER_END[..available] {
            return Err(Lost::BadHeader);
        }
        if available < HEADER_END.len() {
            return Ok(None);
        }
        let length = checked_length(decimal::value(digits), self.max_message)?;
        Ok(Some((HEADER_START.len() + count + HEADER_END.len(), length)))
    }
}

const HEADER_START: &[u8] = b"\r\nMSG ";
const HEADER_END: &[u8] = b"\r\n";
const MAX_DIGITS: usize = 10;
/// Length in bytes of the frame of an empty payload.
const SHORTEST_FRAME: usize = 9;
