//! Drives a codec as a channel does, and looks at every step of it.

use fdwire_wire::codec::{Codec, End, Kind, Lost, Options, Step};
use fdwire_wire::{Malformed, Protocol, Text};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

/// What comes out of a stream, from its beginning to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// Messages and malformed frames, in order.
    pub(crate) items: Vec<Result<Value, Malformed>>,
    /// Bytes outside of frames.
    pub(crate) noise: usize,
    /// Why the rest can't be understood.
    pub(crate) lost: Option<Lost>,
    /// Bytes that are missing to the end of the last frame.
    pub(crate) missing: Option<usize>,
}

impl Given {
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.items.iter().flatten()
    }
}

/// A protocol and how it is spoken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) protocol: Protocol,
    pub(crate) options: Options,
}

impl Subject {
    pub(crate) fn new(protocol: Protocol, text: bool) -> Self {
        let options = Options { max_message: 1 << 24, text, lenient: false, final_line: false };
        Self { protocol, options }
    }

    pub(crate) fn limited(mut self, max_message: usize) -> Self {
        self.options.max_message = max_message;
        self
    }

    /// All that frame their messages, with every option that changes what they do.
    pub(crate) fn framed() -> Vec<Self> {
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
            let mut other = Self::new(protocol, text);
            other.options.lenient = protocol == Protocol::UdsComms;
            other.options.final_line = protocol == Protocol::Lines;
            all.push(other);
        }
        all
    }

    pub(crate) fn codec(&self) -> Codec {
        Codec::new(self.protocol, self.options).expect("a protocol for streams")
    }

    /// The frame of a payload, where it has one.
    pub(crate) fn try_frame(&self, payload: &[u8], text: bool) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let result = self.codec().encode(payload, text, &mut out);
        assert!(out.starts_with(b"before"), "what was there stays");
        assert!(result.is_ok() || out.len() == 6, "nothing is appended for nothing");
        result.ok().map(|()| out.split_off(6))
    }

    pub(crate) fn frame(&self, payload: &[u8], text: bool) -> Vec<u8> {
        self.try_frame(payload, text).expect("a payload that can be framed")
    }

    pub(crate) fn whole(&self, bytes: &[u8]) -> Given {
        self.decode([bytes])
    }

    pub(crate) fn one_by_one(&self, bytes: &[u8]) -> Given {
        self.decode(bytes.chunks(1))
    }

    /// Decodes chunks up to the stream's end: what wasn't consumed stays, with the next chunk behind.
    pub(crate) fn decode<'a>(&self, chunks: impl IntoIterator<Item = &'a [u8]>) -> Given {
        let mut codec = self.codec();
        let mut given = Given::default();
        let mut input = Vec::new();
        // Where in it the first byte is that wasn't consumed.
        let mut from = 0;
        // What the codec has said that the frame has at least.
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
                        given.lost = Some(lost);
                        return given;
                    }
                };
                let consumed = match step {
                    Step::Incomplete { frame } => {
                        assert!(frame > rest.len(), "a frame that is there: {self:?}");
                        assert!(frame >= least, "a frame grows shorter: {self:?}");
                        least = frame;
                        break;
                    }
                    Step::Message { consumed, payload, kind } => {
                        assert!(payload.end <= consumed, "{payload:?} of {consumed}: {self:?}");
                        assert!(consumed >= least, "{consumed}, not {least}: {self:?}");
                        given.items.push(Ok(value(&rest[payload], kind)));
                        consumed
                    }
                    Step::Malformed { consumed, why } => {
                        given.items.push(Err(why));
                        consumed
                    }
                    Step::Noise { consumed } => {
                        given.noise += consumed;
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
            End::Message(payload, kind) => given.items.push(Ok(value(&rest[payload], kind))),
            End::Malformed(why) => given.items.push(Err(why)),
            End::Cut { missing } => {
                assert!(missing > 0, "a cut frame lacks something: {self:?}");
                assert!(
                    rest.len().saturating_add(missing) >= least,
                    "{missing}, not up to {least}: {self:?}"
                );
                given.missing = Some(missing);
            }
        }
        given
    }
}

fn value(payload: &[u8], kind: Kind) -> Value {
    let Kind::Text(text) = kind else { return Value::Bytes(payload.to_vec()) };
    // JavaScript makes a string of it in the way that this says.
    assert_eq!(text == Text::Ascii, payload.is_ascii(), "{payload:02x?}");
    Value::Text(String::from_utf8(payload.to_vec()).expect("a text is UTF-8"))
}
