//! The listening socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::retry_on_intr;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::bind::{BindError, BindOutcome, Bound, Unlink, bind_socket, in_call};
use crate::stream::{family_of, set_tcp_options};
use crate::{Address, Datagram, Errno, Name, Stream, TcpOptions};

/// A listening stream or seqpacket socket.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    tcp: bool,
    seqpacket: bool,
    /// Whether `accept` would wait where nobody does.
    waits: bool,
}

/// A connection.
#[derive(Debug)]
pub enum Accepted {
    /// Of a stream.
    Stream(Stream),
    /// Of a seqpacket socket.
    Seqpacket(Datagram),
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
        let asked = sockopt::socket_domain(&fd).and_then(|domain| {
            let waits = !fcntl_getfl(&fd)?.contains(OFlags::NONBLOCK);
            Ok((domain != AddressFamily::UNIX, sockopt::socket_type(&fd)?, waits))
        });
        match asked {
            Ok((tcp, kind, waits)) => {
                Ok(Self { fd, tcp, seqpacket: kind == SocketType::SEQPACKET, waits })
            }
            Err(errno) => Err((errno, fd)),
        }
    }

    /// Gives the descriptor away.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Whether its connections are seqpacket sockets.
    #[must_use]
    pub fn is_seqpacket(&self) -> bool {
        self.seqpacket
    }

    /// Accepts one connection.
    ///
    /// An adopted socket may be in blocking mode, which belongs to all who have it and stays. It is
    /// asked first whether somebody waits; if another process of those takes that connection in between,
    /// this waits for the next.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when nobody waits, `EMFILE`, `ENFILE`, `ECONNABORTED` …
    pub fn accept(&self) -> Result<Accepted, Errno> {
        if self.waits {
            let mut asked = [PollFd::new(&self.fd, PollFlags::IN)];
            if retry_on_intr(|| poll(&mut asked, Some(&Timespec::default())))? == 0 {
                return Err(Errno::AGAIN);
            }
        }
        let fd = net::accept_with(&self.fd, SocketFlags::CLOEXEC)?;
        if self.seqpacket {
            return Datagram::adopt(fd).map(Accepted::Seqpacket).map_err(|(errno, _)| errno);
        }
        Ok(Accepted::Stream(Stream::new(fd, self.tcp)))
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
        let tcp = matches!(name, Name::Inet(_));
        Ok(Self { fd, tcp, seqpacket: kind == SocketType::SEQPACKET, waits: false })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
