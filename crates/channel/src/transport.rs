//! The two kinds of transport of a channel.

use crate::datagram::DatagramTransport;
use crate::stream::StreamTransport;

/// What transfers the messages of a channel.
///
/// [`DatagramTransport`] and [`StreamTransport`] have the same methods for what every channel does,
/// which [`on_transport!`] dispatches statically.
#[expect(clippy::large_enum_variant, reason = "channels are boxed, and most are streams")]
pub(crate) enum Transport {
    /// One message per system call. Boxed because it is the larger and the rarer of the two.
    Datagram(Box<DatagramTransport>),
    /// A byte stream with framed messages.
    Stream(StreamTransport),
}

/// Evaluates `$call` with `$inner` bound to the transport.
macro_rules! on_transport {
    ($transport:expr, $inner:ident => $call:expr) => {
        match $transport {
            $crate::transport::Transport::Datagram($inner) => $call,
            $crate::transport::Transport::Stream($inner) => $call,
        }
    };
}

pub(crate) use on_transport;

impl Transport {
    pub(crate) fn datagrams(&self) -> Option<&DatagramTransport> {
        match self {
            Self::Datagram(datagrams) => Some(datagrams),
            Self::Stream(_) => None,
        }
    }

    pub(crate) fn datagrams_mut(&mut self) -> Option<&mut DatagramTransport> {
        match self {
            Self::Datagram(datagrams) => Some(datagrams),
            Self::Stream(_) => None,
        }
    }

    pub(crate) fn stream(&self) -> Option<&StreamTransport> {
        match self {
            Self::Stream(stream) => Some(stream),
            Self::Datagram(_) => None,
        }
    }

    pub(crate) fn stream_mut(&mut self) -> Option<&mut StreamTransport> {
        match self {
            Self::Stream(stream) => Some(stream),
            Self::Datagram(_) => None,
        }
    }
}
