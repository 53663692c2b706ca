//! The name of a socket of either family.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use rustix::net::{self, SocketAddrAny};

use crate::{Address, Errno, sys};

/// The name of a Unix socket, or the address of a TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A Unix socket's.
    Unix(Address),
    /// A TCP socket's.
    Inet(SocketAddr),
}

impl Name {
    /// What the kernel wrote.
    pub(crate) fn from_kernel(sockaddr: &SocketAddrAny) -> Result<Self, Errno> {
        let mut address = Address::UNNAMED;
        if address.assign(sys::sockaddr_bytes(sockaddr)) {
            return Ok(Self::Unix(address));
        }
        // Only Unix addresses can be longer than rustix expects.
        SocketAddr::try_from(sockaddr.clone()).map(Self::Inet)
    }

    pub(crate) fn of_socket(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        Self::from_kernel(&net::getsockname(fd)?)
    }

    pub(crate) fn of_peer(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        match net::getpeername(fd)? {
            Some(peer) => Self::from_kernel(&peer),
            None => Ok(Self::Unix(Address::UNNAMED)),
        }
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
