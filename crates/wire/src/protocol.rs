//! The list of protocols.

/// A framing, by the name that `protocol` has in JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One datagram, one JSON text.
    Jsoncomm,
    /// A length before each payload.
    LengthPrefixed,
    /// A line feed behind each payload.
    Lines,
    /// A header line before each payload.
    MsgChannel,
    /// The bytes as they come: one datagram or chunk, one message.
    Raw,
    /// Services: a body between two signs with escapes, or alone as a datagram.
    SocketProtocol,
    /// A type and a length before each payload.
    Stockings,
    /// Base64 between two signs.
    UdsComms,
}

impl Protocol {
    /// All of them.
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

    /// The protocol of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// The name.
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
