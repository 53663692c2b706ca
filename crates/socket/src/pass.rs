//! What a process that had a socket before us may have asked for beside each message.

use std::os::fd::BorrowedFd;

use crate::sys::{SO_PASSPIDFD, set_socket_option, socket_option};

/// Whether `SO_PASSPIDFD` was found on a socket, and is off as long as we have it.
///
/// Nobody here wants a pidfd beside each message; to install and close one costs as much as a message.
#[derive(Debug, Default)]
pub(crate) struct PassPidfd {
    found: bool,
}

/// Has a Unix socket that was made elsewhere bring no pidfds.
pub(crate) fn pidfds_off(socket: BorrowedFd<'_>) -> PassPidfd {
    // A kernel before 6.5 has no such option. Where a pidfd comes all the same it is closed.
    let found = socket_option(socket, SO_PASSPIDFD).is_ok_and(|[on, ..]| on != 0)
        && set_socket_option(socket, SO_PASSPIDFD, 0).is_ok();
    PassPidfd { found }
}

impl PassPidfd {
    /// Leaves it as it was found.
    pub(crate) fn restore(&self, socket: BorrowedFd<'_>) {
        if self.found {
            // Nothing that fails here could be mended.
            let _ = set_socket_option(socket, SO_PASSPIDFD, 1);
        }
    }
}
