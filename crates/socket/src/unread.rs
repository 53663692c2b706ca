//! Looks at connections without reading from them.

use std::os::fd::BorrowedFd;

use rustix::io::retry_on_intr;
use rustix::net::{self, RecvFlags, ipproto, sockopt};

use crate::Errno;

/// Copies the first bytes of a connection, which stay in its socket. Returns their number; 0 at the
/// end.
///
/// # Errors
///
/// `EAGAIN` if there are none yet, `ECONNRESET`, `ETIMEDOUT` …
pub fn peek(socket: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize, Errno> {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    retry_on_intr(|| net::recv(socket, &mut *into, flags)).map(|(len, _)| len)
}

/// Returns whether a descriptor is a TCP socket.
#[must_use]
pub fn is_tcp(fd: BorrowedFd<'_>) -> bool {
    sockopt::socket_protocol(fd) == Ok(Some(ipproto::TCP))
}
