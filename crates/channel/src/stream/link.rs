//! What transfers the bytes of a stream.

use fdwire_socket::Stream;

/// What transfers the bytes of a stream.
pub(crate) enum Link {
    /// A socket.
    Socket(Stream),
    /// The caller, for example with a stream of JavaScript: it passes input to
    /// [`feed`](crate::Reactor::feed), and gets output from [`fetch`](crate::Reactor::fetch).
    External {
        /// Whether the caller has reported the end of the input.
        ended: bool,
    },
    /// Nothing: the connection is lost, and another one may replace it.
    Disconnected,
}

impl Link {
    /// A link without a socket, before the end of its input.
    pub(crate) const EXTERNAL: Self = Self::External { ended: false };

    #[inline]
    pub(crate) fn socket(&self) -> Option<&Stream> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::External { .. } | Self::Disconnected => None,
        }
    }
}
