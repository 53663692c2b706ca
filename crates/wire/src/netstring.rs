//! netstring: the payload's length in decimal digits, a colon, the payload, and a comma.
//!
//! ```text
//!  ┌───────┬────┬───────────────────────────────┬────┐
//!  │ 31 31 │ 3a │ 48 65 6c 6c 6f 20 57 6f …     │ 2c │
//!  │ 1  1  │ :  │ length bytes                  │ ,  │
//!  └───────┴────┴───────────────────────────────┴────┘
//!    length: 1 to 10 digits, without leading zeros
//! ```
//!
//! The format is that of D. J. Bernstein, <https://cr.yp.to/proto/netstrings.txt>. After an invalid
//! length, or another byte in place of the comma, the codec cannot tell where the next frame starts,
//! so decoding stops.

use crate::contract::{
    Frame, Head, Lost, Options, Step, StreamCodec, Unframeable, checked_length, complete_step,
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
            return Ok(Step::Incomplete { frame: input.len() + AFTER_DIGITS });
        };
        let end = header.saturating_add(length);
        match input.get(end) {
            None => Ok(Step::Incomplete { frame: end.saturating_add(1) }),
            Some(&COMMA) => Ok(complete_step(&input[header..end], header, end + 1, self.text)),
            Some(_) => Err(Lost::BadHeader),
        }
    }

    #[inline]
    fn frame(&self, payload: &[u8], _text: bool) -> Result<Frame<'_>, Unframeable> {
        let mut head = Head::EMPTY;
        decimal::append::<MAX_DIGITS>(payload.len(), &mut head)?;
        head.push(COLON);
        Ok(Frame::Around { head, tail: &[COMMA] })
    }
}

impl Codec {
    /// Returns the header's length and the length that it announces, or None if it is incomplete.
    #[inline]
    fn header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, Lost> {
        let candidates = input.iter().take(MAX_DIGITS + 1);
        let count = candidates.take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = input.split_at(count);
        let has_leading_zero = count > 1 && digits[0] == b'0';
        if count == 0 || count > MAX_DIGITS || has_leading_zero {
            return Err(Lost::BadHeader);
        }
        match rest.first() {
            None => return Ok(None),
            Some(&COLON) => {}
            Some(_) => return Err(Lost::BadHeader),
        }
        Ok(Some((count + 1, checked_length(decimal::value(digits), self.max_message)?)))
    }
}

const COLON: u8 = b':';
const COMMA: u8 = b',';
const MAX_DIGITS: usize = 10;
/// Least number of bytes after the digits of the length: the colon and the comma.
const AFTER_DIGITS: usize = 2;
