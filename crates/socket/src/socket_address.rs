//! The address of a socket of either family.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use rustix::net::{self, AddressFamily, SocketAddrAny};

use crate::{Address, Errno, sys};

/// The address of a Unix or TCP socket, as getsockname(2) returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketAddress {
    /// The address of a Unix socket.
    Unix(Address),
    /// The address of a TCP socket.
    Inet(SocketAddr),
}

impl SocketAddress {
    /// Converts an address that the kernel wrote.
    pub(crate) fn from_kernel(sockaddr: &SocketAddrAny) -> Result<Self, Errno> {
        let mut address = Address::UNNAMED;
        if address.assign(sys::sockaddr_bytes(sockaddr)) {
            return Ok(Self::Unix(address));
        }
        // Only a Unix address can be longer than rustix's conversion supports.
        SocketAddr::try_from(sockaddr.clone()).map(Self::Inet)
    }

    /// Returns the address that a socket is bound to.
    ///
    /// # Errors
    ///
    /// `EBADF`, `ENOTSOCK`; `EAFNOSUPPORT` for a socket of another family.
    pub fn of_socket(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        Self::from_kernel(&net::getsockname(fd)?)
    }

    /// Returns the address of a socket's peer.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`, and those of [`of_socket`](Self::of_socket).
    pub fn of_peer(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        match net::getpeername(fd)? {
            Some(peer) => Self::from_kernel(&peer),
            None => Ok(Self::Unix(Address::UNNAMED)),
        }
    }

    /// Returns the family of sockets that have such an address.
    pub(crate) fn family(&self) -> AddressFamily {
        match self {
            Self::Unix(_) => AddressFamily::UNIX,
            Self::Inet(SocketAddr::V4(_)) => AddressFamily::INET,
            Self::Inet(SocketAddr::V6(_)) => AddressFamily::INET6,
        }
    }

    /// Returns whether this is the address of a TCP socket.
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, Self::Inet(_))
    }

    pub(crate) fn bind(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        match self {
            Self::Unix(address) => net::bind(fd, address),
            Self::Inet(address) => net::bind(fd, address),
        }
    }

    pub(crate) fn connect(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        match self {
            Self::Unix(address) => net::connect(fd, address),
            Self::Inet(address) => net::connect(fd, address),
        }
    }
}
