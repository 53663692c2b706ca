//! The codec of `length_prefixed` for lengths of another size, byte order or meaning.
//!
//! ```text
//!  ┌───────┬───────────────┐      lengthBytes: 2, littleEndian: true, lengthAdjustment: -2
//!  │ 07 00 │ 48 65 6c 6c 6f│      the field counts its own two bytes: 7 - 2 = 5
//!  │ field │ payload       │
//!  └───────┴───────────────┘
//! ```

use crate::contract::{
    Frame, Head, Lost, Options, Step, StreamCodec, Unframeable, checked_length,
    length_prefixed_step,
};
use crate::length_field::LengthField;

/// The codec of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    max_message: usize,
    text: bool,
    field: LengthField,
}

impl StreamCodec for Codec {
    fn new(Options { max_message, text, length_field, .. }: Options) -> Self {
        Self { max_message, text, field: length_field }
    }

    fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        let size = self.field.size();
        let Some(field) = input.get(..size) else { return Ok(Step::Incomplete { frame: size }) };
        let length = self.field.length_in(field);
        if length < 0 {
            return Err(Lost::BadHeader);
        }
        let length = checked_length(length, self.max_message)?;
        Ok(length_prefixed_step(input, size, length, self.text))
    }

    fn frame(&self, payload: &[u8], _text: bool) -> Result<Frame<'_>, Unframeable> {
        let field = self.field.of(payload.len()).ok_or(Unframeable::TooLong)?;
        let mut head = Head::EMPTY;
        head.extend(&field[..self.field.size()]);
        Ok(Frame::Around { head, tail: b"" })
    }
}
