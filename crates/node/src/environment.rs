//! The class that JavaScript makes once a thread: everything that isn't hot.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::rc::Rc;

use fdwire_channel::Channel;
use fdwire_socket::{Address, Errno, Kind, Name, on_network_or_fuse};
use napi::bindgen_prelude::{Buffer, Env, JsObjectValue, Object, Unknown};
use napi::{Error, Result, Status};
use napi_derive::napi;

use crate::fds::{lend, take_over};
use crate::hot;
use crate::memory::Memory;
use crate::outcome::{ChannelStats, QueueNumbers, SocketName};
use crate::state::State;
use crate::turn::Inner;

/// All channels of one thread, and what they share.
#[napi]
pub struct Environment {
    pub(crate) inner: Rc<Inner>,
    /// Files in memory that Buffers of this thread are.
    pub(crate) mappings: Rc<Cell<usize>>,
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
        let inner = Inner::start(env.raw(), state, dispatch)?;
        Ok(Self { inner, mappings: Rc::default() })
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

    /// Closes a channel or listener, and removes its path where it bound one.
    #[napi]
    pub fn close(&self, channel: i32) {
        self.with(|state| {
            drop(state.remove(index(channel)));
            drop(state.reactor.remove_listener(index(channel)));
        });
    }

    /// Takes a channel's descriptor out; -1 where there is no such channel.
    #[napi]
    pub fn detach(&self, channel: i32) -> i32 {
        self.with(|state| state.remove(index(channel)).and_then(Channel::into_fd))
            .flatten()
            .map_or(-1, IntoRawFd::into_raw_fd)
    }

    /// A channel's or listener's descriptor; -1 where there is none.
    #[napi]
    pub fn fd(&self, channel: i32) -> i32 {
        self.with(|state| {
            let (reactor, at) = (&state.reactor, index(channel));
            let channel = reactor.channel(at).and_then(Channel::fd);
            let fd = channel.or_else(|| Some(reactor.listener(at)?.socket().as_fd()));
            fd.map(|fd| fd.as_raw_fd())
        })
        .flatten()
        .unwrap_or(-1)
    }

    /// The name of a channel's or listener's socket; null where there is none.
    #[napi]
    pub fn local_address(&self, channel: i32) -> Option<SocketName> {
        self.with(|state| {
            let (reactor, at) = (&state.reactor, index(channel));
            match (reactor.channel(at), reactor.listener(at)) {
                (Some(channel), _) => match channel.datagram_socket() {
                    Some(socket) => socket.local_address().ok().map(Name::Unix),
                    None => channel.stream_socket()?.local_name().ok(),
                },
                (None, Some(listener)) => listener.socket().local_name().ok(),
                (None, None) => None,
            }
        })
        .flatten()
        .map(SocketName::from)
    }

    /// The name of a channel's peer; null where there is no peer.
    #[napi]
    pub fn peer_address(&self, channel: i32) -> Option<SocketName> {
        self.ask(channel, |channel| match channel.datagram_socket() {
            Some(socket) if channel.connected() => {
                let peer = socket.peer_address().ok().flatten();
                Some(Name::Unix(peer.unwrap_or(Address::UNNAMED)))
            }
            Some(_) => None,
            None => channel.stream_socket()?.peer_name().ok(),
        })
        .flatten()
        .map(SocketName::from)
    }

    /// What a channel has done and has waiting.
    #[napi]
    pub fn stats(&self, channel: i32) -> Option<ChannelStats> {
        self.ask(channel, ChannelStats::of)
    }

    /// The numbers of a channel's queued messages.
    #[napi]
    pub fn queue_numbers(&self, channel: i32) -> QueueNumbers {
        self.ask(channel, |channel| QueueNumbers::new(channel.seqs())).unwrap_or_default()
    }

    /// Whether a record shall tell when queued messages are settled.
    #[napi]
    pub fn watch(&self, channel: i32, watched: bool) {
        self.with(|state| state.reactor.set_reports_progress(index(channel), watched));
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

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.inner.state.borrow_mut().as_mut().map(work)
    }

    fn ask<T>(&self, channel: i32, question: impl FnOnce(&Channel) -> T) -> Option<T> {
        self.with(|state| state.reactor.channel(index(channel)).map(question)).flatten()
    }
}

pub(crate) fn index(channel: i32) -> usize {
    usize::try_from(channel).unwrap_or(usize::MAX)
}
