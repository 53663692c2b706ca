//! Connections that share their options.

use fdwire_channel::{Framing, Limits, Reactor};
use fdwire_socket::{Address, Connect, SocketAddress, SocketSetup, Stream, SyscallError};

use crate::options::ChannelOptions;
use crate::record::word;

/// The options of a channel over a Unix stream socket, converted once for many connections.
pub(crate) struct PreparedStream {
    setup: SocketSetup,
    framing: Framing,
    limits: Limits,
}

impl PreparedStream {
    /// Converts the options of a channel.
    ///
    /// # Errors
    ///
    /// Those of [`ChannelOptions::framing`].
    pub(crate) fn new(options: &ChannelOptions) -> Result<Self, SyscallError> {
        let (setup, framing) = (options.setup(), options.framing()?);
        Ok(Self { setup, framing, limits: options.limits() })
    }

    /// Connects a socket, and returns the index of its channel. The caller must flush the reactor
    /// before it waits.
    ///
    /// # Errors
    ///
    /// Those of [`Stream::connect`].
    pub(crate) fn connect(
        &self,
        peer: Address,
        reactor: &mut Reactor,
    ) -> Result<i32, SyscallError> {
        let Connect { stream, .. } =
            Stream::connect(&SocketAddress::Unix(peer), None, &self.setup)?;
        Ok(word(reactor.add_connected(stream, self.framing.clone(), self.limits.clone())))
    }
}
