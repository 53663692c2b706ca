//! What is done with streams and listeners beside sending and receiving.

use std::os::fd::{AsRawFd, IntoRawFd};

use fdwire_socket::{Credentials, Errno, peer_credentials};
use napi::bindgen_prelude::{Buffer, Uint8Array};
use napi_derive::napi;

use crate::environment::{Environment, index};
use crate::fds::{lend, take_over};
use crate::outcome::unframeable;

#[napi]
impl Environment {
    /// How many connections a listener may accept from now on; an errno, or 0.
    #[napi]
    pub fn allow(&self, listener: i32, connections: u32) -> i32 {
        self.tell(|state| state.reactor.allow(index(listener), connections as usize))
    }

    /// Whether a stream's protocol can carry these bytes: 0, or the error code of `send`.
    #[napi]
    pub fn check_frame(&self, channel: i32, payload: Uint8Array) -> i32 {
        match self.with(|state| state.reactor.check_frame(index(channel), &payload)) {
            Some(Err(why)) => unframeable(why),
            _ => 0,
        }
    }

    /// Sends what a stream has gathered.
    #[napi]
    pub fn flush(&self, channel: i32) {
        self.with(|state| state.reactor.flush_one(index(channel)));
    }

    /// Shuts down the sending side of a stream as soon as all is sent.
    #[napi]
    pub fn finish(&self, channel: i32) {
        self.with(|state| state.reactor.finish(index(channel)));
    }

    /// Drops what a stream brings from now on, until a record tells of its end; an errno, or 0.
    #[napi]
    pub fn discard(&self, channel: i32) -> i32 {
        self.tell(|state| state.reactor.discard(index(channel)))
    }

    /// Drops what a stream has brought so far.
    #[napi]
    pub fn discard_now(&self, channel: i32) {
        self.with(|state| state.reactor.discard_now(index(channel)));
    }

    /// Takes in bytes for a channel that was made by `carry`, or (absent) their end.
    #[napi]
    pub fn feed(&self, channel: i32, bytes: Option<Uint8Array>) {
        self.with(|state| state.reactor.feed(index(channel), bytes.as_deref()));
        self.inner.work_off();
    }

    /// Whether a channel has more in hand than it told of in a turn, and somebody wants it.
    #[napi]
    pub fn is_due(&self, channel: i32) -> bool {
        let due = |state: &mut crate::state::State| {
            let channel = state.reactor.channel(index(channel));
            channel.is_some_and(fdwire_channel::Channel::is_due)
        };
        self.with(due).unwrap_or(false)
    }

    /// A duplicate of a descriptor, close-on-exec; a negative errno where there is none.
    #[napi]
    pub fn duplicate(&self, fd: i32) -> i32 {
        let duplicate = lend(fd).and_then(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3));
        duplicate.map_or_else(|errno| -errno.raw_os_error(), IntoRawFd::into_raw_fd)
    }

    /// Closes a duplicate that nobody has got.
    #[napi]
    pub fn close_duplicate(&self, fd: i32) {
        drop(take_over(fd));
    }

    /// Takes in bytes that were read before the socket was adopted.
    #[napi]
    pub fn unshift(&self, channel: i32, bytes: Uint8Array) {
        self.with(|state| state.reactor.feed(index(channel), Some(&bytes)));
    }

    /// Takes what a channel that was made by `carry` has to send; `settle` tells when that is sent.
    #[napi]
    pub fn fetch(&self, channel: i32) -> Buffer {
        self.with(|state| state.reactor.fetch(index(channel))).unwrap_or_default().into()
    }

    /// So many bytes of what was fetched have been taken.
    #[napi]
    pub fn settle(&self, channel: i32, bytes: u32) {
        self.with(|state| state.reactor.settle_fetched(index(channel), bytes as usize));
        self.inner.work_off();
    }

    /// Who made the socket at the other end of a channel's; an errno, as a number, where nobody knows.
    #[napi]
    pub fn peer_credentials(&self, channel: i32) -> napi::Either<PeerCredentials, i32> {
        let asked = self.with(|state| {
            let fd = state.reactor.channel(index(channel)).and_then(fdwire_channel::Channel::fd);
            fd.map_or(Err(Errno::BADF), peer_credentials)
        });
        match asked.unwrap_or(Err(Errno::BADF)) {
            Ok(Credentials { pid, uid, gid }) => napi::Either::A(PeerCredentials { pid, uid, gid }),
            Err(errno) => napi::Either::B(errno.raw_os_error()),
        }
    }

    /// A descriptor of the process at the other end, which is the channel's; a negative errno where there
    /// is none.
    #[napi]
    pub fn peer_pidfd(&self, channel: i32) -> i32 {
        let asked = self
            .with(|state| state.reactor.peer_pidfd(index(channel)).map(|pidfd| pidfd.as_raw_fd()));
        asked.unwrap_or(Err(Errno::BADF)).unwrap_or_else(|errno| -errno.raw_os_error())
    }

    fn tell(&self, work: impl FnOnce(&mut crate::state::State) -> Result<(), Errno>) -> i32 {
        match self.with(work) {
            Some(Err(errno)) => errno.raw_os_error(),
            _ => 0,
        }
    }
}

/// A process, as it was when it made its socket.
#[napi(object)]
pub struct PeerCredentials {
    /// Process id; 0 where it is in no name space that we see.
    pub pid: i32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}
