//! Methods that create channels and listeners. Each returns the index of the new channel or
//! listener.
//!
//! | file | contents |
//! | --- | --- |
//! | `open/connect.rs` | sockets that are bound or connected to an address |
//! | `open/prepared.rs` | connections that share their options |
//! | `open/listen.rs` | listeners |
//! | `open/adopt.rs` | sockets that the caller already has |
//! | `open.rs` | pairs, channels without a socket, and shared functions |

pub mod adopt;
pub mod connect;
pub mod listen;
pub(crate) mod prepared;

use std::net::{IpAddr, SocketAddr};

use fdwire_channel::Channel;
use fdwire_socket::{Address, Datagram, Errno, Stream, SyscallError};
use napi::Result;
use napi_derive::napi;

use crate::environment::{Environment, index, number};
use crate::error::syscall_error;
use crate::options::ChannelOptions;
use crate::state::State;

#[napi]
impl Environment {
    /// Creates two channels over sockets that are connected to each other.
    #[napi(
        ts_args_type = "type: 'dgram' | 'seqpacket' | 'stream', options: ChannelOptions",
        ts_return_type = "[first: number, second: number]"
    )]
    pub fn pair(&self, r#type: String, options: ChannelOptions) -> Result<Vec<i32>> {
        self.attempt(|state| match r#type.as_str() {
            "stream" => pair_of_streams(state, &options),
            "dgram" => pair_of_datagrams(state, Datagram::pair, &options),
            _ => pair_of_datagrams(state, Datagram::seqpacket_pair, &options),
        })
    }

    /// Creates a channel without a socket. JavaScript transfers its bytes with `feed` and `fetch`.
    #[napi]
    pub fn carry(&self, options: ChannelOptions) -> Result<i32> {
        self.attempt(|state| {
            let framing = options.framing()?;
            Ok(number(state.reactor.add_external(framing, options.limits())))
        })
    }
}

fn pair_of_datagrams(
    state: &mut State,
    pair: impl FnOnce() -> std::result::Result<(Datagram, Datagram), Errno>,
    options: &ChannelOptions,
) -> std::result::Result<Vec<i32>, SyscallError> {
    let (mut first, mut second) = pair().map_err(syscall_error("socketpair"))?;
    for socket in [&mut first, &mut second] {
        socket.set_up(&options.setup()).map_err(syscall_error("setsockopt"))?;
    }
    // Adding a channel cannot fail, so both are created before either is added.
    let (first, second) = (datagram_channel(first, options)?, datagram_channel(second, options)?);
    Ok(vec![add(state, first), add(state, second)])
}

fn pair_of_streams(
    state: &mut State,
    options: &ChannelOptions,
) -> std::result::Result<Vec<i32>, SyscallError> {
    let (first, second) = Stream::pair().map_err(syscall_error("socketpair"))?;
    for socket in [&first, &second] {
        socket.set_up(&options.setup()).map_err(syscall_error("setsockopt"))?;
    }
    let first = add_stream(state, first, false, options)?;
    match add_stream(state, second, false, options) {
        Ok(second) => Ok(vec![first, second]),
        Err(error) => {
            drop(state.remove(index(first)));
            Err(error)
        }
    }
}

fn add_datagram(
    state: &mut State,
    socket: Datagram,
    options: &ChannelOptions,
) -> std::result::Result<i32, SyscallError> {
    Ok(add(state, datagram_channel(socket, options)?))
}

fn datagram_channel(
    socket: Datagram,
    options: &ChannelOptions,
) -> std::result::Result<Channel, SyscallError> {
    Channel::datagram(socket, options.protocol()?, options.limits())
        .map_err(|(errno, _socket)| syscall_error("getsockopt")(errno))
}

fn add(state: &mut State, channel: Channel) -> i32 {
    number(state.reactor.add(channel))
}

fn add_stream(
    state: &mut State,
    socket: Stream,
    connecting: bool,
    options: &ChannelOptions,
) -> std::result::Result<i32, SyscallError> {
    let framing = options.framing()?;
    let added = state.reactor.add_stream(socket, connecting, framing, options.limits());
    added.map(number).map_err(|(errno, _socket)| syscall_error("epoll_ctl")(errno))
}

fn unix_address(bytes: &[u8]) -> std::result::Result<Address, SyscallError> {
    Address::from_bytes(bytes).map_err(|_| syscall_error("bind")(Errno::INVAL))
}

fn inet_address(
    host: &str,
    port: u16,
    syscall: &'static str,
) -> std::result::Result<SocketAddr, SyscallError> {
    let host: IpAddr = host.parse().map_err(|_| syscall_error(syscall)(Errno::INVAL))?;
    Ok(SocketAddr::new(host, port))
}
