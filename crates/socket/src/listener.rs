//! The listening socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::bind::{BindError, BindOutcome, Bound, Unlink, bind_socket, in_call};
use crate::stream::{family_of, set_tcp_options};
use crate::{Address, Errno, Name, Stream, TcpOptions};

/// A listening stream socket.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    tcp: bool,
}

/// How an attempt to listen at a path ended.
#[derive(Debug)]
pub enum ListenOutcome {
    /// It listens, and has the path.
    Listening(Listener, Bound),
    /// Somebody else is binding in this directory right now; try again later.
    Locked,
}

impl Listener {
    /// Listens at an abstract name, at one of the kernel's choice (unnamed), or at a TCP address.
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
    ) -> Result<Self, BindError> {
        let listener = Self::new(name, kind)?;
        if listener.tcp {
            let fd = listener.as_fd();
            let set = sockopt::set_socket_reuseaddr(fd, true)
                .and_then(|()| sockopt::set_socket_reuseport(fd, options.reuse_port))
                .and_then(|()| set_tcp_options(fd, options));
            set.map_err(in_call("setsockopt"))?;
        }
        name.bind(listener.as_fd()).map_err(in_call("bind"))?;
        net::listen(&listener.fd, backlog).map_err(in_call("listen"))?;
        Ok(listener)
    }

    /// Listens at a path; see [`bind_path`](crate::bind_path).
    ///
    /// # Errors
    ///
    /// As [`bind_path`](crate::bind_path).
    pub fn listen_path(
        path: &Address,
        kind: SocketType,
        mode: u32,
        unlink: Unlink,
        backlog: i32,
    ) -> Result<ListenOutcome, BindError> {
        let listener = Self::new(&Name::Unix(path.clone()), kind)?;
        let begin =
            |socket: BorrowedFd<'_>| net::listen(socket, backlog).map_err(in_call("listen"));
        match bind_socket(listener.as_fd(), path, mode, unlink, begin)? {
            BindOutcome::Bound(bound) => Ok(ListenOutcome::Listening(listener, bound)),
            BindOutcome::Locked => Ok(ListenOutcome::Locked),
        }
    }

    /// Takes over a listening socket made elsewhere.
    ///
    /// # Errors
    ///
    /// When it can't be asked for its family; it is given back.
    pub fn adopt(fd: OwnedFd) -> Result<Self, (Errno, OwnedFd)> {
        match sockopt::socket_domain(&fd) {
            Ok(domain) => Ok(Self { fd, tcp: domain != AddressFamily::UNIX }),
            Err(errno) => Err((errno, fd)),
        }
    }

    /// Gives the descriptor away.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Accepts one connection.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when nobody waits, `EMFILE`, `ENFILE`, `ECONNABORTED` …
    pub fn accept(&self) -> Result<Stream, Errno> {
        net::accept_with(&self.fd, SocketFlags::CLOEXEC).map(|fd| Stream::accepted(fd, self.tcp))
    }

    /// The name of this socket.
    ///
    /// # Errors
    ///
    /// None that a socket of these families gives.
    pub fn local_name(&self) -> Result<Name, Errno> {
        Name::of_socket(self.as_fd())
    }

    fn new(name: &Name, kind: SocketType) -> Result<Self, BindError> {
        // Nobody else has it: accept4(2) has no flag like MSG_DONTWAIT.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = net::socket_with(family_of(name), kind, flags, None).map_err(in_call("socket"))?;
        Ok(Self { fd, tcp: matches!(name, Name::Inet(_)) })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
