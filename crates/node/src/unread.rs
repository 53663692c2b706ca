//! Methods that look at accepted connections without reading from them.

use fdwire_socket::{self as socket, Errno, peek};
use napi::Result;
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

use crate::environment::{Environment, index, number};
use crate::error::syscall_error;
use crate::fds::lend;
use crate::queries::SocketAddress;
use crate::record::word;

#[napi]
impl Environment {
    /// Copies the first bytes of a connection into `target`; they stay in its socket. Returns their
    /// number, -1 if there are none yet, and 0 at the end.
    ///
    /// Throws ECONNRESET, ETIMEDOUT …
    #[napi]
    pub fn peek(&self, fd: i32, mut target: BufferSlice<'_>) -> Result<i32> {
        match lend(fd).and_then(|fd| peek(fd, &mut target)) {
            Ok(len) => Ok(word(len)),
            Err(Errno::AGAIN) => Ok(-1),
            Err(errno) => Err(self.thrown(syscall_error("recv")(errno))),
        }
    }

    /// Watches a descriptor of `ownFd` or of a connection, and returns the number under which records
    /// report its readiness. Until `unwatch`, native code owns the descriptor.
    #[napi]
    pub fn watch(&self, fd: i32) -> Result<i32> {
        self.attempt(|state| {
            let owned =
                state.owned.take(fd).ok_or(Errno::BADF).map_err(syscall_error("epoll_ctl"))?;
            state.reactor.watch(owned).map(number).map_err(|(errno, fd)| {
                state.owned.insert(fd);
                syscall_error("epoll_ctl")(errno)
            })
        })
    }

    /// Ends watching a descriptor. The caller owns it again.
    #[napi]
    pub fn unwatch(&self, watched: i32) -> Result<()> {
        self.with(|state| {
            state.end_turn_of(index(watched));
            if let Some(fd) = state.reactor.unwatch(index(watched)) {
                state.owned.insert(fd);
            }
        })
    }

    /// Closes a descriptor of a connection. It does not wait.
    #[napi]
    pub fn close_connection(&self, fd: i32) -> Result<()> {
        self.with(|state| drop(state.owned.take(fd)))
    }

    /// Returns the address of the peer of a socket; null if it has none.
    #[napi]
    pub fn peer_of_fd(&self, fd: i32) -> Option<SocketAddress> {
        let address = lend(fd).and_then(socket::SocketAddress::of_peer);
        address.ok().map(SocketAddress::from)
    }

    /// Returns the address of a socket; null if it has none.
    #[napi]
    pub fn address_of_fd(&self, fd: i32) -> Option<SocketAddress> {
        let address = lend(fd).and_then(socket::SocketAddress::of_socket);
        address.ok().map(SocketAddress::from)
    }
}
