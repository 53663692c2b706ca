//! Methods that ask about a channel or a listener.

use std::os::fd::{AsFd, AsRawFd};

use fdwire_channel::Channel;
use fdwire_socket::{Address, Credentials, Errno, Name, peer_credentials};
use napi::Result;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::environment::{Environment, index};
use crate::error::in_call;

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
    pub fn local_address(&self, channel: i32) -> Result<Option<SocketName>> {
        self.with(|state| {
            let (reactor, at) = (&state.reactor, index(channel));
            let name = match (reactor.channel(at), reactor.listener(at)) {
                (Some(channel), _) => match channel.datagram_socket() {
                    Some(socket) => socket.local_address().ok().map(Name::Unix),
                    None => channel.stream_socket()?.local_name().ok(),
                },
                (None, Some(listener)) => listener.socket().local_name().ok(),
                (None, None) => None,
            };
            name.map(SocketName::from)
        })
    }

    /// Returns the address of a channel's peer; null if it has no peer.
    #[napi]
    pub fn peer_address(&self, channel: i32) -> Result<Option<SocketName>> {
        self.with(|state| {
            let channel = state.reactor.channel(index(channel))?;
            let name = match channel.datagram_socket() {
                Some(socket) if channel.connected() => {
                    let peer = socket.peer_address().ok().flatten();
                    Some(Name::Unix(peer.unwrap_or(Address::UNNAMED)))
                }
                Some(_) => None,
                None => channel.stream_socket()?.peer_name().ok(),
            };
            name.map(SocketName::from)
        })
    }

    /// Returns the credentials of the process that made the socket at the other end; null if the kernel
    /// does not know them.
    #[napi]
    pub fn peer_credentials(&self, channel: i32) -> Result<Option<PeerCredentials>> {
        self.with(|state| {
            let fd = state.reactor.channel(index(channel)).and_then(Channel::fd)?;
            peer_credentials(fd).ok().map(PeerCredentials::from)
        })
    }

    /// Returns a pidfd of the process that made the socket at the other end. It belongs to the channel.
    ///
    /// Throws ENOPROTOOPT, ENODATA, ESRCH or EINVAL if the kernel has none.
    #[napi]
    pub fn peer_pidfd(&self, channel: i32) -> Result<i32> {
        self.attempt(|state| {
            let pidfd = state.reactor.peer_pidfd(index(channel));
            pidfd.map(|pidfd| pidfd.as_raw_fd()).map_err(in_call("getsockopt"))
        })
    }

    /// Returns the counters of a channel. Throws EBADF if there is no such channel.
    #[napi]
    pub fn stats(&self, channel: i32) -> Result<ChannelStats> {
        self.attempt(|state| {
            let channel = state.reactor.channel(index(channel));
            channel.map(ChannelStats::of).ok_or(Errno::BADF).map_err(in_call("stats"))
        })
    }

    /// Returns the numbers of a channel's queued messages.
    #[napi]
    pub fn queue_numbers(&self, channel: i32) -> Result<QueueNumbers> {
        self.with(|state| {
            let channel = state.reactor.channel(index(channel));
            channel.map(|channel| QueueNumbers::new(channel.seqs())).unwrap_or_default()
        })
    }

    /// Returns whether a channel has messages that it can deliver without reading from its socket, and
    /// is to deliver them.
    #[napi]
    pub fn is_due(&self, channel: i32) -> Result<bool> {
        self.with(|state| state.reactor.channel(index(channel)).is_some_and(Channel::is_due))
    }
}

/// The address of a socket.
#[napi(object)]
pub struct SocketName {
    /// The name of a Unix socket, empty if it has none; absent for TCP.
    pub unix: Option<Buffer>,
    /// The IP address of a TCP socket; absent for Unix sockets.
    pub host: Option<String>,
    /// The port of a TCP socket; absent for Unix sockets.
    pub port: Option<u16>,
}

impl From<Name> for SocketName {
    fn from(name: Name) -> Self {
        match name {
            Name::Unix(address) => {
                Self { unix: Some(address.as_bytes().to_vec().into()), host: None, port: None }
            }
            Name::Inet(address) => Self {
                unix: None,
                host: Some(address.ip().to_string()),
                port: Some(address.port()),
            },
        }
    }
}

/// The credentials that a process had when it made its socket.
#[napi(object)]
pub struct PeerCredentials {
    /// The process id; 0 if the process is in a pid namespace that this one cannot see.
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

/// The counters of a channel.
#[napi(object)]
pub struct ChannelStats {
    /// Messages that were received whole.
    pub received: f64,
    /// Bytes of the received messages.
    pub received_bytes: f64,
    /// Descriptors of the received messages.
    pub received_fds: f64,
    /// Received messages that were refused.
    pub refused: f64,
    /// Messages that the kernel or a queue has taken.
    pub sent: f64,
    /// Bytes of the sent messages.
    pub sent_bytes: f64,
    /// Descriptors of the sent messages.
    pub sent_fds: f64,
    /// Queued messages that were given up.
    pub undelivered: f64,
    /// Messages in the queues.
    pub queued: f64,
    /// Bytes in the queues.
    pub queued_bytes: f64,
    /// Descriptors in the queues.
    pub queued_fds: f64,
    /// Received descriptors that are neither taken nor closed.
    pub open_fds: f64,
    /// Bytes of a stream that belong to no frame.
    pub noise: f64,
    /// Bytes of a stream that were read and are not a whole message yet.
    pub in_hand: f64,
}

#[expect(clippy::cast_precision_loss, reason = "the counts stay below 2^53")]
impl ChannelStats {
    fn of(channel: &Channel) -> Self {
        let counters = channel.counters();
        let queued = channel.queued();
        Self {
            received: counters.received as f64,
            received_bytes: counters.received_bytes as f64,
            received_fds: counters.received_fds as f64,
            refused: counters.refused as f64,
            sent: counters.sent as f64,
            sent_bytes: counters.sent_bytes as f64,
            sent_fds: counters.sent_fds as f64,
            undelivered: counters.undelivered as f64,
            queued: queued.messages as f64,
            queued_bytes: queued.bytes as f64,
            queued_fds: queued.fds as f64,
            open_fds: channel.open_fds() as f64,
            noise: counters.noise as f64,
            in_hand: channel.buffered_input() as f64,
        }
    }
}

/// The numbers of queued messages. Each channel numbers the messages that it queues.
#[napi(object)]
#[derive(Default)]
pub struct QueueNumbers {
    /// The number of the oldest message in the queue; 0 if the queue is empty.
    pub oldest: f64,
    /// The number that the next queued message gets.
    pub next: f64,
}

impl QueueNumbers {
    #[expect(clippy::cast_precision_loss, reason = "the counts stay below 2^53")]
    fn new((oldest, next): (Option<u64>, u64)) -> Self {
        Self { oldest: oldest.unwrap_or(0) as f64, next: next as f64 }
    }
}
