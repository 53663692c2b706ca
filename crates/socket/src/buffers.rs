//! The sizes of a socket's buffers, which options and this crate change, and which are restored when
//! the socket is given away.

use std::cell::{Cell, OnceCell};
use std::os::fd::BorrowedFd;

use rustix::net::sockopt;

use crate::Errno;
use crate::sys::{SO_BUF_LOCK, set_socket_option, socket_option};

/// The largest value that `setsockopt` can take, which is an int.
const LARGEST: usize = i32::MAX as usize;

/// The sizes of the buffers of a socket. Most sockets keep theirs, which takes one word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers(OnceCell<Box<Previous>>);

/// What the buffers of a socket were before they were changed.
#[derive(Clone, Debug, Default)]
struct Previous {
    /// Sizes in bytes as the kernel reports them; 0 if unchanged.
    send: Cell<u32>,
    receive: Cell<u32>,
    /// `SO_BUF_LOCK`: the sizes that TCP does not adjust. None before Linux 5.14.
    lock: Option<u8>,
    /// Whether an option determines the size of the send buffer.
    is_send_fixed: Cell<bool>,
}

impl Buffers {
    /// Returns whether an option determines the size of the send buffer.
    pub(crate) fn is_send_fixed(&self) -> bool {
        self.0.get().is_some_and(|previous| previous.is_send_fixed.get())
    }

    /// Sets the sizes that options determine. The kernel doubles them, and limits them to
    /// `net.core.wmem_max` and `net.core.rmem_max` before.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub(crate) fn fix(
        &self,
        socket: BorrowedFd<'_>,
        send: Option<u32>,
        receive: Option<u32>,
    ) -> Result<(), Errno> {
        if let Some(bytes) = send {
            self.set_send(socket, bytes as usize)?;
            self.previous(socket).is_send_fixed.set(true);
        }
        if let Some(bytes) = receive {
            let previous = self.previous(socket);
            if previous.receive.get() == 0 {
                previous.receive.set(size(sockopt::socket_recv_buffer_size(socket)?));
            }
            sockopt::set_socket_recv_buffer_size(socket, (bytes as usize).min(LARGEST))?;
        }
        Ok(())
    }

    /// Sets the size of the send buffer. The kernel doubles it.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub(crate) fn set_send(&self, socket: BorrowedFd<'_>, bytes: usize) -> Result<(), Errno> {
        self.keep_send(socket)?;
        sockopt::set_socket_send_buffer_size(socket, bytes.min(LARGEST))
    }

    /// Sets the size of the send buffer whatever `net.core.wmem_max` is, and returns whether the
    /// process has the privilege for that. The kernel doubles the size.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub(crate) fn force_send(&self, socket: BorrowedFd<'_>, bytes: usize) -> Result<bool, Errno> {
        self.keep_send(socket)?;
        Ok(sockopt::set_socket_send_buffer_size_force(socket, bytes.min(LARGEST)).is_ok())
    }

    fn keep_send(&self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        let previous = self.previous(socket);
        if previous.send.get() == 0 {
            previous.send.set(size(sockopt::socket_send_buffer_size(socket)?));
        }
        Ok(())
    }

    /// Restores the previous sizes. There is no way to recover from a failure here.
    pub(crate) fn restore(&self, socket: BorrowedFd<'_>) {
        let Some(previous) = self.0.get() else { return };
        let (send, receive) = (previous.send.get() as usize, previous.receive.get() as usize);
        if send > 0 {
            let _ = sockopt::set_socket_send_buffer_size(socket, send / 2);
        }
        if receive > 0 {
            let _ = sockopt::set_socket_recv_buffer_size(socket, receive / 2);
        }
        // Setting a size has locked it.
        if let Some(lock) = previous.lock {
            let _ = set_socket_option(socket, SO_BUF_LOCK, lock.into());
        }
    }

    fn previous(&self, socket: BorrowedFd<'_>) -> &Previous {
        self.0.get_or_init(|| {
            let lock = socket_option(socket, SO_BUF_LOCK).ok();
            let lock = lock.and_then(|[lock, ..]| u8::try_from(lock).ok());
            Box::new(Previous { lock, ..Previous::default() })
        })
    }
}

fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
