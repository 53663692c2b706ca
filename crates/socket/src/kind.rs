//! The type of a descriptor, determined without reading from it and without waiting for a file
//! server.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{self, AtFlags, FileType, OFlags, StatxFlags};
use rustix::net::{AddressFamily, SocketType, ipproto, sockopt};
use rustix::termios::isatty;

use crate::Errno;

/// The type of a descriptor, as far as it determines how the descriptor can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file, deleted or not.
    File,
    /// A directory.
    Directory,
    /// A memfd: a file in memory without a path.
    Memfd,
    /// A pipe or a FIFO.
    Pipe,
    /// A terminal.
    Tty,
    /// A character device other than a terminal.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A listening TCP or MPTCP socket.
    TcpListener,
    /// Any other TCP or MPTCP socket.
    TcpSocket,
    /// A UDP socket.
    UdpSocket,
    /// A listening Unix stream socket.
    UnixListener,
    /// Any other Unix stream socket.
    UnixStream,
    /// A Unix seqpacket socket that is not listening.
    UnixSeqpacket,
    /// A Unix datagram socket.
    UnixDgram,
    /// Any other socket.
    Socket,
    /// An eventfd.
    Eventfd,
    /// An epoll instance.
    Epoll,
    /// A timerfd.
    Timerfd,
    /// A signalfd.
    Signalfd,
    /// An inotify instance.
    Inotify,
    /// A pidfd, which refers to a process.
    Pidfd,
    /// An `O_PATH` descriptor, which refers to a file of any type without opening it.
    Path,
    /// Any other descriptor.
    Other,
}

impl Kind {
    /// Determines the type of `fd`.
    ///
    /// # Errors
    ///
    /// None in practice: the system calls do not fail for an open descriptor.
    pub fn of(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        if fs::fcntl_getfl(fd)?.contains(OFlags::PATH) {
            return Ok(Self::Path);
        }
        // Not fstat, which waits for the server of a FUSE or network file system.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let stat = fs::statx(fd, c"", flags, StatxFlags::TYPE | StatxFlags::NLINK)?;
        Ok(match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::Directory => Self::Directory,
            FileType::Fifo => Self::Pipe,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::CharacterDevice if isatty(fd) => Self::Tty,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::Socket => Self::of_socket(fd)?,
            FileType::RegularFile if stat.stx_nlink == 0 && fs::fcntl_get_seals(fd).is_ok() => {
                // A deleted file on a tmpfs supports seals too. Its name distinguishes it from a
                // memfd.
                Self::by_link(fd, Self::Memfd)
            }
            FileType::RegularFile => Self::by_link(fd, Self::File),
            _ => Self::by_link(fd, Self::Other),
        })
    }

    /// Returns the name that JavaScript uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Memfd => "memfd",
            Self::Pipe => "pipe",
            Self::Tty => "tty",
            Self::CharDevice => "chardev",
            Self::BlockDevice => "blockdev",
            Self::TcpListener => "tcp-listener",
            Self::TcpSocket => "tcp-socket",
            Self::UdpSocket => "udp-socket",
            Self::UnixListener => "unix-listener",
            Self::UnixStream => "unix-stream",
            Self::UnixSeqpacket => "unix-seqpacket",
            Self::UnixDgram => "unix-dgram",
            Self::Socket => "socket",
            Self::Eventfd => "eventfd",
            Self::Epoll => "epoll",
            Self::Timerfd => "timerfd",
            Self::Signalfd => "signalfd",
            Self::Inotify => "inotify",
            Self::Pidfd => "pidfd",
            Self::Path => "path",
            Self::Other => "other",
        }
    }

    fn of_socket(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let Description { domain, kind, listening } = describe(fd)?;
        // Other protocols than TCP and UDP have the same socket types: SCTP, ICMP.
        let protocol = sockopt::socket_protocol(fd).unwrap_or(None);
        let tcp = matches!(protocol, Some(ipproto::TCP | ipproto::MPTCP));
        Ok(match (domain, kind, listening) {
            (AddressFamily::UNIX, SocketType::STREAM, true) => Self::UnixListener,
            (AddressFamily::UNIX, SocketType::STREAM, false) => Self::UnixStream,
            (AddressFamily::UNIX, SocketType::SEQPACKET, false) => Self::UnixSeqpacket,
            (AddressFamily::UNIX, SocketType::DGRAM, _) => Self::UnixDgram,
            (AddressFamily::INET | AddressFamily::INET6, SocketType::STREAM, true) if tcp => {
                Self::TcpListener
            }
            (AddressFamily::INET | AddressFamily::INET6, SocketType::STREAM, false) if tcp => {
                Self::TcpSocket
            }
            (AddressFamily::INET | AddressFamily::INET6, SocketType::DGRAM, _)
                if protocol == Some(ipproto::UDP) =>
            {
                Self::UdpSocket
            }
            _ => Self::Socket,
        })
    }

    /// Determines the type by the link in /proc/self/fd, or returns `fallback` without /proc.
    ///
    /// The link of a file in a file system starts with a slash.
    fn by_link(fd: BorrowedFd<'_>, fallback: Self) -> Self {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let Ok(link) = fs::readlink(path, Vec::new()) else { return fallback };
        match link.to_bytes() {
            b"anon_inode:[eventfd]" => Self::Eventfd,
            b"anon_inode:[eventpoll]" => Self::Epoll,
            b"anon_inode:[timerfd]" => Self::Timerfd,
            b"anon_inode:[signalfd]" => Self::Signalfd,
            b"anon_inode:inotify" => Self::Inotify,
            b"anon_inode:[pidfd]" => Self::Pidfd,
            link if link.starts_with(b"pidfd:") => Self::Pidfd,
            link if fallback == Self::Memfd && link.starts_with(b"/memfd:") => Self::Memfd,
            link if fallback != Self::Other && link.starts_with(b"/") => Self::File,
            // Some kernel objects, such as namespaces, are regular files outside any file system.
            _ => Self::Other,
        }
    }
}

/// The properties of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Address family (`SO_DOMAIN`).
    pub domain: AddressFamily,
    /// Type (`SO_TYPE`).
    pub kind: SocketType,
    /// Whether the socket is listening (`SO_ACCEPTCONN`).
    pub listening: bool,
}

/// Returns the properties of a socket.
///
/// # Errors
///
/// `ENOTSOCK` if `fd` is not a socket.
pub fn describe(fd: BorrowedFd<'_>) -> Result<Description, Errno> {
    Ok(Description {
        domain: sockopt::socket_domain(fd)?,
        kind: sockopt::socket_type(fd)?,
        listening: sockopt::socket_acceptconn(fd)?,
    })
}
