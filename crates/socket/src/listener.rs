//! Listening sockets.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{ioctl_fionbio, retry_on_intr};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::buffers::Buffers;
use crate::error::{SyscallError, syscall_error};
use crate::passrights::PassRights;
use crate::socket_fd::SocketFd;
use crate::{Binding, Bound, Datagram, Errno, SocketAddress, SocketSetup, Stream};

/// A listening stream or seqpacket socket.
#[derive(Debug)]
pub struct Listener {
    // Dropped before the descriptor: a path that exists leads to an open socket.
    bound: Option<Box<Bound>>,
    fd: SocketFd,
    tcp: bool,
    seqpacket: bool,
    passrights: PassRights,
    /// Options to apply to accepted sockets; None if these inherit them.
    setup: Option<SocketSetup>,
    /// The sizes that the listener's buffers had before options have changed them.
    buffers: Buffers,
}

/// An accepted connection.
#[derive(Debug)]
pub enum Accepted {
    /// A stream socket.
    Stream(Stream),
    /// A seqpacket socket.
    Seqpacket(Datagram),
}

impl Accepted {
    fn set_up(&mut self, setup: &SocketSetup) -> Result<(), Errno> {
        match self {
            Self::Stream(socket) => socket.set_up(setup),
            Self::Seqpacket(socket) => socket.set_up(setup),
        }
    }
}

impl Listener {
    /// Listens on a Unix address.
    ///
    /// # Errors
    ///
    /// Those of [`bind_path`](crate::bind_path) for a path, `EADDRINUSE` for an abstract address.
    pub fn listen_unix(
        binding: &Binding<'_>,
        kind: SocketType,
        backlog: i32,
        setup: &SocketSetup,
    ) -> Result<Self, SyscallError> {
        let mut listener = Self::new(AddressFamily::UNIX, kind, Some(*setup))?;
        // Clients may send before their connection is accepted, which inherits the option.
        listener.passrights.set(listener.as_fd(), !setup.refuse_fds);
        let listen =
            |socket: BorrowedFd<'_>| net::listen(socket, backlog).map_err(syscall_error("listen"));
        listener.bound = binding.bind(listener.fd.as_fd(), listen)?;
        Ok(listener)
    }

    /// Listens on a TCP address. Accepted connections inherit `setup`.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES` …
    pub fn listen_tcp(
        address: SocketAddr,
        backlog: i32,
        setup: &SocketSetup,
    ) -> Result<Self, SyscallError> {
        let name = SocketAddress::Inet(address);
        let listener = Self::new(name.family(), SocketType::STREAM, None)?;
        let applied = setup.apply_to_tcp_listener(listener.as_fd(), &listener.buffers);
        applied.map_err(syscall_error("setsockopt"))?;
        name.bind(listener.as_fd()).map_err(syscall_error("bind"))?;
        net::listen(&listener.fd, backlog).map_err(syscall_error("listen"))?;
        Ok(listener)
    }

    /// Takes ownership of a listening socket that was created elsewhere. `setup` is applied to the
    /// sockets that it accepts, but not to the listener itself, which other processes may share.
    ///
    /// This sets `O_NONBLOCK`, for every process that shares the socket. accept4(2) has no flag
    /// like `MSG_DONTWAIT`, and a call to `poll` first does not help: if another process accepts
    /// the connection in between, accept4 waits for the next one. Go and libuv also set the flag.
    ///
    /// # Errors
    ///
    /// The error of reading its type or of setting the flag, with the descriptor.
    pub fn adopt(fd: OwnedFd, setup: &SocketSetup) -> Result<Self, (Errno, OwnedFd)> {
        let properties = sockopt::socket_domain(&fd).and_then(|domain| {
            let kind = sockopt::socket_type(&fd)?;
            ioctl_fionbio(&fd, true)?;
            Ok((domain != AddressFamily::UNIX, kind))
        });
        match properties {
            Ok((tcp, kind)) => {
                let (seqpacket, setup) = (kind == SocketType::SEQPACKET, Some(*setup));
                let (passrights, buffers) = (PassRights::adopted(), Buffers::default());
                let fd = fd.into();
                Ok(Self { bound: None, fd, tcp, seqpacket, passrights, setup, buffers })
            }
            Err(errno) => Err((errno, fd)),
        }
    }

    /// Returns the descriptor. A bound path remains.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        if let Some(bound) = self.bound {
            bound.keep();
        }
        self.passrights.restore(self.fd.as_fd());
        self.fd.into_owned()
    }

    /// Removes the path that the socket was bound to, if any.
    pub fn unlink(&mut self) {
        self.bound = None;
    }

    /// Returns whether its connections are seqpacket sockets.
    #[must_use]
    pub fn is_seqpacket(&self) -> bool {
        self.seqpacket
    }

    /// Accepts one connection. The call never blocks, because the socket has `O_NONBLOCK`.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if no connection is pending; `ECONNABORTED` and network errors if a connection was
    /// lost before it was accepted, or could not be set up; `EMFILE`, `ENFILE`, `ENOBUFS`,
    /// `ENOMEM`, `EPERM`.
    pub fn accept(&self) -> Result<Accepted, Errno> {
        let fd = self.accept_fd()?;
        let mut accepted = if self.seqpacket {
            let accepted = Datagram::accepted(fd, &self.passrights);
            Accepted::Seqpacket(accepted.map_err(|_| Errno::CONNABORTED)?)
        } else {
            Accepted::Stream(Stream::accepted(fd, self.tcp, &self.buffers, &self.passrights))
        };
        if let Some(setup) = &self.setup {
            accepted.set_up(setup).map_err(|_| Errno::CONNABORTED)?;
        }
        Ok(accepted)
    }

    /// Accepts the descriptor of one connection, in blocking mode, without setting options.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept).
    pub fn accept_fd(&self) -> Result<OwnedFd, Errno> {
        retry_on_intr(|| net::accept_with(&self.fd, SocketFlags::CLOEXEC))
    }

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// None for a Unix or TCP socket.
    pub fn local_address(&self) -> Result<SocketAddress, Errno> {
        SocketAddress::of_socket(self.as_fd())
    }

    fn new(
        family: AddressFamily,
        kind: SocketType,
        setup: Option<SocketSetup>,
    ) -> Result<Self, SyscallError> {
        // accept4(2) has no flag like MSG_DONTWAIT. O_NONBLOCK affects no other process, because
        // none has the socket yet.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = net::socket_with(family, kind, flags, None).map_err(syscall_error("socket"))?;
        let (tcp, seqpacket) = (family != AddressFamily::UNIX, kind == SocketType::SEQPACKET);
        let (fd, passrights, buffers) = (fd.into(), PassRights::default(), Buffers::default());
        Ok(Self { bound: None, fd, tcp, seqpacket, passrights, setup, buffers })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
