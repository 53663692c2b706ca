//! raw: no framing. Each chunk of a stream is a message; a chunk larger than `max_message` is
//! split.

use crate::contract::{
    End, Frame, Head, Lost, Options, Step, StreamCodec, Unframeable, complete_step,
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

    fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        let consumed = input.len().min(self.max_message.max(1));
        Ok(complete_step(&input[..consumed], 0, consumed, self.text))
    }

    fn end(&mut self, _rest: &mut [u8]) -> End {
        End::Clean
    }

    #[inline]
    fn frame(&self, _payload: &[u8], _text: bool) -> Result<Frame<'_>, Unframeable> {
        Ok(Frame::Around { head: Head::EMPTY, tail: b"" })
    }
}
