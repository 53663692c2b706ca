//! What a descriptor is: found out without reading from it, and without waking a file server.

use std::fs::{read, read_to_string};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{self, AtFlags, FileType, OFlags, StatxFlags};
use rustix::net::{AddressFamily, SocketType, ipproto, sockopt};
use rustix::termios::isatty;

use crate::Errno;

/// What a descriptor is, as far as it decides how to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file, deleted or not.
    File,
    /// A directory.
    Directory,
    /// A memfd: a file in memory that was never in a file system.
    Memfd,
    /// A pipe or a FIFO.
    Pipe,
    /// A terminal.
    Tty,
    /// A character device that is no terminal.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A listening TCP socket (MPTCP too).
    TcpListener,
    /// Any other TCP socket.
    TcpSocket,
    /// A UDP socket.
    UdpSocket,
    /// A listening Unix stream socket.
    UnixListener,
    /// Any other Unix stream socket.
    UnixStream,
    /// A Unix seqpacket socket that does not listen.
    UnixSeqpacket,
    /// A Unix datagram socket.
    UnixDgram,
    /// A socket that is none of the above.
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
    /// A process.
    Pidfd,
    /// A place in a file system that was not opened (`O_PATH`), whatever is there: symlinks too.
    Path,
    /// None of the above.
    Other,
}

impl Kind {
    /// Finds out what `fd` is.
    ///
    /// # Errors
    ///
    /// What `statx` says, which for an open descriptor is nothing.
    pub fn of(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        if fs::fcntl_getfl(fd)?.contains(OFlags::PATH) {
            return Ok(Self::Path);
        }
        // Not fstat: that asks the server of a FUSE or network file, which may never answer.
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
                // tmpfs has seals too, so a deleted file of its is told apart by its name.
                Self::by_link(fd, Self::Memfd)
            }
            FileType::RegularFile => Self::by_link(fd, Self::File),
            _ => Self::by_link(fd, Self::Other),
        })
    }

    /// The name that JavaScript sees.
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
        // Streams and datagrams of the internet are more than TCP and UDP: SCTP, ping.
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

    /// The kind that the name in /proc tells, which for a file in a file system begins with a slash.
    ///
    /// Without /proc it is `unnamed`.
    fn by_link(fd: BorrowedFd<'_>, unnamed: Self) -> Self {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let Ok(link) = fs::readlink(path, Vec::new()) else { return unnamed };
        match link.to_bytes() {
            b"anon_inode:[eventfd]" => Self::Eventfd,
            b"anon_inode:[eventpoll]" => Self::Epoll,
            b"anon_inode:[timerfd]" => Self::Timerfd,
            b"anon_inode:[signalfd]" => Self::Signalfd,
            b"anon_inode:inotify" => Self::Inotify,
            b"anon_inode:[pidfd]" => Self::Pidfd,
            link if link.starts_with(b"pidfd:") => Self::Pidfd,
            link if unnamed == Self::Memfd && link.starts_with(b"/memfd:") => Self::Memfd,
            link if unnamed != Self::Other && link.starts_with(b"/") => Self::File,
            // Namespaces and their like are regular files outside of every file system.
            _ => Self::Other,
        }
    }
}

/// What a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Its address family (`SO_DOMAIN`).
    pub domain: AddressFamily,
    /// Its type (`SO_TYPE`).
    pub kind: SocketType,
    /// Whether it accepts connections (`SO_ACCEPTCONN`).
    pub listening: bool,
}

/// Finds out what kind of socket `fd` is.
///
/// # Errors
///
/// `ENOTSOCK` when it is none.
pub fn describe(fd: BorrowedFd<'_>) -> Result<Description, Errno> {
    Ok(Description {
        domain: sockopt::socket_domain(fd)?,
        kind: sockopt::socket_type(fd)?,
        listening: sockopt::socket_acceptconn(fd)?,
    })
}

/// Whether reading a file may wait for ever: somebody else serves its file system.
///
/// Where its mount is one that we see, nobody is asked. That of another mount name space tells its type
/// only by `fstatfs`, which on FUSE goes to the very server (unless the mount is another user's).
///
/// # Errors
///
/// What `fstatfs` says: `ENOSYS` for a file system that has no answer, `EIO`, `ENOTCONN` (a FUSE
/// server that died).
pub fn on_network_or_fuse(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    if let Some(name) = file_system_of(fd) {
        return Ok(name.starts_with("fuse") || NAMES_SERVED_BY_OTHERS.contains(&name.as_str()));
    }
    // The type's width and sign differ between architectures, the numbers have 32 bits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let magic = fs::fstatfs(fd.as_fd())?.f_type as u32;
    Ok(SERVED_BY_OTHERS.contains(&magic))
}

/// The type of a file's file system, by the list of mounts; see proc_pid_mountinfo(5).
fn file_system_of(fd: BorrowedFd<'_>) -> Option<String> {
    let info = read_to_string(format!("/proc/thread-self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    // A path may be any bytes.
    let mounts = read("/proc/thread-self/mountinfo").ok()?;
    let mounts = String::from_utf8_lossy(&mounts);
    let mount = mounts.lines().find(|line| line.split(' ').next() == Some(id))?;
    mount.split_once(" - ")?.1.split(' ').next().map(str::to_owned)
}

/// The file systems below by their names in that list, beside those that begin with `fuse`.
const NAMES_SERVED_BY_OTHERS: [&str; 24] = [
    "virtiofs",
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "afs",
    "kafs",
    "coda",
    "ncpfs",
    "orangefs",
    "ocfs2",
    "gfs2",
    "lustre",
    "gpfs",
    "panfs",
    "beegfs",
    "vboxsf",
    "vmhgfs",
    "prl_fs",
    "acfs",
    "glusterfs",
];

/// From linux/magic.h, and for those out of the tree from GNU stat's list of remote file systems.
const SERVED_BY_OTHERS: [u32; 21] = [
    0x6573_5546, // fuse, fuseblk, virtiofs
    0x6969,      // nfs
    0xff53_4d42, // cifs
    0xfe53_4d42, // smb2, smb3
    0x517b,      // smbfs
    0x0102_1997, // 9p
    0x00c3_6400, // ceph
    0x5346_414f, // afs
    0x6b41_4653, // kafs
    0x7375_7245, // coda
    0x564c,      // ncpfs
    0x2003_0528, // orangefs
    0x7461_636f, // ocfs2
    0x0116_1970, // gfs2
    0x0bd0_0bd0, // lustre
    0x4750_4653, // gpfs
    0xaad7_aaea, // panfs
    0x1983_0326, // beegfs
    0x786f_4256, // vboxsf
    0xbacb_acbc, // vmhgfs
    0x7c7c_6673, // prl_fs
];
