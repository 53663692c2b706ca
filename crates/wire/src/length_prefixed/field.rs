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

/// How a length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthField {
    /// Its size in bytes: 1, 2, 3, 4 or 8.
    size: u8,
    little_endian: bool,
    /// What is added to the field's value to get the length of the payload.
    adjustment: i64,
}

impl LengthField {
    /// Four bytes, big-endian, with the length itself.
    pub const DEFAULT: Self = Self { size: 4, little_endian: false, adjustment: 0 };

    /// Returns the field of this size in bytes, or None unless it is 1, 2, 3, 4 or 8.
    #[must_use]
    pub fn new(size: u8, little_endian: bool, adjustment: i64) -> Option<Self> {
        matches!(size, 1..=4 | 8).then_some(Self { size, little_endian, adjustment })
    }

    fn size(self) -> usize {
        usize::from(self.size)
    }

    /// Returns the length of the payload that a field announces, which may be negative.
    fn length_in(self, field: &[u8]) -> i128 {
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        let value = if self.little_endian {
            field.iter().rev().fold(0, fold)
        } else {
            field.iter().fold(0, fold)
        };
        i128::from(value) + i128::from(self.adjustment)
    }

    /// Returns the field that announces a payload of this length, or None if no value does.
    fn of(self, length: usize) -> Option<Head> {
        let value = i128::try_from(length).ok()? - i128::from(self.adjustment);
        let value = u64::try_from(value).ok()?;
        let (unused, size) = (8 - self.size(), self.size());
        if value.leading_zeros() < 8 * u32::try_from(unused).ok()? {
            return None;
        }
        let mut head = Head::EMPTY;
        if self.little_endian {
            head.extend(&value.to_le_bytes()[..size]);
        } else {
            head.extend(&value.to_be_bytes()[unused..]);
        }
        Some(head)
    }
}

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
        let head = self.field.of(payload.len()).ok_or(Unframeable::TooLong)?;
        Ok(Frame::Around { head, tail: b"" })
    }
}
