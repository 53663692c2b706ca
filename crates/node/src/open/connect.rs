//! Sockets that are bound or connected to an address.

use fdwire_socket::{Connect, Datagram, Errno, SocketAddress, Stream};
use napi::Result;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use super::prepared::PreparedStream;
use super::{add_datagram, add_stream, inet_address, unix_address};
use crate::environment::Environment;
use crate::error::syscall_error;
use crate::options::{ChannelOptions, PathOptions};

#[napi]
impl Environment {
    /// Creates a channel over a datagram socket that is bound to `address`. If `address` is empty,
    /// the kernel chooses an abstract address.
    ///
    /// Throws EAGAIN with the syscall `flock` if a socket file is to be replaced while another
    /// process holds the lock on its directory.
    #[napi]
    pub fn bind(
        &self,
        address: Uint8Array,
        path: PathOptions,
        options: ChannelOptions,
    ) -> Result<i32> {
        self.attempt(|state| {
            let address = unix_address(&address)?;
            let mut socket = Datagram::new().map_err(syscall_error("socket"))?;
            // This must precede the first message, so that each message comes with credentials.
            socket.set_up(&options.setup()).map_err(syscall_error("setsockopt"))?;
            socket.bind_to(&path.binding(&address))?;
            add_datagram(state, socket, &options)
        })
    }

    /// Creates a channel over a datagram socket that is connected to `address` and then bound to
    /// `local`. If `local` is empty, the kernel chooses an abstract address. Without `local`, the
    /// socket is not bound.
    ///
    /// Throws EAGAIN with the syscall `flock` if a socket file is to be replaced while another
    /// process holds the lock on its directory.
    #[napi]
    pub fn connect_datagram(
        &self,
        address: Uint8Array,
        local: Option<Uint8Array>,
        path: PathOptions,
        options: ChannelOptions,
    ) -> Result<i32> {
        self.attempt(|state| {
            let address = unix_address(&address)?;
            let local = local.as_ref().map(|local| unix_address(local)).transpose()?;
            let mut socket = Datagram::new().map_err(syscall_error("socket"))?;
            // Connected before it is bound, so that no other process can inject a datagram.
            socket.connect(&address).map_err(syscall_error("connect"))?;
            // If SO_PASSCRED were set before connecting, the kernel would bind the socket to an
            // abstract address.
            socket.set_up(&options.setup()).map_err(syscall_error("setsockopt"))?;
            if let Some(local) = &local {
                socket.bind_to(&path.binding(local))?;
            }
            add_datagram(state, socket, &options)
        })
    }

    /// Creates a channel over a stream or seqpacket socket that is bound to `local`, if given, and
    /// connected to `address`.
    ///
    /// Throws EAGAIN with the syscall `connect` if the backlog of the listener is full, and with
    /// the syscall `flock` if a socket file is to be replaced while another process holds the lock
    /// on its directory.
    #[napi(
        ts_args_type = "type: 'stream' | 'seqpacket', address: Uint8Array, local: Uint8Array | undefined | null, path: PathOptions, options: ChannelOptions"
    )]
    pub fn connect_unix(
        &self,
        r#type: String,
        address: Uint8Array,
        local: Option<Uint8Array>,
        path: PathOptions,
        options: ChannelOptions,
    ) -> Result<i32> {
        self.attempt(|state| {
            let peer = unix_address(&address)?;
            let local = local.as_ref().map(|local| unix_address(local)).transpose()?;
            let (local, setup) = (local.as_ref().map(|local| path.binding(local)), options.setup());
            if r#type == "seqpacket" {
                let socket = Datagram::connect_seqpacket(&peer, local.as_ref(), &setup)?;
                return add_datagram(state, socket, &options);
            }
            let connect = Stream::connect(&SocketAddress::Unix(peer), local.as_ref(), &setup)?;
            add_stream(state, connect.stream, false, &options)
        })
    }

    /// Returns whether a datagram socket may be bound to `address`: false only if the one that was
    /// is closed.
    #[napi]
    pub fn has_receiver(&self, address: Uint8Array) -> Result<bool> {
        self.attempt(|_| {
            let address = unix_address(&address)?;
            let socket = Datagram::new().map_err(syscall_error("socket"))?;
            Ok(socket.connect(&address) != Err(Errno::CONNREFUSED))
        })
    }

    /// Sets the options of the channels that the hot function `connect` makes from now on.
    #[napi]
    pub fn prepare_connect(&self, options: ChannelOptions) -> Result<()> {
        self.attempt(|state| {
            state.prepared = Some(PreparedStream::new(&options)?);
            Ok(())
        })
    }

    /// Creates a channel over a TCP socket that is connected or connecting.
    #[napi]
    pub fn connect_tcp(
        &self,
        host: String,
        port: u16,
        options: ChannelOptions,
    ) -> Result<TcpConnection> {
        self.attempt(|state| {
            let peer = SocketAddress::Inet(inet_address(&host, port, "connect")?);
            let Connect { stream, connecting } = Stream::connect(&peer, None, &options.setup())?;
            let channel = add_stream(state, stream, connecting, &options)?;
            Ok(TcpConnection { channel, connecting })
        })
    }
}

/// The result of `connectTcp`.
#[napi(object)]
pub struct TcpConnection {
    /// The index of the channel.
    pub channel: i32,
    /// Whether the connection is not established yet. A `Connected` record reports when it is.
    pub connecting: bool,
}
