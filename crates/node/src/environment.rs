//! The class that JavaScript makes once a thread: everything that isn't hot.

use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::rc::Rc;

use fdwire_channel::Channel;
use fdwire_socket::{
    Address, AddressFamily, BindOutcome, Bound, Datagram, Errno, Kind, SocketType, Unlink,
    bind_path, describe, on_network_or_fuse,
};
use fdwire_wire::Protocol;
use napi::bindgen_prelude::{Buffer, Env, JsObjectValue, Object, Uint8Array, Unknown};
use napi::{Error, Result, Status};
use napi_derive::napi;

use crate::fds::{lend, take_over};
use crate::hot;
use crate::memory::Memory;
use crate::outcome::{ChannelOptions, ChannelStats, Failed, Outcome, QueueNumbers, in_call};
use crate::state::State;
use crate::turn::Inner;

/// All channels of one thread, and what they share.
#[napi]
pub struct Environment {
    inner: Rc<Inner>,
}

#[napi]
impl Environment {
    /// Starts with the shared memory, and calls `dispatch` with a channel's index and how many
    /// records there are for it.
    #[napi(constructor)]
    pub fn new(
        env: Env,
        #[napi(ts_arg_type = "Uint8Array")] slab: Unknown<'_>,
        #[napi(ts_arg_type = "Int32Array")] table: Unknown<'_>,
        #[napi(ts_arg_type = "(channel: number, records: number) => void")] dispatch: Unknown<'_>,
    ) -> Result<Self> {
        let memory = Memory::new(env.raw(), slab, table)?;
        let state = State::new(memory).map_err(|errno| {
            Error::new(Status::GenericFailure, format!("epoll_create1: {errno}"))
        })?;
        Ok(Self { inner: Inner::start(env.raw(), state, dispatch)? })
    }

    /// The hot functions; `lib/native.ts` has their types.
    #[napi(ts_return_type = "object")]
    pub fn hot<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let mut functions = Object::new(env)?;
        for (name, function) in hot::functions(&self.inner)? {
            functions.set_named_property(name, function)?;
        }
        Ok(functions)
    }

    /// Whether the loop is kept alive.
    #[napi]
    pub fn set_ref(&self, referenced: bool) {
        self.inner.set_ref(referenced);
    }

    /// A socket that is bound to an address: a path, an abstract name, or empty for the kernel's
    /// choice. `unlink` is `stale`, `always` or `never`.
    #[napi]
    pub fn bind(
        &self,
        address: Uint8Array,
        mode: u32,
        unlink: String,
        options: ChannelOptions,
    ) -> Result<Outcome> {
        self.open(|state| {
            let address = parse(&address)?;
            let socket = Datagram::new().map_err(in_call("socket"))?;
            match name(&socket, &address, mode, &unlink)? {
                Naming::Named(bound) => add(state, socket, bound, &options),
                Naming::Locked => Ok(Outcome::locked()),
            }
        })
    }

    /// A socket that is connected to an address and then bound: to `local`, empty for the kernel's
    /// choice, absent to stay without a name. `mode` and `unlink` are as in `bind`, for `local`.
    #[napi]
    pub fn connect(
        &self,
        address: Uint8Array,
        local: Option<Uint8Array>,
        mode: u32,
        unlink: String,
        options: ChannelOptions,
    ) -> Result<Outcome> {
        self.open(|state| {
            let address = parse(&address)?;
            let local = local.as_ref().map(|local| parse(local)).transpose()?;
            let socket = Datagram::new().map_err(in_call("socket"))?;
            // The other way round a stranger's datagram would slip in between.
            socket.connect(&address).map_err(in_call("connect"))?;
            let Some(local) = local else { return add(state, socket, None, &options) };
            match name(&socket, &local, mode, &unlink)? {
                Naming::Named(bound) => add(state, socket, bound, &options),
                Naming::Locked => Ok(Outcome::locked()),
            }
        })
    }

    /// Two connected sockets.
    #[napi]
    pub fn pair(&self, options: ChannelOptions) -> Result<Vec<Outcome>> {
        let mut second = Outcome::locked();
        let first = self.open(|state| {
            let (a, b) = Datagram::pair().map_err(in_call("socketpair"))?;
            let first = add(state, a, None, &options)?;
            second = add(state, b, None, &options)?;
            Ok(first)
        })?;
        Ok(vec![first, second])
    }

    /// A channel over a socket that JavaScript gives away; where it fails nothing is taken.
    #[napi]
    pub fn adopt(&self, fd: i32, options: ChannelOptions) -> Result<Outcome> {
        self.open(|state| {
            let owned = take_over(fd).map_err(in_call("adopt"))?;
            let socket = Datagram::adopt(owned);
            let channel = match channel(socket, None, &options) {
                Ok(channel) => channel,
                Err((errno, socket)) => {
                    let _number = socket.into_fd().into_raw_fd();
                    return Err(Failed(errno, "adopt"));
                }
            };
            Ok(Outcome::channel(state.reactor.add(channel)))
        })
    }

    /// What a socket is: its family and type, and whether it listens; an errno where it is none.
    #[napi]
    pub fn describe(&self, fd: i32) -> SocketDescription {
        match lend(fd).and_then(describe) {
            Ok(found) => SocketDescription {
                errno: 0,
                unix: found.domain == AddressFamily::UNIX,
                dgram: found.kind == SocketType::DGRAM,
                listening: found.listening,
            },
            Err(errno) => SocketDescription {
                errno: errno.raw_os_error(),
                unix: false,
                dgram: false,
                listening: false,
            },
        }
    }

    /// Closes a channel, and removes its path where it bound one.
    #[napi]
    pub fn close(&self, channel: i32) {
        self.with(|state| drop(state.remove(index(channel))));
    }

    /// Takes a channel's descriptor out; -1 where there is no such channel.
    #[napi]
    pub fn detach(&self, channel: i32) -> i32 {
        self.with(|state| state.remove(index(channel)))
            .flatten()
            .map_or(-1, |channel| channel.into_socket().into_fd().into_raw_fd())
    }

    /// A channel's descriptor; -1 where there is no such channel.
    #[napi]
    pub fn fd(&self, channel: i32) -> i32 {
        self.ask(channel, |channel| channel.socket().as_fd().as_raw_fd()).unwrap_or(-1)
    }

    /// A channel's own name; empty where it has none.
    #[napi]
    pub fn local_address(&self, channel: i32) -> Buffer {
        let address = self.ask(channel, |channel| channel.socket().local_address().ok()).flatten();
        address.map_or_else(Vec::new, |address| address.as_bytes().to_vec()).into()
    }

    /// The name of a channel's peer; empty where that has none, null where there is no peer.
    #[napi]
    pub fn peer_address(&self, channel: i32) -> Option<Buffer> {
        self.ask(channel, |channel| {
            let peer = channel.socket().peer_address().ok().flatten();
            channel
                .connected()
                .then(|| peer.map_or_else(Vec::new, |address| address.as_bytes().to_vec()).into())
        })
        .flatten()
    }

    /// What a channel has done and has waiting.
    #[napi]
    pub fn stats(&self, channel: i32) -> Option<ChannelStats> {
        self.ask(channel, |channel| {
            ChannelStats::new(channel.counters(), channel.queued(), channel.open_fds())
        })
    }

    /// The numbers of a channel's queued messages.
    #[napi]
    pub fn queue_numbers(&self, channel: i32) -> QueueNumbers {
        self.ask(channel, |channel| QueueNumbers::new(channel.seqs())).unwrap_or_default()
    }

    /// Whether a record shall tell when queued messages are settled.
    #[napi]
    pub fn watch(&self, channel: i32, watched: bool) {
        self.with(|state| state.reactor.watch(index(channel), watched));
    }

    /// One non-blocking attempt for everything that is queued anywhere.
    #[napi]
    pub fn try_all(&self) {
        self.with(|state| state.reactor.try_all());
    }

    /// Removes the paths that channels have bound: at `process.exit` nothing else of native code runs.
    #[napi]
    pub fn unlink_all(&self) {
        self.with(|state| state.reactor.unlink_all());
    }

    /// A message of this turn that the slab was too small for.
    #[napi]
    pub fn take_large(&self, place: u32) -> Buffer {
        self.with(|state| state.large.get_mut(place as usize).map(std::mem::take))
            .flatten()
            .unwrap_or_default()
            .into()
    }

    /// Who in this thread owns a descriptor already: `FdSet`, `channel`, or empty for nobody.
    #[napi]
    pub fn owner_of(&self, fd: i32) -> &'static str {
        self.with(|state| {
            if state.owned.has(fd) {
                "FdSet"
            } else if state.reactor.has_fd(fd) {
                "channel"
            } else {
                ""
            }
        })
        .unwrap_or_default()
    }

    /// Takes ownership of a descriptor; an errno where it isn't open, EBUSY where it is owned.
    #[napi]
    pub fn own_fd(&self, fd: i32) -> i32 {
        if !self.owner_of(fd).is_empty() {
            return Errno::BUSY.raw_os_error();
        }
        let taken = take_over(fd);
        self.with(|state| taken.map(|owned| state.owned.insert(owned)))
            .map_or(0, |result| result.map_or_else(Errno::raw_os_error, |_number| 0))
    }

    /// What a descriptor is; an errno, as a number, where it isn't open.
    #[napi(ts_return_type = "string | number")]
    pub fn kind_of(&self, fd: i32) -> napi::Either<&'static str, i32> {
        match lend(fd).and_then(Kind::of) {
            Ok(kind) => napi::Either::A(kind.name()),
            Err(errno) => napi::Either::B(errno.raw_os_error()),
        }
    }

    /// Whether a file lies on FUSE or a network file system.
    #[napi]
    pub fn is_remote_file(&self, fd: i32) -> bool {
        lend(fd).and_then(on_network_or_fuse).unwrap_or(false)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.inner.state.borrow_mut().as_mut().map(work)
    }

    fn ask<T>(&self, channel: i32, question: impl FnOnce(&Channel) -> T) -> Option<T> {
        self.with(|state| state.reactor.channel(index(channel)).map(question)).flatten()
    }

    fn open(
        &self,
        work: impl FnOnce(&mut State) -> std::result::Result<Outcome, Failed>,
    ) -> Result<Outcome> {
        let outcome = self.with(|state| work(state).unwrap_or_else(Outcome::from));
        outcome.ok_or_else(|| Error::new(Status::Closing, "the environment has ended"))
    }
}

/// What a socket is.
#[napi(object)]
pub struct SocketDescription {
    /// 0, or why it can't be told.
    pub errno: i32,
    /// Whether it is a Unix socket.
    pub unix: bool,
    /// Whether it is a datagram socket.
    pub dgram: bool,
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

/// Names a socket: by a path, an abstract name, or (empty) the kernel's choice.
fn name(
    socket: &Datagram,
    address: &Address,
    mode: u32,
    unlink: &str,
) -> std::result::Result<Naming, Failed> {
    if !address.is_path() {
        socket.bind(address).map_err(in_call("bind"))?;
        return Ok(Naming::Named(None));
    }
    let unlink = match unlink {
        "always" => Unlink::Always,
        "never" => Unlink::Never,
        _ => Unlink::Stale,
    };
    Ok(match bind_path(socket, address, mode, unlink)? {
        BindOutcome::Bound(bound) => Naming::Named(Some(bound)),
        BindOutcome::Locked => Naming::Locked,
    })
}

fn add(
    state: &mut State,
    socket: Datagram,
    bound: Option<Bound>,
    options: &ChannelOptions,
) -> std::result::Result<Outcome, Failed> {
    let channel =
        channel(socket, bound, options).map_err(|(errno, _socket)| Failed(errno, "getsockopt"))?;
    Ok(Outcome::channel(state.reactor.add(channel)))
}

fn channel(
    socket: Datagram,
    bound: Option<Bound>,
    options: &ChannelOptions,
) -> std::result::Result<Channel, (Errno, Datagram)> {
    let Some(protocol) = Protocol::from_name(&options.protocol) else {
        return Err((Errno::PROTONOSUPPORT, socket));
    };
    Channel::new(socket, bound, protocol, options.limits())
}

fn parse(name: &[u8]) -> std::result::Result<Address, Failed> {
    Address::from_bytes(name).map_err(|_| Failed(Errno::INVAL, "bind"))
}

fn index(channel: i32) -> usize {
    usize::try_from(channel).unwrap_or(usize::MAX)
}
