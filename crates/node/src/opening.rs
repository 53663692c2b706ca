//! How channels and listeners are made.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::IntoRawFd;
use std::result;
use std::time::Duration;

use fdwire_channel::{Channel, Connection, Limits, Listening};
use fdwire_socket::{
    Address, AddressFamily, BindOutcome, Bound, Connect, Datagram, Errno, ListenOutcome, Listener,
    Name, SocketType, Stream, TcpOptions, Unlink, bind_path, describe,
};
use napi::bindgen_prelude::Uint8Array;
use napi::{Error, Result, Status};
use napi_derive::napi;

use crate::environment::{Environment, index};
use crate::fds::{lend, take_over};
use crate::outcome::{ChannelOptions, Failed, Outcome, in_call};
use crate::state::State;

#[napi]
impl Environment {
    /// A datagram socket that is bound to an address: a path, an abstract name, or empty for the
    /// kernel's choice.
    #[napi]
    pub fn bind(
        &self,
        address: Uint8Array,
        path: PathOptions,
        options: ChannelOptions,
    ) -> Result<Outcome> {
        self.open(|state| {
            let address = parse(&address)?;
            let mut socket = Datagram::new().map_err(in_call("socket"))?;
            // The kernel notes who sends from now on, and nobody sends yet.
            ask(&mut socket, &options)?;
            match name(&socket, &address, &path)? {
                Naming::Named(bound) => add_datagram(state, socket, bound, &options),
                Naming::Locked => Ok(Outcome::locked()),
            }
        })
    }

    /// A datagram socket that is connected to an address and then bound: to `local`, empty for the
    /// kernel's choice, absent to stay without a name. `path` is for `local`.
    #[napi]
    pub fn connect_datagram(
        &self,
        address: Uint8Array,
        local: Option<Uint8Array>,
        path: PathOptions,
        options: ChannelOptions,
    ) -> Result<Outcome> {
        self.open(|state| {
            let address = parse(&address)?;
            let local = local.as_ref().map(|local| parse(local)).transpose()?;
            let mut socket = Datagram::new().map_err(in_call("socket"))?;
            // The other way round a stranger's datagram would slip in between.
            socket.connect(&address).map_err(in_call("connect"))?;
            // Asked for before, it would have given the socket a name.
            ask(&mut socket, &options)?;
            let Some(local) = local else { return add_datagram(state, socket, None, &options) };
            match name(&socket, &local, &path)? {
                Naming::Named(bound) => add_datagram(state, socket, bound, &options),
                Naming::Locked => Ok(Outcome::locked()),
            }
        })
    }

    /// A stream or seqpacket socket that is connected to a Unix socket; EAGAIN where that has no room
    /// for it now.
    #[napi(
        ts_args_type = "type: 'stream' | 'seqpacket', address: Uint8Array, local: Uint8Array | undefined | null, options: ChannelOptions"
    )]
    pub fn connect_unix(
        &self,
        r#type: String,
        address: Uint8Array,
        local: Option<Uint8Array>,
        options: ChannelOptions,
    ) -> Result<Outcome> {
        self.open(|state| {
            let peer = parse(&address)?;
            let local = local.as_ref().map(|local| parse(local)).transpose()?;
            if r#type == "seqpacket" {
                let socket = Datagram::connect_seqpacket(&peer, local.as_ref())?;
                return add_datagram(state, socket, None, &options);
            }
            let local = local.map(Name::Unix);
            connect(state, &Name::Unix(peer), local.as_ref(), TcpOptions::default(), &options)
        })
    }

    /// A stream that is connected to a TCP socket, or will be.
    #[napi]
    pub fn connect_tcp(
        &self,
        host: String,
        port: u16,
        tcp: TcpSettings,
        options: ChannelOptions,
    ) -> Result<Outcome> {
        self.open(|state| {
            let peer = Name::Inet(inet(&host, port)?);
            connect(state, &peer, None, tcp.options(), &options)
        })
    }

    /// Two connected sockets of a type.
    #[napi(ts_args_type = "type: 'dgram' | 'seqpacket' | 'stream', options: ChannelOptions")]
    pub fn pair(&self, r#type: String, options: ChannelOptions) -> Result<Vec<Outcome>> {
        let mut second = Outcome::locked();
        let first = self.open(|state| {
            if r#type != "stream" {
                let pair =
                    if r#type == "dgram" { Datagram::pair } else { Datagram::seqpacket_pair };
                let (mut a, mut b) = pair().map_err(in_call("socketpair"))?;
                ask(&mut a, &options)?;
                ask(&mut b, &options)?;
                // Adding a channel cannot fail, so both are made before either is added.
                let (a, b) = (datagram(a, None, &options)?, datagram(b, None, &options)?);
                second = add(state, b);
                return Ok(add(state, a));
            }
            let (a, b) = Stream::pair().map_err(in_call("socketpair"))?;
            let first = add_stream(state, a, false, &options)?;
            match add_stream(state, b, false, &options) {
                Ok(added) => second = added,
                Err(failed) => {
                    drop(state.remove(index(first.channel)));
                    return Err(failed);
                }
            }
            Ok(first)
        })?;
        Ok(vec![first, second])
    }

    /// A channel over a datagram or seqpacket socket that JavaScript gives away; where it fails nothing is taken.
    #[napi]
    pub fn adopt_datagram(&self, fd: i32, options: ChannelOptions) -> Result<Outcome> {
        self.open(|state| {
            let protocol = options.protocol()?;
            let owned = take_over(fd).map_err(in_call("adopt"))?;
            let mut socket = Datagram::adopt(owned).map_err(|(errno, fd)| {
                let _number = fd.into_raw_fd();
                Failed(errno, "adopt")
            })?;
            if let Err(failed) = ask(&mut socket, &options) {
                let _number = socket.into_fd().into_raw_fd();
                return Err(failed);
            }
            match Channel::datagram(socket, None, protocol, options.limits()) {
                Ok(channel) => Ok(add(state, channel)),
                Err((errno, socket)) => {
                    let _number = socket.into_fd().into_raw_fd();
                    Err(Failed(errno, "adopt"))
                }
            }
        })
    }

    /// A channel over a stream that JavaScript gives away; where it fails nothing is taken.
    #[napi]
    pub fn adopt_stream(
        &self,
        fd: i32,
        tcp: TcpSettings,
        options: ChannelOptions,
    ) -> Result<Outcome> {
        self.open(|state| {
            let framing = options.framing()?;
            let owned = take_over(fd).map_err(in_call("adopt"))?;
            let kept = |(errno, socket): (Errno, Stream)| {
                let _number = socket.into_fd().into_raw_fd();
                Failed(errno, "adopt")
            };
            let socket = Stream::adopt(owned).map_err(|(errno, fd)| {
                let _number = fd.into_raw_fd();
                Failed(errno, "adopt")
            })?;
            if let Err(errno) = socket.set_options(&tcp.options()) {
                return Err(kept((errno, socket)));
            }
            let added = state.reactor.add_stream(socket, false, framing, options.limits());
            added.map(Outcome::channel).map_err(kept)
        })
    }

    /// A channel without a socket, whose bytes JavaScript carries by `feed` and `fetch`.
    #[napi]
    pub fn carry(&self, options: ChannelOptions) -> Result<Outcome> {
        self.open(|state| {
            let framing = options.framing()?;
            Ok(Outcome::channel(state.reactor.add_external(framing, options.limits())))
        })
    }

    /// A listener at a Unix address: a path, an abstract name, or empty for the kernel's choice.
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
    ) -> Result<Outcome> {
        self.open(|state| {
            let address = parse(&address)?;
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
                ListenOutcome::Locked => Ok(Outcome::locked()),
            }
        })
    }

    /// A listener at a TCP address.
    #[napi]
    pub fn listen_tcp(
        &self,
        host: String,
        port: u16,
        backlog: i32,
        tcp: TcpSettings,
        options: ChannelOptions,
    ) -> Result<Outcome> {
        self.open(|state| {
            let name = Name::Inet(inet(&host, port)?);
            let socket = Listener::listen(&name, SocketType::STREAM, backlog, &tcp.options())?;
            add_listener(state, socket, None, &options)
        })
    }

    /// A listener over a listening socket that JavaScript gives away; where it fails nothing is taken.
    #[napi]
    pub fn adopt_listener(&self, fd: i32, options: ChannelOptions) -> Result<Outcome> {
        self.open(|state| {
            let owned = take_over(fd).map_err(in_call("listen"))?;
            let socket = Listener::adopt(owned).map_err(|(errno, fd)| {
                let _number = fd.into_raw_fd();
                Failed(errno, "listen")
            })?;
            add_listener(state, socket, None, &options)
        })
    }

    /// What a socket is: its family and type, and whether it listens; an errno where it is none.
    #[napi]
    pub fn describe(&self, fd: i32) -> SocketDescription {
        match lend(fd).and_then(describe) {
            Ok(found) => SocketDescription {
                errno: 0,
                family: match found.domain {
                    AddressFamily::UNIX => "unix",
                    AddressFamily::INET | AddressFamily::INET6 => "tcp",
                    _ => "other",
                }
                .into(),
                r#type: match found.kind {
                    SocketType::STREAM => "stream",
                    SocketType::DGRAM => "dgram",
                    SocketType::SEQPACKET => "seqpacket",
                    _ => "other",
                }
                .into(),
                listening: found.listening,
            },
            Err(errno) => SocketDescription {
                errno: errno.raw_os_error(),
                family: "other".into(),
                r#type: "other".into(),
                listening: false,
            },
        }
    }

    fn open(
        &self,
        work: impl FnOnce(&mut State) -> result::Result<Outcome, Failed>,
    ) -> Result<Outcome> {
        let outcome = self.with(|state| work(state).unwrap_or_else(Outcome::from));
        outcome.ok_or_else(|| Error::new(Status::Closing, "the environment has ended"))
    }
}

/// What becomes of the path that a socket is bound to.
#[napi(object)]
pub struct PathOptions {
    /// Its permissions.
    pub mode: u32,
    /// What happens to a socket that is there: `stale`, `always` or `never`.
    #[napi(ts_type = "'stale' | 'always' | 'never'")]
    pub unlink: String,
}

impl PathOptions {
    fn unlink(&self) -> Unlink {
        match self.unlink.as_str() {
            "always" => Unlink::Always,
            "never" => Unlink::Never,
            _ => Unlink::Stale,
        }
    }
}

/// What is set on TCP sockets; others don't look at it.
#[napi(object)]
pub struct TcpSettings {
    /// Whether small messages are sent at once.
    pub no_delay: bool,
    /// Seconds of idle before the first probe, 0 for the kernel's; absent for no probes.
    pub keep_alive: Option<u32>,
    /// Whether other sockets may listen on the same port.
    pub reuse_port: bool,
}

impl TcpSettings {
    fn options(&self) -> TcpOptions {
        TcpOptions {
            no_delay: self.no_delay,
            keep_alive: self.keep_alive.map(|idle| Duration::from_secs(idle.into())),
            reuse_port: self.reuse_port,
        }
    }
}

/// What a socket is.
#[napi(object)]
pub struct SocketDescription {
    /// 0, or why it can't be told.
    pub errno: i32,
    /// The family.
    #[napi(ts_type = "'unix' | 'tcp' | 'other'")]
    pub family: String,
    /// The type.
    #[napi(ts_type = "'stream' | 'seqpacket' | 'dgram' | 'other'")]
    pub r#type: String,
    /// Whether it accepts connections.
    pub listening: bool,
}

/// How an attempt to name a socket ended.
enum Naming {
    /// It has its name; where that is a path, dropping this removes it.
    Named(Option<Bound>),
    /// Somebody else is binding in the path's directory right now.
    Locked,
}

/// Names a datagram socket: by a path, an abstract name, or (empty) the kernel's choice.
fn name(
    socket: &Datagram,
    address: &Address,
    path: &PathOptions,
) -> result::Result<Naming, Failed> {
    if !address.is_path() {
        socket.bind(address).map_err(in_call("bind"))?;
        return Ok(Naming::Named(None));
    }
    Ok(match bind_path(socket, address, path.mode, path.unlink())? {
        BindOutcome::Bound(bound) => Naming::Named(Some(bound)),
        BindOutcome::Locked => Naming::Locked,
    })
}

/// Has each message tell who sent it, where that is an option.
fn ask(socket: &mut Datagram, options: &ChannelOptions) -> result::Result<(), Failed> {
    if options.credentials {
        socket.enable_credentials().map_err(in_call("setsockopt"))?;
    }
    Ok(())
}

fn connect(
    state: &mut State,
    peer: &Name,
    local: Option<&Name>,
    tcp: TcpOptions,
    options: &ChannelOptions,
) -> result::Result<Outcome, Failed> {
    let Connect { stream, connecting } = Stream::connect(peer, local, &tcp)?;
    add_stream(state, stream, connecting, options)
}

fn add_datagram(
    state: &mut State,
    socket: Datagram,
    bound: Option<Bound>,
    options: &ChannelOptions,
) -> result::Result<Outcome, Failed> {
    Ok(add(state, datagram(socket, bound, options)?))
}

fn datagram(
    socket: Datagram,
    bound: Option<Bound>,
    options: &ChannelOptions,
) -> result::Result<Channel, Failed> {
    Channel::datagram(socket, bound, options.protocol()?, options.limits())
        .map_err(|(errno, _socket)| Failed(errno, "getsockopt"))
}

fn add(state: &mut State, channel: Channel) -> Outcome {
    Outcome::channel(state.reactor.add(channel))
}

fn add_stream(
    state: &mut State,
    socket: Stream,
    connecting: bool,
    options: &ChannelOptions,
) -> result::Result<Outcome, Failed> {
    let limits: Limits = options.limits();
    let added = state.reactor.add_stream(socket, connecting, options.framing()?, limits);
    let index = added.map_err(|(errno, _socket)| Failed(errno, "epoll_ctl"))?;
    Ok(Outcome { connecting, ..Outcome::channel(index) })
}

fn add_listener(
    state: &mut State,
    socket: Listener,
    bound: Option<Bound>,
    options: &ChannelOptions,
) -> result::Result<Outcome, Failed> {
    let connection = if socket.is_seqpacket() {
        Connection::Seqpacket(options.protocol()?)
    } else {
        Connection::Stream(options.framing()?)
    };
    let listening = Listening::new(socket, bound, connection, options.limits());
    Ok(Outcome::channel(state.reactor.add_listener(listening)))
}

fn parse(name: &[u8]) -> result::Result<Address, Failed> {
    Address::from_bytes(name).map_err(|_| Failed(Errno::INVAL, "bind"))
}

fn inet(host: &str, port: u16) -> result::Result<SocketAddr, Failed> {
    let host: IpAddr = host.parse().map_err(|_| Failed(Errno::INVAL, "connect"))?;
    Ok(SocketAddr::new(host, port))
}
