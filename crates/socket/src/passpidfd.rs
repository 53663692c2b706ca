//! `SO_PASSPIDFD`, which a previous owner of a socket may have turned on.

use std::os::fd::BorrowedFd;

use crate::sys::{SO_PASSPIDFD, set_socket_option, socket_option};

/// The previous state of `SO_PASSPIDFD`, which is off while this crate owns a socket.
///
/// fdwire does not use pidfds of senders, and installing and closing one costs as much as receiving
/// a message.
#[derive(Debug, Default)]
pub(crate) struct PassPidfd {
    was_on: bool,
}

impl PassPidfd {
    /// Turns `SO_PASSPIDFD` off for a Unix socket that was created elsewhere.
    pub(crate) fn disable(socket: BorrowedFd<'_>) -> Self {
        // Kernels before 6.5 lack the option. A pidfd that arrives in spite of this is closed.
        let was_on = socket_option(socket, SO_PASSPIDFD).is_ok_and(|[on, ..]| on != 0)
            && set_socket_option(socket, SO_PASSPIDFD, 0).is_ok();
        Self { was_on }
    }

    /// Restores the previous state.
    pub(crate) fn restore(&self, socket: BorrowedFd<'_>) {
        if self.was_on {
            // There is no way to recover from a failure here.
            let _ = set_socket_option(socket, SO_PASSPIDFD, 1);
        }
    }
}
