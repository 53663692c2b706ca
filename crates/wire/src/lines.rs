//! lines: each message ends with a delimiter, by default a line feed.
//!
//! ```text
//!  ┌────────────────────────┬────┐
//!  │ 7b 22 61 22 3a 31 7d   │ 0a │
//!  │ { "a":1 }              │ \n │
//!  └────────────────────────┴────┘
//! ```
//!
//! A carriage return before the line feed belongs to the message. Bytes after the last line feed
//! are an incomplete message when the stream ends; with `final_line` they are a message.
//!
//! This codec is for the line feed alone; [`delimited`] has the one for other delimiters.

pub mod delimited;

use memchr::memchr;

use crate::contract::{
    End, Frame, Head, Lost, Options, Step, StreamCodec, Unframeable, complete_step, kind_of,
};

/// The codec of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    max_message: usize,
    text: bool,
    final_line: bool,
    /// Number of bytes at the start of the input that are known to contain no delimiter.
    searched: usize,
}

impl StreamCodec for Codec {
    fn new(Options { max_message, text, final_line, .. }: Options) -> Self {
        Self { max_message, text, final_line, searched: 0 }
    }

    #[inline]
    fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        let from = core::mem::take(&mut self.searched);
        let delimiter = memchr(DELIMITER, &input[from..]).map(|at| from + at);
        let length = delimiter.unwrap_or(input.len());
        if length > self.max_message {
            return Err(Lost::TooLarge);
        }
        if delimiter.is_none() {
            self.searched = length;
            return Ok(Step::Incomplete { frame: length + 1 });
        }
        Ok(complete_step(&input[..length], 0, length + 1, self.text))
    }

    fn end(&mut self, rest: &mut [u8]) -> End {
        if !self.final_line {
            return End::Cut { missing: 1 };
        }
        match kind_of(rest, self.text) {
            Ok(kind) => End::Message(0..rest.len(), kind),
            Err(why) => End::Malformed(why),
        }
    }

    #[inline]
    fn frame(&self, payload: &[u8], _text: bool) -> Result<Frame<'_>, Unframeable> {
        if memchr(DELIMITER, payload).is_some() {
            return Err(Unframeable::Delimiter);
        }
        Ok(Frame::Around { head: Head::EMPTY, tail: b"\n" })
    }
}

const DELIMITER: u8 = b'\n';
