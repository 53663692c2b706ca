//! raw: no framing. On a stream each chunk that arrives is a message, as large as it came.

use crate::codec::{End, Lost, Options, Step, kind_of};

/// The decoder of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    options: Options,
}

impl Codec {
    pub(crate) fn new(options: Options) -> Self {
        Self { options }
    }

    pub(crate) fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        let consumed = input.len().min(self.options.max_message.max(1));
        Ok(match kind_of(&input[..consumed], self.options.text) {
            Ok(kind) => Step::Message { consumed, payload: 0..consumed, kind },
            Err(why) => Step::Malformed { consumed, why },
        })
    }

    pub(crate) fn end(&mut self, _rest: &mut [u8]) -> End {
        End::Clean
    }
}
