//! The list of protocols.

/// A protocol; its name is the value of the JavaScript option `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One JSON text per datagram.
    Jsoncomm,
    /// A length before each payload.
    LengthPrefixed,
    /// A line feed after each payload.
    Lines,
    /// A header line before each payload.
    MsgChannel,
    /// No framing: one message per datagram or chunk.
    Raw,
    /// A body with a checksum: escaped between two delimiters, or alone in a datagram.
    SocketProtocol,
    /// A type and a length before each payload.
    Stockings,
    /// Base64 between two delimiters.
    UdsComms,
}

impl Protocol {
    /// All protocols, sorted by name.
    pub const ALL: [Self; 8] = [
        Self::Jsoncomm,
        Self::LengthPrefixed,
        Self::Lines,
        Self::MsgChannel,
        Self::Raw,
        Self::SocketProtocol,
        Self::Stockings,
        Self::UdsComms,
    ];

    /// Returns the protocol with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsoncomm => "jsoncomm",
            Self::LengthPrefixed => "length_prefixed",
            Self::Lines => "lines",
            Self::MsgChannel => "msg_channel",
            Self::Raw => "raw",
            Self::SocketProtocol => "socket_protocol",
            Self::Stockings => "stockings",
            Self::UdsComms => "uds_comms",
        }
    }
}
