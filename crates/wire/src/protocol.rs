//! The list of protocols.

/// A framing, by the name that `protocol` has in JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One datagram, one JSON text.
    Jsoncomm,
    /// A length before each payload.
    LengthPrefixed,
    /// The bytes as they come: one datagram or chunk, one message.
    Raw,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Jsoncomm, Self::LengthPrefixed, Self::Raw];

    /// The protocol of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsoncomm => "jsoncomm",
            Self::LengthPrefixed => "length_prefixed",
            Self::Raw => "raw",
        }
    }
}
