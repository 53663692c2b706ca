//! Listening sockets.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::retry_on_intr;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::bind::{BindOutcome, Bound, Unlink, bind_socket};
use crate::error::{SyscallError, in_call};
use crate::stream::set_tcp_options;
use crate::{Address, Datagram, Errno, Name, Stream, TcpOptions};

/// A listening stream or seqpacket socket.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    tcp: bool,
    seqpacket: bool,
    /// Whether `accept` would block: an adopted socket may lack `O_NONBLOCK`.
    blocking: bool,
}

/// An accepted connection.
#[derive(Debug)]
pub enum Accepted {
    /// A stream socket.
    Stream(Stream),
    /// A seqpacket socket.
    Seqpacket(Datagram),
}

/// The outcome of an attempt to listen on a path.
#[derive(Debug)]
pub enum ListenOutcome {
    /// The socket listens on the path.
    Listening(Listener, Bound),
    /// Another process is binding a socket in the directory. The caller should retry later.
    Locked,
}

impl Listener {
    /// Listens on an abstract address, on one that the kernel chooses (unnamed), or on a TCP
    /// address.
    ///
    /// Accepted TCP connections inherit `options`.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES` …
    pub fn listen(
        name: &Name,
        kind: SocketType,
        backlog: i32,
        options: &TcpOptions,
    ) -> Result<Self, SyscallError> {
        let listener = Self::new(name, kind)?;
        if listener.tcp {
            let fd = listener.as_fd();
            sockopt::set_socket_reuseaddr(fd, true)
                .and_then(|()| sockopt::set_socket_reuseport(fd, options.reuse_port))
                .and_then(|()| set_tcp_options(fd, options))
                .map_err(in_call("setsockopt"))?;
        }
        name.bind(listener.as_fd()).map_err(in_call("bind"))?;
        net::listen(&listener.fd, backlog).map_err(in_call("listen"))?;
        Ok(listener)
    }

    /// Listens on a path, which it binds as [`bind_path`](crate::bind_path) does.
    ///
    /// # Errors
    ///
    /// Those of [`bind_path`](crate::bind_path).
    pub fn listen_path(
        path: &Address,
        kind: SocketType,
        mode: u32,
        unlink: Unlink,
        backlog: i32,
    ) -> Result<ListenOutcome, SyscallError> {
        let listener = Self::new(&Name::Unix(path.clone()), kind)?;
        let listen =
            |socket: BorrowedFd<'_>| net::listen(socket, backlog).map_err(in_call("listen"));
        match bind_socket(listener.as_fd(), path, mode, unlink, listen)? {
            BindOutcome::Bound(bound) => Ok(ListenOutcome::Listening(listener, bound)),
            BindOutcome::Locked => Ok(ListenOutcome::Locked),
        }
    }

    /// Takes ownership of a listening socket that was created elsewhere.
    ///
    /// # Errors
    ///
    /// The error of reading its type or flags, with the descriptor.
    pub fn adopt(fd: OwnedFd) -> Result<Self, (Errno, OwnedFd)> {
        let properties = sockopt::socket_domain(&fd).and_then(|domain| {
            let blocking = !fcntl_getfl(&fd)?.contains(OFlags::NONBLOCK);
            Ok((domain != AddressFamily::UNIX, sockopt::socket_type(&fd)?, blocking))
        });
        match properties {
            Ok((tcp, kind, blocking)) => {
                Ok(Self { fd, tcp, seqpacket: kind == SocketType::SEQPACKET, blocking })
            }
            Err(errno) => Err((errno, fd)),
        }
    }

    /// Returns the descriptor.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Returns whether its connections are seqpacket sockets.
    #[must_use]
    pub fn is_seqpacket(&self) -> bool {
        self.seqpacket
    }

    /// Accepts one connection.
    ///
    /// An adopted socket may be in blocking mode, which is not changed, because other processes may
    /// share the socket. In that case the call polls first. It blocks if another process accepts
    /// the connection between the poll and the accept.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if no connection is pending, `EMFILE`, `ENFILE`, `ECONNABORTED` …
    pub fn accept(&self) -> Result<Accepted, Errno> {
        if self.blocking {
            let mut polled = [PollFd::new(&self.fd, PollFlags::IN)];
            if retry_on_intr(|| poll(&mut polled, Some(&Timespec::default())))? == 0 {
                return Err(Errno::AGAIN);
            }
        }
        let fd = net::accept_with(&self.fd, SocketFlags::CLOEXEC)?;
        if self.seqpacket {
            return Datagram::adopt(fd).map(Accepted::Seqpacket).map_err(|(errno, _)| errno);
        }
        Ok(Accepted::Stream(Stream::new(fd, self.tcp)))
    }

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// None for a Unix or TCP socket.
    pub fn local_name(&self) -> Result<Name, Errno> {
        Name::of_socket(self.as_fd())
    }

    fn new(name: &Name, kind: SocketType) -> Result<Self, SyscallError> {
        // accept4(2) has no flag like MSG_DONTWAIT. O_NONBLOCK affects no other process, because
        // none has the socket.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = net::socket_with(name.family(), kind, flags, None).map_err(in_call("socket"))?;
        let seqpacket = kind == SocketType::SEQPACKET;
        Ok(Self { fd, tcp: name.is_tcp(), seqpacket, blocking: false })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
