//! Options of sockets.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::net::sockopt;

use crate::Errno;
use crate::buffers::Buffers;

/// Options of a socket that is created, adopted or accepted.
///
/// A socket ignores the options that its type does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketSetup {
    /// TCP: whether small writes are sent immediately (`TCP_NODELAY`).
    pub no_delay: bool,
    /// TCP: the idle time before the first keep-alive probe; zero for the kernel's default, None to
    /// leave probes as they are (`SO_KEEPALIVE`, `TCP_KEEPIDLE`).
    pub keep_alive: Option<Duration>,
    /// TCP listeners: whether other sockets may listen on the same port (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Unix: whether senders of descriptors get `EPERM` (`SO_PASSRIGHTS`, Linux 6.16).
    pub refuse_fds: bool,
    /// Datagrams: whether each message comes with the credentials of its sender (`SO_PASSCRED`).
    pub credentials: bool,
    /// The size of the send buffer in bytes; None for the kernel's default (`SO_SNDBUF`).
    pub send_buffer: Option<u32>,
    /// TCP: the size of the receive buffer in bytes; None for the kernel's default (`SO_RCVBUF`).
    pub receive_buffer: Option<u32>,
}

impl SocketSetup {
    /// Applies the options of a TCP connection. A listener passes them on to the sockets that it
    /// accepts.
    pub(crate) fn apply_to_tcp(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        sockopt::set_tcp_nodelay(fd, self.no_delay)?;
        if let Some(idle) = self.keep_alive {
            sockopt::set_socket_keepalive(fd, true)?;
            if !idle.is_zero() {
                sockopt::set_tcp_keepidle(fd, idle)?;
            }
        }
        Ok(())
    }

    /// Applies the options of a TCP listener, which is not bound yet. `buffers` gets the previous
    /// sizes of its buffers. Accepted sockets inherit the new ones.
    pub(crate) fn apply_to_tcp_listener(
        &self,
        fd: BorrowedFd<'_>,
        buffers: &Buffers,
    ) -> Result<(), Errno> {
        buffers.fix(fd, self.send_buffer, self.receive_buffer)?;
        sockopt::set_socket_reuseaddr(fd, true)?;
        sockopt::set_socket_reuseport(fd, self.reuse_port)?;
        self.apply_to_tcp(fd)
    }
}
