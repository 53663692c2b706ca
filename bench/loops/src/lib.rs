//! The hot loops: a codec that decodes or encodes messages without IO, and a whole channel.

mod transfer;

use fdwire_wire::Protocol;
use fdwire_wire::codec::{Codec, Options, Step};
use fdwire_wire::json::is_balanced;

pub use transfer::Transfer;

/// Number of different payloads in a pass.
pub const RING: usize = 64;

/// Index of the only payload that is not ASCII.
const NON_ASCII: usize = 7;

/// What a pass does with each payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Finds the messages in the received bytes.
    Decode,
    /// Appends the frame to the bytes to send.
    Encode,
    /// Checks whether the texts may be parsed together.
    Balance,
}

impl Work {
    /// Returns the work with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "decode" => Some(Self::Decode),
            "encode" => Some(Self::Encode),
            "balance" => Some(Self::Balance),
            _ => None,
        }
    }
}

/// One loop, with its input.
pub struct Loop {
    work: Work,
    codec: Codec,
    payloads: Vec<Vec<u8>>,
    stream: Vec<u8>,
    buffer: Vec<u8>,
}

impl Loop {
    /// Creates the loop for payloads of `size` bytes, or returns None if the protocol is not for
    /// streams.
    #[must_use]
    pub fn new(protocol: Protocol, work: Work, size: usize) -> Option<Self> {
        let options = Options::new(1 << 24, true);
        let codec = Codec::new(protocol, options)?;
        let payloads: Vec<Vec<u8>> = (0..RING).map(|i| payload(i, size)).collect();
        let mut stream = Vec::new();
        for payload in &payloads {
            codec.encode(payload, true, &mut stream).ok()?;
        }
        let buffer = Vec::with_capacity(stream.len() + 64);
        Some(Self { work, codec, payloads, stream, buffer })
    }

    /// Number of payload bytes in a pass.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payloads.iter().map(Vec::len).sum()
    }

    /// Does the work for each payload once. Returns how many it was done for.
    pub fn pass(&mut self) -> usize {
        match self.work {
            Work::Decode => self.decode(),
            Work::Encode => self.encode(),
            Work::Balance => self.payloads.iter().filter(|text| is_balanced(text)).count(),
        }
    }

    /// Decodes a copy of the stream, because a codec may decode in place.
    fn decode(&mut self) -> usize {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.stream);
        let mut rest = self.buffer.as_mut_slice();
        let mut messages = 0;
        while !rest.is_empty() {
            let Ok(Step::Message { consumed, .. }) = self.codec.decode(rest) else { break };
            messages += 1;
            rest = &mut rest[consumed..];
        }
        messages
    }

    fn encode(&mut self) -> usize {
        self.buffer.clear();
        let out = &mut self.buffer;
        let codec = &self.codec;
        self.payloads.iter().filter(|payload| codec.encode(payload, true, out).is_ok()).count()
    }
}

/// Returns a JSON text of `size` bytes, as the benchmark sends it.
fn payload(i: usize, size: usize) -> Vec<u8> {
    let mut text = format!(r#"{{"seq":{},"name":""#, 10 + i);
    if i == NON_ASCII {
        text.push_str("ü☃");
    }
    let letter = char::from(b"abcdefghijklmnopqrstuvwxyz"[i % 26]);
    while text.len() + 2 < size {
        text.push(letter);
    }
    text.push_str(r#""}"#);
    text.into_bytes()
}
