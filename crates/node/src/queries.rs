//! Methods that return information about a channel or a listener.

use std::os::fd::{AsFd, AsRawFd};

use fdwire_channel::Channel;
use fdwire_socket::{self as socket, Address, Credentials, peer_credentials};
use napi::Result;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::environment::{Environment, index};
use crate::error::syscall_error;

#[napi]
impl Environment {
    /// Returns the descriptor of a channel or listener; -1 if it has none.
    #[napi]
    pub fn fd(&self, channel: i32) -> Result<i32> {
        self.with(|state| {
            let (reactor, at) = (&state.reactor, index(channel));
            let channel = reactor.channel(at).and_then(Channel::fd);
            let fd = channel.or_else(|| Some(reactor.listener(at)?.socket().as_fd()));
            fd.map_or(-1, |fd| fd.as_raw_fd())
        })
    }

    /// Returns the local address of a channel or listener; null if it has no socket.
    #[napi]
    pub fn local_address(&self, channel: i32) -> Result<Option<SocketAddress>> {
        self.with(|state| {
            let (reactor, at) = (&state.reactor, index(channel));
            let address = match (reactor.channel(at), reactor.listener(at)) {
                (Some(channel), _) => match channel.datagram_socket() {
                    Some(datagram) => {
                        datagram.local_address().ok().map(socket::SocketAddress::Unix)
                    }
                    None => channel.stream_socket()?.local_address().ok(),
                },
                (None, Some(listener)) => listener.socket().local_address().ok(),
                (None, None) => None,
            };
            address.map(SocketAddress::from)
        })
    }

    /// Returns the address of a channel's peer; null if it has no peer.
    #[napi]
    pub fn peer_address(&self, channel: i32) -> Result<Option<SocketAddress>> {
        self.with(|state| {
            let channel = state.reactor.channel(index(channel))?;
            let address = match channel.datagram_socket() {
                Some(datagram) if channel.connected() => {
                    let peer = datagram.peer_address().ok().flatten();
                    Some(socket::SocketAddress::Unix(peer.unwrap_or(Address::UNNAMED)))
                }
                Some(_) => None,
                None => channel.stream_socket()?.peer_address().ok(),
            };
            address.map(SocketAddress::from)
        })
    }

    /// Returns the length in bytes of the longest message that the kernel accepts; null for a
    /// stream, which has no such limit.
    #[napi]
    pub fn largest_message(&self, channel: i32) -> Result<Option<u32>> {
        self.with(|state| {
            let largest = state.reactor.channel(index(channel))?.largest_message()?;
            Some(u32::try_from(largest).unwrap_or(u32::MAX))
        })
    }

    /// Returns the credentials that the peer process had when it called `connect`, `listen` or
    /// `socketpair`; null if the kernel has none.
    #[napi]
    pub fn peer_credentials(&self, channel: i32) -> Result<Option<PeerCredentials>> {
        self.with(|state| {
            let fd = state.reactor.channel(index(channel)).and_then(Channel::fd)?;
            peer_credentials(fd).ok().map(PeerCredentials::from)
        })
    }

    /// Returns a pidfd of the peer process. The channel owns it.
    ///
    /// Throws ENOPROTOOPT, ENODATA, ESRCH or EINVAL if the kernel has none.
    #[napi]
    pub fn peer_pidfd(&self, channel: i32) -> Result<i32> {
        self.attempt(|state| {
            let pidfd = state.reactor.peer_pidfd(index(channel));
            pidfd.map(|pidfd| pidfd.as_raw_fd()).map_err(syscall_error("getsockopt"))
        })
    }

    /// Returns whether a turn of the channel would produce a record without any readiness of its
    /// socket.
    #[napi]
    pub fn is_due(&self, channel: i32) -> Result<bool> {
        self.with(|state| state.reactor.channel(index(channel)).is_some_and(Channel::is_due))
    }
}

/// The address of a socket.
#[napi(object)]
pub struct SocketAddress {
    /// The address of a Unix socket, empty if it is not bound; absent for TCP.
    pub unix: Option<Buffer>,
    /// The IP address of a TCP socket; absent for Unix sockets.
    pub host: Option<String>,
    /// The port of a TCP socket; absent for Unix sockets.
    pub port: Option<u16>,
}

impl From<socket::SocketAddress> for SocketAddress {
    fn from(address: socket::SocketAddress) -> Self {
        match address {
            socket::SocketAddress::Unix(address) => {
                Self { unix: Some(address.as_bytes().to_vec().into()), host: None, port: None }
            }
            socket::SocketAddress::Inet(address) => Self {
                unix: None,
                host: Some(address.ip().to_string()),
                port: Some(address.port()),
            },
        }
    }
}

/// The credentials of the process at the other end of a socket.
#[napi(object)]
pub struct PeerCredentials {
    /// The process id; 0 if the process is not visible in our pid namespace.
    pub pid: i32,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

impl From<Credentials> for PeerCredentials {
    fn from(Credentials { pid, uid, gid }: Credentials) -> Self {
        Self { pid, uid, gid }
    }
}
