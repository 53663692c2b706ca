//! lines: each message ends with a line feed.
//!
//! ```text
//!  ┌────────────────────────┬────┐
//!  │ 7b 22 61 22 3a 31 7d   │ 0a │
//!  │ { "a":1 }              │ \n │
//!  └────────────────────────┴────┘
//! ```
//!
//! A carriage return before the line feed is a byte of the line. What stands behind the last line feed
//! when the stream ends was cut, or (`final_line`) is a line too.

use memchr::memchr;

use crate::codec::{End, Frame, Head, Lost, Options, Step, Unframeable, kind_of};

/// The decoder of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    options: Options,
    /// How far the input has been searched.
    searched: usize,
}

impl Codec {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, searched: 0 }
    }

    #[inline]
    pub(crate) fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        let from = core::mem::take(&mut self.searched);
        let found = memchr(DELIMITER, &input[from..]).map(|at| from + at);
        let length = found.unwrap_or(input.len());
        if length > self.options.max_message {
            return Err(Lost::TooLarge);
        }
        if found.is_none() {
            self.searched = length;
            return Ok(Step::Incomplete { frame: length + 1 });
        }
        let consumed = length + 1;
        Ok(match kind_of(&input[..length], self.options.text) {
            Ok(kind) => Step::Message { consumed, payload: 0..length, kind },
            Err(why) => Step::Malformed { consumed, why },
        })
    }

    pub(crate) fn end(&mut self, rest: &mut [u8]) -> End {
        if !self.options.final_line {
            return End::Cut { missing: 1 };
        }
        match kind_of(rest, self.options.text) {
            Ok(kind) => End::Message(0..rest.len(), kind),
            Err(why) => End::Malformed(why),
        }
    }
}

#[inline]
pub(crate) fn frame(payload: &[u8]) -> Result<Frame, Unframeable> {
    if memchr(DELIMITER, payload).is_some() {
        return Err(Unframeable::Delimiter);
    }
    Ok(Frame::Around { head: Head::EMPTY, tail: b"\n" })
}

const DELIMITER: u8 = b'\n';
