//! The stream socket, over `AF_UNIX` or TCP: bytes without borders, and an end.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::retry_on_intr;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown,
    SocketFlags, SocketType, sockopt,
};

use crate::datagram::{MAX_FDS, Received, SEND_SPACE, no_byte_is_next, receive};
use crate::pass::{PassPidfd, pidfds_off};
use crate::{Address, Control, Errno, Name, sys};

/// A stream socket that is connected, or about to be.
///
/// Its `O_NONBLOCK` is neither needed nor touched.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    tcp: bool,
    passpidfd: PassPidfd,
    /// What the send buffer's size was, where we have raised it.
    send_buffer: OnceLock<usize>,
}

/// A stream that was told to connect.
#[derive(Debug)]
pub struct Connect {
    /// The stream.
    pub stream: Stream,
    /// Whether it will be writable when it is connected, or when that failed.
    pub connecting: bool,
}

/// What is set on a TCP socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpOptions {
    /// Whether small writes are sent at once.
    pub no_delay: bool,
    /// The time of idle before the first probe, zero for the kernel's; None for no probes.
    pub keep_alive: Option<Duration>,
    /// Whether other sockets may listen on the same port.
    pub reuse_port: bool,
}

impl Stream {
    /// Makes two unnamed, close-on-exec Unix sockets, each connected to the other.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`.
    pub fn pair() -> Result<(Self, Self), Errno> {
        net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map(|(a, b)| (Self::new(a, false), Self::new(b, false)))
    }

    /// Takes over a socket made elsewhere; see [`describe`](crate::describe) for what it must be.
    ///
    /// # Errors
    ///
    /// When it can't be asked for its family; it is given back.
    pub fn adopt(fd: OwnedFd) -> Result<Self, (Errno, OwnedFd)> {
        match sockopt::socket_domain(&fd) {
            Ok(AddressFamily::UNIX) => {
                let passpidfd = pidfds_off(fd.as_fd());
                Ok(Self { passpidfd, ..Self::new(fd, false) })
            }
            Ok(_) => Ok(Self::new(fd, true)),
            Err(errno) => Err((errno, fd)),
        }
    }

    /// A socket of ours, or one that was accepted from a listener of this family.
    pub(crate) fn new(fd: OwnedFd, tcp: bool) -> Self {
        Self { fd, tcp, passpidfd: PassPidfd::default(), send_buffer: OnceLock::new() }
    }

    /// Gives the descriptor away, with everything that was set as it was found, but for what TCP can be
    /// told, and a TCP socket's send buffer: the kernel doesn't see to its size any more.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        if let Some(&bytes) = self.send_buffer.get().filter(|_| !self.tcp) {
            // Nothing that fails here could be mended.
            let _ = sockopt::set_socket_send_buffer_size(&self.fd, bytes / 2);
        }
        self.passpidfd.restore(self.fd.as_fd());
        self.fd
    }

    /// Whether it is a TCP socket.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.tcp
    }

    /// Starts to connect to `peer`, from `local` where that is given.
    ///
    /// A Unix socket is connected when this returns. A TCP socket may be `connecting`: when it is
    /// writable ask [`take_error`](Self::take_error), and call [`connected`](Self::connected).
    ///
    /// # Errors
    ///
    /// `EAGAIN` when the backlog of a Unix socket is full, `ECONNREFUSED`, `ENOENT`, `EPROTOTYPE`,
    /// `ENETUNREACH` …; with the name of the system call.
    pub fn connect(
        peer: &Name,
        local: Option<&Name>,
        options: &TcpOptions,
    ) -> Result<Connect, (Errno, &'static str)> {
        // connect(2) has no flag like MSG_DONTWAIT. Until it is done nobody else has the socket.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = net::socket_with(family_of(peer), SocketType::STREAM, flags, None)
            .map_err(|errno| (errno, "socket"))?;
        let stream = Self::new(fd, matches!(peer, Name::Inet(_)));
        stream.set_options(options).map_err(|errno| (errno, "setsockopt"))?;
        if let Some(local) = local {
            local.bind(stream.as_fd()).map_err(|errno| (errno, "bind"))?;
        }
        // What a signal interrupts goes on by itself, as if it were non-blocking, which it is.
        match peer.connect(stream.as_fd()) {
            Ok(()) => {
                stream.connected().map_err(|errno| (errno, "fcntl"))?;
                Ok(Connect { stream, connecting: false })
            }
            Err(Errno::INPROGRESS | Errno::INTR) if stream.tcp => {
                Ok(Connect { stream, connecting: true })
            }
            Err(errno) => Err((errno, "connect")),
        }
    }

    /// Takes back the non-blocking mode that connecting needed.
    ///
    /// # Errors
    ///
    /// None that a socket gives.
    pub fn connected(&self) -> Result<(), Errno> {
        fcntl_setfl(&self.fd, fcntl_getfl(&self.fd)? - OFlags::NONBLOCK)
    }

    /// The error that the socket has had, which is none from then on (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// That error.
    pub fn take_error(&self) -> Result<(), Errno> {
        sockopt::socket_error(&self.fd)?
    }

    /// Sets what a TCP socket can be told; on others nothing.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a time that TCP doesn't take.
    pub fn set_options(&self, options: &TcpOptions) -> Result<(), Errno> {
        if self.tcp { set_tcp_options(self.as_fd(), options) } else { Ok(()) }
    }

    /// Receives what is there: bytes fill the buffers of `into` in order, descriptors (close-on-exec)
    /// are appended to `fds`. No byte is the peer's end.
    ///
    /// Descriptors end what one call receives, and belong to what its last byte belongs to.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when nothing is there, `ECONNRESET`, `ETIMEDOUT` … `fds` is as it was then.
    pub fn recv(
        &self,
        into: &mut [IoSliceMut<'_>],
        control: &mut Control,
        fds: &mut Vec<OwnedFd>,
    ) -> Result<Received, Errno> {
        if self.tcp
            && let [into] = into
        {
            // Cheaper, and no descriptor can come.
            let (len, _) = retry_on_intr(|| net::recv(&self.fd, &mut **into, RecvFlags::DONTWAIT))?;
            let (truncated, fds_truncated, credentials) = (false, false, None);
            return Ok(Received { len, truncated, fds_truncated, end: len == 0, credentials });
        }
        receive(&self.fd, into, control, fds).map(|(received, _)| received)
    }

    /// Sends bytes with descriptors beside the first of them; how many the kernel has taken.
    ///
    /// The descriptors are borrowed: neither their flags nor their offsets are touched.
    ///
    /// # Errors
    ///
    /// `EAGAIN`, `EPIPE`, `ECONNRESET`, `EINVAL` (more than [`MAX_FDS`] descriptors), `ETOOMANYREFS` …
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

    /// Asks for a send buffer of so many bytes as the kernel counts them, if that is more than it has.
    ///
    /// The kernel gives at most twice `net.core.wmem_max`.
    ///
    /// # Errors
    ///
    /// None that a socket gives.
    pub fn raise_send_buffer(&self, bytes: usize) -> Result<(), Errno> {
        let found = sockopt::socket_send_buffer_size(&self.fd)?;
        if found < bytes {
            self.send_buffer.get_or_init(|| found);
            // The kernel doubles what it is given.
            sockopt::set_socket_send_buffer_size(&self.fd, bytes / 2)?;
        }
        Ok(())
    }

    /// Ends our side, for every process that has this socket.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`.
    pub fn shutdown_send(&self) -> Result<(), Errno> {
        net::shutdown(&self.fd, Shutdown::Write)
    }

    /// Whether the peer has ended, with nothing left to read before that.
    ///
    /// # Errors
    ///
    /// `ECONNRESET` …
    pub fn at_end(&self) -> Result<bool, Errno> {
        no_byte_is_next(&self.fd)
    }

    /// Bytes that the peer hasn't received, with the kernel's overhead (`SIOCOUTQ`).
    ///
    /// # Errors
    ///
    /// None that a socket gives.
    pub fn unsent(&self) -> Result<usize, Errno> {
        sys::unsent(self.as_fd()).map(|bytes| usize::try_from(bytes).unwrap_or(0))
    }

    /// The name of this socket.
    ///
    /// # Errors
    ///
    /// None that a socket of these families gives.
    pub fn local_name(&self) -> Result<Name, Errno> {
        Name::of_socket(self.as_fd())
    }

    /// The name of the peer.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`.
    pub fn peer_name(&self) -> Result<Name, Errno> {
        Name::of_peer(self.as_fd())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The family of a name.
pub(crate) fn family_of(name: &Name) -> AddressFamily {
    match name {
        Name::Unix(Address { .. }) => AddressFamily::UNIX,
        Name::Inet(address) if address.is_ipv4() => AddressFamily::INET,
        Name::Inet(_) => AddressFamily::INET6,
    }
}

/// Sets what a TCP socket can be told.
pub(crate) fn set_tcp_options(fd: BorrowedFd<'_>, options: &TcpOptions) -> Result<(), Errno> {
    sockopt::set_tcp_nodelay(fd, options.no_delay)?;
    if let Some(idle) = options.keep_alive {
        sockopt::set_socket_keepalive(fd, true)?;
        if !idle.is_zero() {
            sockopt::set_tcp_keepidle(fd, idle)?;
        }
    }
    Ok(())
}
