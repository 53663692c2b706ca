//! Unix and TCP stream sockets.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{ioctl_fionbio, retry_on_intr};
use rustix::net::{
    self, AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown,
    SocketFlags, SocketType, sockopt,
};

use crate::buffers::Buffers;
use crate::control::SEND_SPACE;
use crate::error::{SyscallError, syscall_error};
use crate::passpidfd::PassPidfd;
use crate::passrights::PassRights;
use crate::receive::{next_is_empty, receive};
use crate::socket_fd::SocketFd;
use crate::{
    Binding, Bound, Control, Errno, ForeignFd, MAX_FDS, Received, SocketAddress, SocketSetup, sys,
};

/// A stream socket that is connected or connecting.
///
/// Once the socket is connected, `O_NONBLOCK` is neither required nor changed.
#[derive(Debug)]
pub struct Stream {
    // Dropped before the descriptor: a path that exists leads to an open socket.
    bound: Option<Box<Bound>>,
    fd: SocketFd,
    tcp: bool,
    passrights: PassRights,
    passpidfd: PassPidfd,
    buffers: Buffers,
}

/// The result of starting to connect.
#[derive(Debug)]
pub struct Connect {
    /// The socket.
    pub stream: Stream,
    /// Whether the connection is not established yet. The socket becomes writable when it is, or
    /// when connecting has failed.
    pub connecting: bool,
}

impl Stream {
    /// Creates two close-on-exec Unix sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`.
    pub fn pair() -> Result<(Self, Self), Errno> {
        net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map(|(a, b)| (Self::new(a, false), Self::new(b, false)))
    }

    /// Takes ownership of a stream socket that was created elsewhere. The caller must check its
    /// type, with [`describe`](crate::describe).
    ///
    /// # Errors
    ///
    /// The error of reading its family, with the descriptor.
    pub fn adopt(fd: OwnedFd) -> Result<Self, (Errno, OwnedFd)> {
        match sockopt::socket_domain(&fd) {
            Ok(AddressFamily::UNIX) => {
                let passpidfd = PassPidfd::disable(fd.as_fd());
                let passrights = PassRights::adopted();
                Ok(Self { passrights, passpidfd, ..Self::new(fd, false) })
            }
            Ok(_) => Ok(Self::new(fd, true)),
            Err(errno) => Err((errno, fd)),
        }
    }

    /// Creates a stream from a socket that this crate has created.
    fn new(fd: OwnedFd, tcp: bool) -> Self {
        let (passrights, passpidfd) = (PassRights::default(), PassPidfd::default());
        let buffers = Buffers::default();
        Self { bound: None, fd: fd.into(), tcp, passrights, passpidfd, buffers }
    }

    /// Creates a stream from an accepted socket, which has inherited the options of its listener.
    /// Those of the listener are known from before it changed them.
    pub(crate) fn accepted(
        fd: OwnedFd,
        tcp: bool,
        buffers: &Buffers,
        passrights: &PassRights,
    ) -> Self {
        let (buffers, passrights) = (buffers.clone(), passrights.clone());
        Self { buffers, passrights, ..Self::new(fd, tcp) }
    }

    /// Sets the options that the first receive needs.
    ///
    /// `refuse_fds`: whether senders of descriptors get `EPERM` from now on (Unix, Linux 6.16).
    pub fn prepare_to_receive(&self, refuse_fds: bool) {
        if !self.tcp {
            self.passrights.set(self.as_fd(), !refuse_fds);
        }
    }

    /// Applies those options of `setup` that this type of socket has.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the kernel does not accept the keep-alive time.
    pub fn set_up(&self, setup: &SocketSetup) -> Result<(), Errno> {
        if self.tcp {
            setup.apply_to_tcp(self.as_fd())?;
        }
        let receive = setup.receive_buffer.filter(|_| self.tcp);
        self.buffers.fix(self.as_fd(), setup.send_buffer, receive)
    }

    /// Removes the path that the socket was bound to, if any.
    pub fn unlink(&mut self) {
        self.bound = None;
    }

    /// Restores the socket's buffers and `SO_PASSPIDFD`, and returns the descriptor. A bound path
    /// remains.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.buffers.restore(self.fd.as_fd());
        if !self.tcp {
            self.passrights.restore(self.fd.as_fd());
        }
        self.passpidfd.restore(self.fd.as_fd());
        if let Some(bound) = self.bound {
            bound.keep();
        }
        self.fd.into_owned()
    }

    /// Returns whether this is a TCP socket.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.tcp
    }

    /// Starts to connect to `peer`; a Unix socket is first bound to `local` if given.
    ///
    /// A Unix socket is connected when this returns. A TCP socket may still be connecting: once it
    /// is writable, call [`take_error`](Self::take_error) and
    /// [`finish_connect`](Self::finish_connect).
    ///
    /// # Errors
    ///
    /// Those of [`bind_path`](crate::bind_path); `EAGAIN` of `connect` if the backlog of a Unix
    /// socket is full; `ECONNREFUSED`, `ENOENT`, `EPROTOTYPE`, `ENETUNREACH` …
    pub fn connect(
        peer: &SocketAddress,
        local: Option<&Binding<'_>>,
        setup: &SocketSetup,
    ) -> Result<Connect, SyscallError> {
        // connect(2) has no flag like MSG_DONTWAIT. O_NONBLOCK affects no other process, because
        // none has the socket yet.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = net::socket_with(peer.family(), SocketType::STREAM, flags, None)
            .map_err(syscall_error("socket"))?;
        let mut stream = Self::new(fd, peer.is_tcp());
        stream.set_up(setup).map_err(syscall_error("setsockopt"))?;
        if let Some(local) = local {
            stream.bound = local.bind(stream.as_fd(), |_| Ok(()))?;
        }
        // After EINTR the kernel continues to connect, as after EINPROGRESS.
        match peer.connect(stream.as_fd()) {
            Ok(()) => {
                stream.finish_connect().map_err(syscall_error("ioctl"))?;
                Ok(Connect { stream, connecting: false })
            }
            Err(Errno::INPROGRESS | Errno::INTR) if stream.tcp => {
                Ok(Connect { stream, connecting: true })
            }
            Err(errno) => Err(syscall_error("connect")(errno)),
        }
    }

    /// Clears `O_NONBLOCK`, which connecting requires.
    ///
    /// # Errors
    ///
    /// None in practice: `FIONBIO` does not fail for an open socket.
    pub fn finish_connect(&self) -> Result<(), Errno> {
        ioctl_fionbio(&self.fd, false)
    }

    /// Returns and clears the socket's pending error (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// The pending error.
    pub fn take_error(&self) -> Result<(), Errno> {
        sockopt::socket_error(&self.fd)?
    }

    /// Receives what is available. Bytes fill the buffers of `into` in order, and descriptors
    /// (close-on-exec) are appended to `fds`. If no byte is received, the peer has ended the
    /// stream.
    ///
    /// A call stops after bytes that were sent with descriptors, so received descriptors belong to
    /// the message that contains the last received byte.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if nothing is available, `ECONNRESET`, `ETIMEDOUT` … `fds` is unchanged in that
    /// case.
    pub fn recv(
        &self,
        into: &mut [IoSliceMut<'_>],
        control: &mut Control,
        fds: &mut Vec<ForeignFd>,
    ) -> Result<Received, Errno> {
        if self.tcp
            && let [into] = into
        {
            // recv is cheaper than recvmsg, and TCP carries no descriptors.
            let (len, _) = retry_on_intr(|| net::recv(&self.fd, &mut **into, RecvFlags::DONTWAIT))?;
            let (truncated, fds_truncated, credentials) = (false, false, None);
            return Ok(Received { len, truncated, fds_truncated, end: len == 0, credentials });
        }
        receive(&self.fd, into, control, fds).map(|(received, _)| received)
    }

    /// Sends bytes, with descriptors attached to the first of them. Returns the number of bytes
    /// that the kernel has accepted.
    ///
    /// The descriptors' flags and offsets do not change.
    ///
    /// # Errors
    ///
    /// `EAGAIN`, `EPIPE`, `ECONNRESET`, `EINVAL` (more than [`MAX_FDS`] descriptors),
    /// `ETOOMANYREFS` …
    pub fn send(&self, bytes: &[IoSlice<'_>], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        if fds.is_empty()
            && let [bytes] = bytes
        {
            return retry_on_intr(|| net::send(&self.fd, bytes, flags));
        }
        let mut space = [const { MaybeUninit::uninit() }; SEND_SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if fds.len() > MAX_FDS
            || (!fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)))
        {
            return Err(Errno::INVAL);
        }
        retry_on_intr(|| net::sendmsg(&self.fd, bytes, &mut control, flags))
    }

    /// Raises the size of the send buffer, as the kernel reports it, to at least `bytes`, unless an
    /// option determines it.
    ///
    /// The kernel limits the size to twice `net.core.wmem_max`.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub fn raise_send_buffer(&self, bytes: usize) -> Result<(), Errno> {
        if self.buffers.is_send_fixed() || sockopt::socket_send_buffer_size(&self.fd)? >= bytes {
            return Ok(());
        }
        // The kernel doubles the value.
        self.buffers.set_send(self.as_fd(), bytes / 2)
    }

    /// Ends the sending direction, for every process that shares the socket.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`.
    pub fn shutdown_send(&self) -> Result<(), Errno> {
        net::shutdown(&self.fd, Shutdown::Write)
    }

    /// Returns whether the peer has ended the stream and no bytes are left to receive.
    ///
    /// # Errors
    ///
    /// `ECONNRESET` …
    pub fn at_end(&self) -> Result<bool, Errno> {
        next_is_empty(&self.fd)
    }

    /// Returns the number of bytes that the peer has not received, including the kernel's overhead
    /// (`SIOCOUTQ`).
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub fn unsent(&self) -> Result<usize, Errno> {
        sys::unsent(self.as_fd()).map(|bytes| usize::try_from(bytes).unwrap_or(0))
    }

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// None for a Unix or TCP socket.
    pub fn local_address(&self) -> Result<SocketAddress, Errno> {
        SocketAddress::of_socket(self.as_fd())
    }

    /// Returns the peer's address.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`.
    pub fn peer_address(&self) -> Result<SocketAddress, Errno> {
        SocketAddress::of_peer(self.as_fd())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
