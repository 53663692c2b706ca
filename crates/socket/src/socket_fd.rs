//! The descriptor of a socket that this crate reads from.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::closing;
use crate::receive::next_is_end;

/// The descriptor of a socket. Dropping it closes the socket without waiting.
///
/// The unread messages of a Unix socket may carry descriptors, which are closed with it. Such a
/// socket is closed like a received descriptor; see [`closing`]. Any other is closed at once, so that
/// its name is free again and its peer learns of the end.
#[derive(Debug)]
pub(crate) struct SocketFd(Option<OwnedFd>);

/// Why the descriptor is present: only `into_owned` and `drop` take it, and nothing follows them.
const PRESENT: &str = "a SocketFd has its descriptor until it is consumed";

impl SocketFd {
    /// Returns the descriptor.
    pub(crate) fn into_owned(mut self) -> OwnedFd {
        self.0.take().expect(PRESENT)
    }
}

impl From<OwnedFd> for SocketFd {
    fn from(fd: OwnedFd) -> Self {
        Self(Some(fd))
    }
}

impl AsFd for SocketFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect(PRESENT).as_fd()
    }
}

impl Drop for SocketFd {
    fn drop(&mut self) {
        if let Some(fd) = self.0.take()
            && has_unread_messages(fd.as_fd())
            && has_unread_fds(fd.as_fd())
        {
            closing::close(fd);
            closing::settle();
        }
    }
}

/// Returns whether a Unix socket has unread messages, or connections that are not accepted.
fn has_unread_messages(fd: BorrowedFd<'_>) -> bool {
    let mut ready = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut ready, Some(&at_once)).is_ok_and(|ready| ready == 0) {
        return false;
    }
    // The end of a connection makes it readable, too.
    sockopt::socket_domain(fd).is_ok_and(|family| family == AddressFamily::UNIX)
        && match sockopt::socket_type(fd) {
            Ok(SocketType::DGRAM) => true,
            _ => !next_is_end(fd).unwrap_or(false),
        }
}

/// Returns whether descriptors are in the queue of a Unix socket, or in those of connections that it
/// has not accepted. The kernel tells their number since Linux 5.6; without it, there may be some.
fn has_unread_fds(fd: BorrowedFd<'_>) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
    let count = info.ok().and_then(|info| {
        info.lines().find_map(|line| line.strip_prefix("scm_fds:")?.trim().parse::<u32>().ok())
    });
    count != Some(0)
}
