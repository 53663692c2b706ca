//! Listeners.

use std::os::fd::IntoRawFd;

use fdwire_channel::{Connection, Limits, Listening};
use fdwire_socket::{Listener, SocketSetup, SocketType, SyscallError};
use napi::Result;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use super::{inet_address, unix_address};
use crate::environment::{Environment, number};
use crate::error::syscall_error;
use crate::fds::take_over;
use crate::options::{ChannelOptions, PathOptions};
use crate::state::State;

#[napi]
impl Environment {
    /// Creates a listener at a Unix address. If `address` is empty, the kernel chooses an abstract
    /// address.
    ///
    /// Throws EAGAIN with the syscall `flock` if a socket file is to be replaced while another
    /// process holds the lock on its directory.
    #[napi(
        ts_args_type = "type: 'stream' | 'seqpacket', address: Uint8Array, backlog: number, path: PathOptions, options: ChannelOptions"
    )]
    pub fn listen(
        &self,
        r#type: String,
        address: Uint8Array,
        backlog: i32,
        path: PathOptions,
        options: ChannelOptions,
    ) -> Result<i32> {
        self.attempt(|state| {
            let address = unix_address(&address)?;
            let seqpacket = r#type == "seqpacket";
            let kind = if seqpacket { SocketType::SEQPACKET } else { SocketType::STREAM };
            let binding = path.binding(&address);
            let socket = Listener::listen_unix(&binding, kind, backlog, &options.setup())?;
            add_listener(state, socket, &options)
        })
    }

    /// Creates a listener at a TCP address.
    #[napi]
    pub fn listen_tcp(
        &self,
        host: String,
        port: u16,
        backlog: i32,
        options: ChannelOptions,
    ) -> Result<i32> {
        self.attempt(|state| {
            let address = inet_address(&host, port, "bind")?;
            let socket = Listener::listen_tcp(address, backlog, &options.setup())?;
            add_listener(state, socket, &options)
        })
    }

    /// Accepts connections on a listening socket without reading from them: its records have their
    /// descriptors, which belong to the caller. If this throws, the caller keeps the descriptor.
    #[napi]
    pub fn accept_unread(&self, fd: i32) -> Result<i32> {
        self.attempt(|state| {
            let owned = take_over(fd).map_err(syscall_error("listen"))?;
            let socket =
                Listener::adopt(owned, &SocketSetup::default()).map_err(|(errno, fd)| {
                    let _number = fd.into_raw_fd();
                    syscall_error("listen")(errno)
                })?;
            let listening = Listening::new(socket, Connection::Unread, Limits::default());
            Ok(number(state.reactor.add_listener(listening)))
        })
    }

    /// Creates a listener over a listening socket. If this throws, the caller keeps the descriptor.
    #[napi]
    pub fn adopt_listener(&self, fd: i32, options: ChannelOptions) -> Result<i32> {
        self.attempt(|state| {
            let owned = take_over(fd).map_err(syscall_error("listen"))?;
            let socket = Listener::adopt(owned, &options.setup()).map_err(|(errno, fd)| {
                let _number = fd.into_raw_fd();
                syscall_error("listen")(errno)
            })?;
            match connection(&socket, &options) {
                Ok(connection) => Ok(add(state, socket, connection, &options)),
                Err(error) => {
                    let _number = socket.into_fd().into_raw_fd();
                    Err(error)
                }
            }
        })
    }
}

fn add_listener(
    state: &mut State,
    socket: Listener,
    options: &ChannelOptions,
) -> std::result::Result<i32, SyscallError> {
    let connection = connection(&socket, options)?;
    Ok(add(state, socket, connection, options))
}

fn connection(
    socket: &Listener,
    options: &ChannelOptions,
) -> std::result::Result<Connection, SyscallError> {
    Ok(if socket.is_seqpacket() {
        Connection::Seqpacket(options.protocol()?)
    } else {
        Connection::Stream(options.framing()?)
    })
}

fn add(
    state: &mut State,
    socket: Listener,
    connection: Connection,
    options: &ChannelOptions,
) -> i32 {
    let listening = Listening::new(socket, connection, options.limits());
    number(state.reactor.add_listener(listening))
}
