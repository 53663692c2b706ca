//! Listeners.

use std::os::fd::IntoRawFd;

use fdwire_channel::{Connection, Listening};
use fdwire_socket::{Bound, ListenOutcome, Listener, Name, SocketType, SyscallError, TcpOptions};
use napi::Result;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use super::{inet_address, unix_address};
use crate::environment::{Environment, number};
use crate::error::{LOCKED, in_call};
use crate::fds::take_over;
use crate::options::{ChannelOptions, PathOptions, TcpSettings};
use crate::state::State;

#[napi]
impl Environment {
    /// Makes a listener at a Unix address; if that is empty, at an abstract name that the kernel chooses.
    ///
    /// Throws EAGAIN with the syscall `flock` while another process binds a path in the same directory.
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
            if !address.is_path() {
                let (name, tcp) = (Name::Unix(address), TcpOptions::default());
                let socket = Listener::listen(&name, kind, backlog, &tcp)?;
                return add_listener(state, socket, None, &options);
            }
            let (mode, unlink) = (path.mode, path.unlink());
            match Listener::listen_path(&address, kind, mode, unlink, backlog)? {
                ListenOutcome::Listening(socket, bound) => {
                    add_listener(state, socket, Some(bound), &options)
                }
                ListenOutcome::Locked => Err(LOCKED),
            }
        })
    }

    /// Makes a listener at a TCP address.
    #[napi]
    pub fn listen_tcp(
        &self,
        host: String,
        port: u16,
        backlog: i32,
        tcp: TcpSettings,
        options: ChannelOptions,
    ) -> Result<i32> {
        self.attempt(|state| {
            let name = Name::Inet(inet_address(&host, port, "bind")?);
            let socket = Listener::listen(&name, SocketType::STREAM, backlog, &tcp.options())?;
            add_listener(state, socket, None, &options)
        })
    }

    /// Makes a listener over a listening socket. If this throws, the caller keeps the descriptor.
    #[napi]
    pub fn adopt_listener(&self, fd: i32, options: ChannelOptions) -> Result<i32> {
        self.attempt(|state| {
            let owned = take_over(fd).map_err(in_call("listen"))?;
            let socket = Listener::adopt(owned).map_err(|(errno, fd)| {
                let _number = fd.into_raw_fd();
                in_call("listen")(errno)
            })?;
            match connection(&socket, &options) {
                Ok(connection) => Ok(add(state, socket, None, connection, &options)),
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
    bound: Option<Bound>,
    options: &ChannelOptions,
) -> std::result::Result<i32, SyscallError> {
    let connection = connection(&socket, options)?;
    Ok(add(state, socket, bound, connection, options))
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
    bound: Option<Bound>,
    connection: Connection,
    options: &ChannelOptions,
) -> i32 {
    let listening = Listening::new(socket, bound, connection, options.limits());
    number(state.reactor.add_listener(listening))
}
