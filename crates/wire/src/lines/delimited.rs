//! The codec of `lines` for delimiters other than a single line feed.

use crate::contract::{
    End, Frame, Head, Lost, Options, Step, StreamCodec, Unframeable, complete_step, kind_of,
};
use crate::delimiter::Delimiter;

/// The codec of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    max_message: usize,
    text: bool,
    final_line: bool,
    delimiter: Delimiter,
    /// Number of bytes at the start of the input in which no delimiter begins, or the largest one.
    searched: u32,
}

impl StreamCodec for Codec {
    fn new(Options { max_message, text, final_line, delimiter, .. }: Options) -> Self {
        Self { max_message, text, final_line, delimiter, searched: 0 }
    }

    fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        let from = usize::try_from(core::mem::take(&mut self.searched)).unwrap_or(0);
        let found = self.delimiter.find(&input[from..]).map(|at| from + at);
        let length = found.unwrap_or_else(|| input.len() - self.delimiter.begun(input));
        if length > self.max_message {
            return Err(Lost::TooLarge);
        }
        let consumed = length + self.delimiter.as_bytes().len();
        if found.is_none() {
            self.searched = u32::try_from(length).unwrap_or(u32::MAX);
            return Ok(Step::Incomplete { frame: consumed });
        }
        Ok(complete_step(&input[..length], 0, consumed, self.text))
    }

    fn end(&mut self, rest: &mut [u8]) -> End {
        // With the start of a delimiter, a line of the largest length exceeds the limit.
        if !self.final_line || rest.len() > self.max_message {
            let missing = self.delimiter.as_bytes().len() - self.delimiter.begun(rest);
            return End::Cut { missing };
        }
        match kind_of(rest, self.text) {
            Ok(kind) => End::Message(0..rest.len(), kind),
            Err(why) => End::Malformed(why),
        }
    }

    fn frame(&self, payload: &[u8], _text: bool) -> Result<Frame<'_>, Unframeable> {
        if self.delimiter.begins_in(payload) {
            return Err(Unframeable::Delimiter);
        }
        Ok(Frame::Around { head: Head::EMPTY, tail: self.delimiter.as_bytes() })
    }
}
