//! Sockets that preserve message boundaries: datagram and seqpacket sockets. Each call transfers
//! one message completely or fails.

mod io;

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::ioctl_fionbio;
use rustix::net::{self, AddressFamily, SocketAddrAny, SocketFlags, SocketType, sockopt};

use crate::buffers::Buffers;
use crate::error::{SyscallError, syscall_error};
use crate::passpidfd::PassPidfd;
use crate::passrights::PassRights;
use crate::socket_fd::SocketFd;
use crate::{Address, Binding, Bound, Errno, SocketSetup, sys};

/// An `AF_UNIX` datagram or seqpacket socket.
///
/// `O_NONBLOCK` is neither required nor changed.
///
/// On a seqpacket socket, a receive returns 0 bytes for an empty record and also at the end of the
/// connection. With `SO_PASSCRED`, the sender's credentials accompany each record, but not the end.
/// So this type sets `SO_PASSCRED` on a seqpacket socket before its first receive, but no earlier:
/// another program that inherits the socket may not expect credentials.
/// [`into_fd`](Self::into_fd) restores all socket options that were changed.
#[derive(Debug)]
pub struct Datagram {
    // Dropped before the descriptor: a path that exists leads to an open socket.
    bound: Option<Box<Bound>>,
    fd: SocketFd,
    seqpacket: bool,
    /// Whether this process has created the socket, so that its options have their default values.
    created: bool,
    /// Whether the socket is known to be connected.
    connected: bool,
    /// Whether [`recv`](Self::recv) reports senders' credentials.
    credentials: bool,
    /// Previous value of `SO_PASSCRED`, if this type has set it.
    passcred: Cell<Option<bool>>,
    passrights: PassRights,
    passpidfd: PassPidfd,
    buffers: Buffers,
}

impl Datagram {
    /// Creates an unbound, unconnected, close-on-exec datagram socket.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`.
    pub fn new() -> Result<Self, Errno> {
        net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
            .map(Self::new_datagram)
    }

    /// Creates two close-on-exec datagram sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn pair() -> Result<(Self, Self), Errno> {
        net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).map(
            |(a, b)| {
                (Self::new_datagram(a).known_connected(), Self::new_datagram(b).known_connected())
            },
        )
    }

    /// Creates two close-on-exec seqpacket sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn seqpacket_pair() -> Result<(Self, Self), Errno> {
        let flags = SocketFlags::CLOEXEC;
        let (a, b) = net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let connected = |fd| Self::new_seqpacket(fd).known_connected();
        Ok((connected(a), connected(b)))
    }

    /// Creates a seqpacket socket, binds it to `local` if given, and connects it to `peer`.
    ///
    /// # Errors
    ///
    /// Those of [`bind_path`](crate::bind_path); `EAGAIN` of `connect` if the peer's backlog is
    /// full; `ECONNREFUSED`, `ENOENT`, `EPROTOTYPE` …
    pub fn connect_seqpacket(
        peer: &Address,
        local: Option<&Binding<'_>>,
        setup: &SocketSetup,
    ) -> Result<Self, SyscallError> {
        // connect(2) has no flag like MSG_DONTWAIT. O_NONBLOCK affects no other process, because
        // none has the socket yet.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(syscall_error("socket"))?;
        let bound = match local {
            Some(local) => local.bind(fd.as_fd(), |_| Ok(()))?,
            None => None,
        };
        net::connect(&fd, peer).map_err(syscall_error("connect"))?;
        ioctl_fionbio(&fd, false).map_err(syscall_error("ioctl"))?;
        // If SO_PASSCRED were set before connecting, the kernel would bind the socket to an
        // abstract address.
        let mut socket = Self { bound, ..Self::new_seqpacket(fd).known_connected() };
        socket.set_up(setup).map_err(syscall_error("setsockopt"))?;
        Ok(socket)
    }

    /// Takes ownership of a Unix datagram or seqpacket socket that was created elsewhere. The
    /// caller must check its type, with [`describe`](crate::describe).
    ///
    /// # Errors
    ///
    /// The error of a socket option, with the descriptor.
    pub fn adopt(fd: OwnedFd) -> Result<Self, (Errno, OwnedFd)> {
        match sockopt::socket_type(&fd) {
            Ok(kind) => {
                let seqpacket = kind == SocketType::SEQPACKET;
                let passpidfd = PassPidfd::disable(fd.as_fd());
                let (created, passrights) = (false, PassRights::adopted());
                Ok(Self { seqpacket, created, passrights, passpidfd, ..Self::new_datagram(fd) })
            }
            Err(errno) => Err((errno, fd)),
        }
    }

    /// Takes ownership of an accepted socket, which has inherited `passrights` of its listener.
    ///
    /// # Errors
    ///
    /// Those of [`adopt`](Self::adopt).
    pub(crate) fn accepted(fd: OwnedFd, passrights: &PassRights) -> Result<Self, (Errno, OwnedFd)> {
        Ok(Self { passrights: passrights.clone(), ..Self::adopt(fd)? })
    }

    /// Restores the socket options and returns the descriptor. A bound path remains.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        if self.passcred.get() == Some(false) {
            // There is no way to recover from a failure here.
            let _ = sockopt::set_socket_passcred(&self.fd, false);
        }
        self.buffers.restore(self.fd.as_fd());
        self.passrights.restore(self.fd.as_fd());
        self.passpidfd.restore(self.fd.as_fd());
        if let Some(bound) = self.bound {
            bound.keep();
        }
        self.fd.into_owned()
    }

    /// Removes the path that the socket was bound to, if any.
    pub fn unlink(&mut self) {
        self.bound = None;
    }

    /// Returns whether this is a seqpacket socket.
    #[must_use]
    pub fn is_seqpacket(&self) -> bool {
        self.seqpacket
    }

    /// Applies those options of `setup` that this type of socket has.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub fn set_up(&mut self, setup: &SocketSetup) -> Result<(), Errno> {
        self.buffers.fix(self.fd.as_fd(), setup.send_buffer, None)?;
        if setup.credentials { self.enable_credentials() } else { Ok(()) }
    }

    /// Makes [`recv`](Self::recv) report the credentials of each message's sender (`SO_PASSCRED`).
    ///
    /// Messages that were sent before the call have the pid 0. From now on, the kernel binds the
    /// socket to an abstract address when it connects or sends unbound.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub fn enable_credentials(&mut self) -> Result<(), Errno> {
        self.set_passcred()?;
        self.credentials = true;
        Ok(())
    }

    fn new_datagram(fd: OwnedFd) -> Self {
        Self {
            bound: None,
            fd: fd.into(),
            seqpacket: false,
            created: true,
            connected: false,
            credentials: false,
            passcred: Cell::new(None),
            passrights: PassRights::default(),
            passpidfd: PassPidfd::default(),
            buffers: Buffers::default(),
        }
    }

    fn new_seqpacket(fd: OwnedFd) -> Self {
        Self { seqpacket: true, ..Self::new_datagram(fd) }
    }

    fn known_connected(self) -> Self {
        Self { connected: true, ..self }
    }

    /// Sets the options that the first receive needs. A receive does so itself, but only once
    /// there is something to receive.
    ///
    /// `refuse_fds`: whether senders of descriptors get `EPERM` from now on (Linux 6.16).
    pub fn prepare_to_receive(&self, refuse_fds: bool) {
        if self.seqpacket {
            // This cannot fail for a Unix socket.
            let _ = self.set_passcred();
        }
        self.passrights.set(self.fd.as_fd(), !refuse_fds);
    }

    fn set_passcred(&self) -> Result<(), Errno> {
        if self.passcred.get().is_none() {
            let previous = !self.created && sockopt::socket_passcred(&self.fd)?;
            sockopt::set_socket_passcred(&self.fd, true)?;
            self.passcred.set(Some(previous));
        }
        Ok(())
    }

    /// Binds the socket. If the address is a path, the socket removes the file when it is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`bind_path`](crate::bind_path) for a path; `EADDRINUSE`, `EINVAL` (already bound).
    pub fn bind_to(&mut self, binding: &Binding<'_>) -> Result<(), SyscallError> {
        self.bound = binding.bind(self.fd.as_fd(), |_| Ok(()))?;
        Ok(())
    }

    /// Binds the socket; [`Address::UNNAMED`] makes the kernel choose an abstract address.
    ///
    /// For a path use [`bind_to`](Self::bind_to), which handles the mode and existing files.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE`, `EINVAL` (already bound), and the errors of creating a file.
    pub fn bind(&self, address: &Address) -> Result<(), Errno> {
        net::bind(&self.fd, address)
    }

    /// Connects the socket: it then sends to `peer` and receives only from `peer`.
    ///
    /// # Errors
    ///
    /// `ECONNREFUSED` (no socket is bound to `peer`), `EPROTOTYPE` (`peer` is not a datagram
    /// socket), `EPERM` (`peer` is connected to another socket), `ENOENT`, `EACCES`, `EINVAL`
    /// (`peer` is unnamed).
    pub fn connect(&self, peer: &Address) -> Result<(), Errno> {
        net::connect(&self.fd, peer)
    }

    /// Returns whether the socket is connected.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` if an adopted socket is not a Unix socket.
    pub fn is_connected(&self) -> Result<bool, Errno> {
        Ok(self.connected || self.peer_address()?.is_some())
    }

    /// Returns the address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` if an adopted socket is not a Unix socket.
    pub fn local_address(&self) -> Result<Address, Errno> {
        to_address(&net::getsockname(&self.fd)?)
    }

    /// Returns the peer's address, or None if the socket is not connected.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` if an adopted socket is not a Unix socket.
    pub fn peer_address(&self) -> Result<Option<Address>, Errno> {
        match net::getpeername(&self.fd) {
            Ok(Some(peer)) => to_address(&peer).map(Some),
            Ok(None) => Ok(Some(Address::UNNAMED)),
            Err(Errno::NOTCONN) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Datagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn to_address(sockaddr: &SocketAddrAny) -> Result<Address, Errno> {
    let mut address = Address::UNNAMED;
    if address.assign(sys::sockaddr_bytes(sockaddr)) {
        Ok(address)
    } else {
        Err(Errno::AFNOSUPPORT)
    }
}
