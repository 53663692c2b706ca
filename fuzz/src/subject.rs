//! Drives a codec as a channel does, and checks each step.

use fdwire_wire::codec::{Codec, Delimiter, End, Kind, LengthField, Lost, Options, Step};
use fdwire_wire::{Malformed, Protocol, Text};

/// Delimiters: single bytes, and such as overlap with themselves or with the start of another.
const DELIMITERS: [&[u8]; 5] = [b"\0", b"::", b"\r\n\r\n", b":%:$:%:", b"%$%$%$%$%$%$%$%:"];

/// The size, byte order and adjustment of lengths.
const LENGTH_FIELDS: [(u8, bool, i64); 4] =
    [(1, false, 0), (2, true, -2), (3, false, 5), (8, true, -8)];

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// Returns its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Whether it is a text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

/// The result of decoding a whole stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Messages and malformed frames, in order.
    pub items: Vec<Result<Value, Malformed>>,
    /// Number of bytes outside frames.
    pub noise: usize,
    /// Why decoding stopped before the end of the stream.
    pub lost: Option<Lost>,
    /// Least number of bytes missing from the last frame, if the stream ends within it.
    pub missing: Option<usize>,
}

impl Decoded {
    /// Returns the messages.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.items.iter().flatten()
    }
}

/// The codec under test: a protocol with options.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The protocol.
    pub protocol: Protocol,
    /// Its options.
    pub options: Options,
}

impl Subject {
    /// Returns a protocol with its default options and a limit of 16 MiB.
    #[must_use]
    pub fn new(protocol: Protocol, text: bool) -> Self {
        Self { protocol, options: Options::new(1 << 24, text) }
    }

    /// Returns the same with another limit for messages, in bytes.
    #[must_use]
    pub fn limited(mut self, max_message: usize) -> Self {
        self.options.max_message = max_message;
        self
    }

    /// Returns `lines` with another delimiter.
    ///
    /// # Panics
    ///
    /// If the delimiter does not have 1 to 16 bytes.
    #[must_use]
    pub fn delimited(delimiter: &[u8], text: bool) -> Self {
        let mut subject = Self::new(Protocol::Lines, text);
        subject.options.delimiter = Delimiter::new(delimiter).expect("1 to 16 bytes");
        subject
    }

    /// Returns `length_prefixed` with another form of the length.
    ///
    /// # Panics
    ///
    /// If the size is not valid.
    #[must_use]
    pub fn prefixed(size: u8, little_endian: bool, adjustment: i64) -> Self {
        let mut subject = Self::new(Protocol::LengthPrefixed, false);
        subject.options.length_field =
            LengthField::new(size, little_endian, adjustment).expect("a valid size");
        subject
    }

    /// Returns all protocols with framing, with each option that changes how they decode.
    #[must_use]
    pub fn all_framed() -> Vec<Self> {
        let mut all = Vec::new();
        for protocol in Protocol::ALL {
            if matches!(protocol, Protocol::Jsoncomm | Protocol::Raw) {
                continue;
            }
            for text in [false, true] {
                all.push(Self::new(protocol, text));
            }
        }
        for (protocol, text) in
            [(Protocol::UdsComms, true), (Protocol::Lines, true), (Protocol::Lines, false)]
        {
            let mut subject = Self::new(protocol, text);
            subject.options.lenient = protocol == Protocol::UdsComms;
            subject.options.final_line = protocol == Protocol::Lines;
            all.push(subject);
        }
        for delimiter in DELIMITERS {
            all.push(Self::delimited(delimiter, true));
        }
        let mut final_line = Self::delimited(b"\r\n", false);
        final_line.options.final_line = true;
        all.push(final_line);
        for (size, little_endian, adjustment) in LENGTH_FIELDS {
            all.push(Self::prefixed(size, little_endian, adjustment));
        }
        all
    }

    /// Returns its codec, at the start of a stream.
    ///
    /// # Panics
    ///
    /// If the protocol is not for streams.
    #[must_use]
    pub fn codec(&self) -> Codec {
        Codec::new(self.protocol, self.options).expect("a protocol for streams")
    }

    /// Returns the frame of a payload, or None if the protocol cannot carry it.
    ///
    /// # Panics
    ///
    /// If encoding changes what the buffer contained before.
    #[must_use]
    pub fn try_frame(&self, payload: &[u8], text: bool) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let result = self.codec().encode(payload, text, &mut out);
        assert!(out.starts_with(b"before"), "the previous contents are unchanged");
        assert!(result.is_ok() || out.len() == 6, "a failed call appends nothing");
        result.ok().map(|()| out.split_off(6))
    }

    /// Returns the frame of a payload.
    ///
    /// # Panics
    ///
    /// If the protocol cannot carry it.
    #[must_use]
    pub fn frame(&self, payload: &[u8], text: bool) -> Vec<u8> {
        self.try_frame(payload, text).expect("the protocol can carry the payload")
    }

    /// Decodes a stream that arrives at once.
    #[must_use]
    pub fn whole(&self, bytes: &[u8]) -> Decoded {
        self.decode([bytes])
    }

    /// Decodes a stream whose bytes arrive one at a time.
    #[must_use]
    pub fn one_by_one(&self, bytes: &[u8]) -> Decoded {
        self.decode(bytes.chunks(1))
    }

    /// Decodes a stream to its end: each chunk is appended to the bytes that are not consumed yet.
    ///
    /// # Panics
    ///
    /// If the codec breaks its contract.
    pub fn decode<'a>(&self, chunks: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
        let mut codec = self.codec();
        let mut decoded = Decoded::default();
        let mut input = Vec::new();
        // Offset of the first byte that is not consumed.
        let mut from = 0;
        // Least length of the current frame, as last reported by the codec.
        let mut least = 0;
        for chunk in chunks {
            input.drain(..from);
            from = 0;
            input.extend_from_slice(chunk);
            while from < input.len() {
                let rest = &mut input[from..];
                let step = match codec.decode(rest) {
                    Ok(step) => step,
                    Err(lost) => {
                        decoded.lost = Some(lost);
                        return decoded;
                    }
                };
                let consumed = match step {
                    Step::Incomplete { frame } => {
                        assert!(frame > rest.len(), "the frame is complete: {self:?}");
                        assert!(frame >= least, "the least length has decreased: {self:?}");
                        least = frame;
                        break;
                    }
                    Step::Message { consumed, payload, kind } => {
                        assert!(
                            payload.end <= consumed,
                            "{payload:?} exceeds {consumed}: {self:?}"
                        );
                        assert!(consumed >= least, "{consumed} is below {least}: {self:?}");
                        decoded.items.push(Ok(value(&rest[payload], kind)));
                        consumed
                    }
                    Step::Malformed { consumed, why } => {
                        decoded.items.push(Err(why));
                        consumed
                    }
                    Step::Noise { consumed } => {
                        decoded.noise += consumed;
                        consumed
                    }
                };
                assert!(0 < consumed && consumed <= rest.len(), "{consumed}: {self:?}");
                from += consumed;
                least = 0;
            }
        }
        let rest = &mut input[from..];
        match codec.end(rest) {
            End::Clean => {}
            End::Message(payload, kind) => decoded.items.push(Ok(value(&rest[payload], kind))),
            End::Malformed(why) => decoded.items.push(Err(why)),
            End::Cut { missing } => {
                assert!(missing > 0, "a cut frame lacks at least one byte: {self:?}");
                assert!(
                    rest.len().saturating_add(missing) >= least,
                    "{missing} more do not reach {least}: {self:?}"
                );
                decoded.missing = Some(missing);
            }
        }
        decoded
    }
}

fn value(payload: &[u8], kind: Kind) -> Value {
    let Kind::Text(text) = kind else { return Value::Bytes(payload.to_vec()) };
    // JavaScript chooses the conversion to a string by this.
    assert_eq!(text == Text::Ascii, payload.is_ascii(), "{payload:02x?}");
    Value::Text(String::from_utf8(payload.to_vec()).expect("a text is UTF-8"))
}
