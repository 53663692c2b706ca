//! The list of protocols.

/// A protocol; its name is the value of the JavaScript option `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A block of header lines before each payload.
    ContentLength,
    /// One JSON text per datagram.
    Jsoncomm,
    /// A length before each payload.
    LengthPrefixed,
    /// A delimiter after each payload.
    Lines,
    /// A header line before each payload.
    MsgChannel,
    /// A length in digits before each payload, a comma after it.
    Netstring,
    /// No framing: one message per datagram or chunk.
    Raw,
    /// A body with a checksum: escaped between two delimiters, or alone in a datagram.
    SocketProtocol,
    /// A type and a length before each payload.
    Stockings,
    /// Base64 between two delimiters.
    UdsComms,
    /// A length of 1 to 10 bytes before each payload.
    Varint,
}

impl Protocol {
    /// All protocols, sorted by name.
    pub const ALL: [Self; 11] = [
        Self::ContentLength,
        Self::Jsoncomm,
        Self::LengthPrefixed,
        Self::Lines,
        Self::MsgChannel,
        Self::Netstring,
        Self::Raw,
        Self::SocketProtocol,
        Self::Stockings,
        Self::UdsComms,
        Self::Varint,
    ];

    /// Returns the protocol with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ContentLength => "content_length",
            Self::Jsoncomm => "jsoncomm",
            Self::LengthPrefixed => "length_prefixed",
            Self::Lines => "lines",
            Self::MsgChannel => "msg_channel",
            Self::Netstring => "netstring",
            Self::Raw => "raw",
            Self::SocketProtocol => "socket_protocol",
            Self::Stockings => "stockings",
            Self::UdsComms => "uds_comms",
            Self::Varint => "varint",
        }
    }
}
