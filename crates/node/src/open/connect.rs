//! Sockets that are bound or connected to an address.

use fdwire_socket::{
    Address, BindOutcome, Bound, Connect, Datagram, Name, Stream, SyscallError, bind_path,
};
use napi::Result;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use super::{add_datagram, add_stream, inet_address, request_credentials, unix_address};
use crate::environment::Environment;
use crate::error::{LOCKED, in_call};
use crate::options::{ChannelOptions, PathOptions, TcpSettings};

#[napi]
impl Environment {
    /// Makes a channel over a datagram socket that is bound to `address`; if that is empty, to an
    /// abstract name that the kernel chooses.
    ///
    /// Throws EAGAIN with the syscall `flock` while another process binds a path in the same directory.
    #[napi]
    pub fn bind(
        &self,
        address: Uint8Array,
        path: PathOptions,
        options: ChannelOptions,
    ) -> Result<i32> {
        self.attempt(|state| {
            let address = unix_address(&address)?;
            let mut socket = Datagram::new().map_err(in_call("socket"))?;
            // Before anything can be received, so that every message has its credentials.
            request_credentials(&mut socket, &options)?;
            let bound = bind(&socket, &address, &path)?;
            add_datagram(state, socket, bound, &options)
        })
    }

    /// Makes a channel over a datagram socket that is connected to `address` and then bound to `local`;
    /// if that is empty, to an abstract name that the kernel chooses, and without it to no name.
    ///
    /// Throws EAGAIN with the syscall `flock` while another process binds a path in the same directory.
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
            let mut socket = Datagram::new().map_err(in_call("socket"))?;
            // Connected before it is bound, so that no other process can inject a datagram.
            socket.connect(&address).map_err(in_call("connect"))?;
            // Not before connecting, which would give the socket a name.
            request_credentials(&mut socket, &options)?;
            let bound = match &local {
                Some(local) => bind(&socket, local, &path)?,
                None => None,
            };
            add_datagram(state, socket, bound, &options)
        })
    }

    /// Makes a channel over a stream or seqpacket socket that is connected to a Unix socket.
    ///
    /// Throws EAGAIN with the syscall `connect` if the backlog of the listener is full.
    #[napi(
        ts_args_type = "type: 'stream' | 'seqpacket', address: Uint8Array, local: Uint8Array | undefined | null, options: ChannelOptions"
    )]
    pub fn connect_unix(
        &self,
        r#type: String,
        address: Uint8Array,
        local: Option<Uint8Array>,
        options: ChannelOptions,
    ) -> Result<i32> {
        self.attempt(|state| {
            let peer = unix_address(&address)?;
            let local = local.as_ref().map(|local| unix_address(local)).transpose()?;
            if r#type == "seqpacket" {
                let socket = Datagram::connect_seqpacket(&peer, local.as_ref())?;
                return add_datagram(state, socket, None, &options);
            }
            let (peer, local) = (Name::Unix(peer), local.map(Name::Unix));
            let Connect { stream, .. } =
                Stream::connect(&peer, local.as_ref(), &Default::default())?;
            add_stream(state, stream, false, &options)
        })
    }

    /// Makes a channel over a TCP socket that is connected or connecting.
    #[napi]
    pub fn connect_tcp(
        &self,
        host: String,
        port: u16,
        tcp: TcpSettings,
        options: ChannelOptions,
    ) -> Result<TcpConnection> {
        self.attempt(|state| {
            let peer = Name::Inet(inet_address(&host, port, "connect")?);
            let Connect { stream, connecting } = Stream::connect(&peer, None, &tcp.options())?;
            let channel = add_stream(state, stream, connecting, &options)?;
            Ok(TcpConnection { channel, connecting })
        })
    }
}

/// A channel over a TCP socket that `connectTcp` has made.
#[napi(object)]
pub struct TcpConnection {
    /// The index of the channel.
    pub channel: i32,
    /// Whether the connection is still being made. A record reports when it is.
    pub connecting: bool,
}

/// Binds a datagram socket. Dropping a `Bound` removes the path.
fn bind(
    socket: &Datagram,
    address: &Address,
    path: &PathOptions,
) -> std::result::Result<Option<Bound>, SyscallError> {
    if !address.is_path() {
        socket.bind(address).map_err(in_call("bind"))?;
        return Ok(None);
    }
    match bind_path(socket, address, path.mode, path.unlink())? {
        BindOutcome::Bound(bound) => Ok(Some(bound)),
        BindOutcome::Locked => Err(LOCKED),
    }
}
