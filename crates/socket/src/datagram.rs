//! The sockets whose messages have borders: datagrams, and the records of seqpacket. One message a
//! call, whole or not at all.

use std::io::{IoSlice, IoSliceMut};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::retry_on_intr;
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketAddrAny, SocketFlags, SocketType, sockopt,
};

use crate::pass::{PassPidfd, pidfds_off};
use crate::{Address, Control, Credentials, Errno, sys};

/// An `AF_UNIX` datagram or seqpacket socket.
///
/// Its `O_NONBLOCK` is neither needed nor touched.
///
/// A seqpacket socket gives no byte for an empty record and at its peer's end; what tells them apart is
/// that a record comes with its sender's credentials, if those are asked for (`SO_PASSCRED`). So they
/// are. [`into_fd`](Self::into_fd) leaves everything that was set as it was found.
#[derive(Debug)]
pub struct Datagram {
    fd: OwnedFd,
    seqpacket: bool,
    /// Whether each message tells its sender's credentials.
    credentials: bool,
    /// What `SO_PASSCRED` was, where we have set it.
    passcred: Option<bool>,
    passpidfd: PassPidfd,
    /// What the send buffer's size was, where we have set it.
    send_buffer: OnceLock<usize>,
}

impl Datagram {
    /// Makes an unnamed, unconnected, close-on-exec socket.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`.
    pub fn new() -> Result<Self, Errno> {
        net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
            .map(Self::of_datagrams)
    }

    /// Makes two unnamed, close-on-exec sockets, each connected to the other.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn pair() -> Result<(Self, Self), Errno> {
        net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
            .map(|(a, b)| (Self::of_datagrams(a), Self::of_datagrams(b)))
    }

    /// Makes two unnamed, close-on-exec seqpacket sockets, each connected to the other.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn seqpacket_pair() -> Result<(Self, Self), Errno> {
        let flags = SocketFlags::CLOEXEC;
        let (a, b) = net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let given_up = |(errno, _)| errno;
        Ok((Self::of_records(a).map_err(given_up)?, Self::of_records(b).map_err(given_up)?))
    }

    /// Makes a seqpacket socket that is connected to `peer`, from `local` where that is given.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when the backlog is full, `ECONNREFUSED`, `ENOENT`, `EPROTOTYPE` …; with the name of the
    /// system call.
    pub fn connect_seqpacket(
        peer: &Address,
        local: Option<&Address>,
    ) -> Result<Self, (Errno, &'static str)> {
        // connect(2) has no flag like MSG_DONTWAIT. Until it is done nobody else has the socket.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|errno| (errno, "socket"))?;
        if let Some(local) = local {
            net::bind(&fd, local).map_err(|errno| (errno, "bind"))?;
        }
        net::connect(&fd, peer).map_err(|errno| (errno, "connect"))?;
        fcntl_getfl(&fd)
            .and_then(|flags| fcntl_setfl(&fd, flags - OFlags::NONBLOCK))
            .map_err(|errno| (errno, "fcntl"))?;
        // Asked for before, it would have given the socket a name.
        Self::of_records(fd).map_err(|(errno, _)| (errno, "setsockopt"))
    }

    /// Takes over a socket made elsewhere; see [`describe`](crate::describe) for what it must be.
    ///
    /// # Errors
    ///
    /// When it can't be asked for its type; it is given back.
    pub fn adopt(fd: OwnedFd) -> Result<Self, (Errno, OwnedFd)> {
        match sockopt::socket_type(&fd) {
            Ok(kind) => {
                let mut socket = match kind {
                    SocketType::SEQPACKET => Self::of_records(fd)?,
                    _ => Self::of_datagrams(fd),
                };
                socket.passpidfd = pidfds_off(socket.fd.as_fd());
                Ok(socket)
            }
            Err(errno) => Err((errno, fd)),
        }
    }

    /// Gives the descriptor away.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        if self.passcred == Some(false) {
            // Nothing that fails here could be mended.
            let _ = sockopt::set_socket_passcred(&self.fd, false);
        }
        if let Some(&bytes) = self.send_buffer.get() {
            let _ = self.set_send_buffer(bytes);
        }
        self.passpidfd.restore(self.fd.as_fd());
        self.fd
    }

    /// Whether it is a seqpacket socket, whose peer has an end.
    #[must_use]
    pub fn is_seqpacket(&self) -> bool {
        self.seqpacket
    }

    /// Has each message tell who sent it (`SO_PASSCRED`); those that were sent before tell nobody.
    ///
    /// A socket without a name gets an abstract one when it connects or sends, from then on.
    ///
    /// # Errors
    ///
    /// None that a socket gives.
    pub fn ask_credentials(&mut self) -> Result<(), Errno> {
        self.pass_credentials()?;
        self.credentials = true;
        Ok(())
    }

    fn of_datagrams(fd: OwnedFd) -> Self {
        Self {
            fd,
            seqpacket: false,
            credentials: false,
            passcred: None,
            passpidfd: PassPidfd::default(),
            send_buffer: OnceLock::new(),
        }
    }

    fn of_records(fd: OwnedFd) -> Result<Self, (Errno, OwnedFd)> {
        let mut socket = Self { seqpacket: true, ..Self::of_datagrams(fd) };
        match socket.pass_credentials() {
            Ok(()) => Ok(socket),
            Err(errno) => Err((errno, socket.fd)),
        }
    }

    fn pass_credentials(&mut self) -> Result<(), Errno> {
        if self.passcred.is_none() {
            let found = sockopt::socket_passcred(&self.fd)?;
            sockopt::set_socket_passcred(&self.fd, true)?;
            self.passcred = Some(found);
        }
        Ok(())
    }

    /// Gives the socket a name; [`Address::UNNAMED`] lets the kernel choose an abstract one.
    ///
    /// For a path use [`bind_path`](crate::bind_path), which sees to the mode and to what is there.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE`, `EINVAL` (it has a name already), and what creating a file gives.
    pub fn bind(&self, name: &Address) -> Result<(), Errno> {
        net::bind(&self.fd, name)
    }

    /// Makes `peer` the only one to send to and to receive from.
    ///
    /// # Errors
    ///
    /// `ECONNREFUSED` (nobody has the name), `EPROTOTYPE` (no datagram socket), `EPERM` (connected to
    /// somebody else), `ENOENT`, `EACCES`, `EINVAL` (unnamed).
    pub fn connect(&self, peer: &Address) -> Result<(), Errno> {
        net::connect(&self.fd, peer)
    }

    /// The name of this socket.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` when an adopted socket is no Unix socket.
    pub fn local_address(&self) -> Result<Address, Errno> {
        to_address(&net::getsockname(&self.fd)?)
    }

    /// The name of the peer, or None when this socket is not connected.
    ///
    /// # Errors
    ///
    /// `EAFNOSUPPORT` when an adopted socket is no Unix socket.
    pub fn peer_address(&self) -> Result<Option<Address>, Errno> {
        match net::getpeername(&self.fd) {
            Ok(Some(peer)) => to_address(&peer).map(Some),
            Ok(None) => Ok(Some(Address::UNNAMED)),
            Err(Errno::NOTCONN) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Sends one message with its descriptors, to the connected peer when `to` is None.
    ///
    /// The descriptors are borrowed: neither their flags nor their offsets are touched.
    ///
    /// # Errors
    ///
    /// `EAGAIN` (the receiver's queue or our buffer is full), `EINVAL` (more than [`MAX_FDS`]
    /// descriptors), `EMSGSIZE`, `ECONNREFUSED`, `ENOTCONN`, `EPERM`, `ETOOMANYREFS`, `ENOBUFS` …
    pub fn send(
        &self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<(), Errno> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // A datagram is sent whole or not at all, so the number of bytes says nothing.
        if fds.is_empty() {
            // A tenth cheaper than sendmsg, whose header the kernel has to fetch first.
            return retry_on_intr(|| match to {
                None => net::send(&self.fd, bytes, flags),
                Some(to) => net::sendto(&self.fd, bytes, flags, to),
            })
            .map(drop);
        }
        let mut space = [const { MaybeUninit::uninit() }; SEND_SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if fds.len() > MAX_FDS || !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Errno::INVAL);
        }
        let bytes = [IoSlice::new(bytes)];
        retry_on_intr(|| match to {
            None => net::sendmsg(&self.fd, &bytes, &mut control, flags),
            Some(to) => net::sendmsg_addr(&self.fd, to, &bytes, &mut control, flags),
        })
        .map(drop)
    }

    /// Receives one message: its bytes fill the buffers of `into` in order, its descriptors
    /// (close-on-exec) are appended to `fds`, its sender's name overwrites `from`.
    ///
    /// The caller judges a message by the flags of [`Received`] and owns its descriptors either way.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when nothing is there, `ECONNRESET` when the connected peer has turned to somebody
    /// else. `fds` is as it was then.
    pub fn recv(
        &self,
        into: &mut [IoSliceMut<'_>],
        control: &mut Control,
        fds: &mut Vec<OwnedFd>,
        from: &mut Address,
    ) -> Result<Received, Errno> {
        let (mut received, sender) = receive(&self.fd, into, control, fds)?;
        received.end &= self.seqpacket && received.len == 0;
        received.credentials = received.credentials.filter(|_| self.credentials);
        match &sender {
            Some(sender) => from.assign(sys::sockaddr_bytes(sender)),
            None => from.assign(&[]),
        };
        Ok(received)
    }

    /// Ends our side of a seqpacket socket, for every process that has it.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`.
    pub fn shutdown_send(&self) -> Result<(), Errno> {
        net::shutdown(&self.fd, Shutdown::Write)
    }

    /// Whether nothing but an empty message or the end can be read now.
    ///
    /// # Errors
    ///
    /// `ECONNRESET` …
    pub fn is_blank(&self) -> Result<bool, Errno> {
        no_byte_is_next(&self.fd)
    }

    /// The longest message that can be sent (bytes), without the kernel's having it in several pieces.
    ///
    /// # Errors
    ///
    /// None that a socket gives.
    pub fn largest(&self) -> Result<usize, Errno> {
        Ok(self.send_buffer()?.saturating_sub(KEPT))
    }

    /// The send buffer's size in bytes as the kernel counts it: twice what was asked for (212,992).
    ///
    /// # Errors
    ///
    /// None that a socket gives.
    pub fn send_buffer(&self) -> Result<usize, Errno> {
        sockopt::socket_send_buffer_size(&self.fd)
    }

    /// Sets the send buffer's size, in the bytes of [`send_buffer`](Self::send_buffer).
    ///
    /// The kernel silently keeps it between 4,608 bytes and twice `net.core.wmem_max`: read it again.
    ///
    /// # Errors
    ///
    /// None that a socket gives.
    pub fn set_send_buffer(&self, bytes: usize) -> Result<(), Errno> {
        if self.send_buffer.get().is_none() {
            let _ = self.send_buffer.set(self.send_buffer()?);
        }
        // The kernel doubles what it is given, and takes an int.
        sockopt::set_socket_send_buffer_size(&self.fd, (bytes / 2).min(SEND_BUFFER_MAX))
    }

    /// Bytes of the send buffer that our messages still hold in receivers' queues, with the kernel's
    /// overhead for each of them (`SIOCOUTQ`).
    ///
    /// # Errors
    ///
    /// None that a socket gives.
    pub fn unsent(&self) -> Result<usize, Errno> {
        sys::unsent(self.as_fd()).map(|bytes| usize::try_from(bytes).unwrap_or(0))
    }
}

impl AsFd for Datagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Receives from a socket of any type, with the sender's name where the type has one.
pub(crate) fn receive(
    fd: &OwnedFd,
    into: &mut [IoSliceMut<'_>],
    control: &mut Control,
    fds: &mut Vec<OwnedFd>,
) -> Result<(Received, Option<SocketAddrAny>), Errno> {
    // Read below, and not by rustix, whose Drop would.
    let space = sys::as_uninit(&mut control.space);
    let mut ancillary = ManuallyDrop::new(RecvAncillaryBuffer::new(space));
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = retry_on_intr(|| net::recvmsg(fd, into, &mut ancillary, flags))?;
    let beside = control.take(fds);
    let received = Received {
        len: message.bytes,
        truncated: message.flags.contains(ReturnFlags::TRUNC),
        fds_truncated: message.flags.contains(ReturnFlags::CTRUNC),
        // Whatever comes beside it, it is a message.
        end: !beside.any && message.bytes == 0,
        credentials: beside.credentials,
    };
    Ok((received, message.address))
}

/// Whether something can be read now, and it has no byte. Nothing is taken.
pub(crate) fn no_byte_is_next(fd: &OwnedFd) -> Result<bool, Errno> {
    let mut byte = [0];
    // Without room for control messages the kernel installs no descriptors.
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    match retry_on_intr(|| net::recv(fd, &mut byte, flags)) {
        Ok((len, _)) => Ok(len == 0),
        Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// What a receiving call found out about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes written into the buffers; an empty message has none.
    pub len: usize,
    /// The message was longer than the buffers, and its rest is gone (`MSG_TRUNC`).
    pub truncated: bool,
    /// Descriptors are missing (`MSG_CTRUNC`): `RLIMIT_NOFILE` is reached, or a security module said
    /// no. Those that did arrive were appended and are the caller's to close.
    pub fds_truncated: bool,
    /// It is no message, but the end of a seqpacket socket's peer.
    pub end: bool,
    /// Who sent it, where that was asked for.
    pub credentials: Option<Credentials>,
}

/// The most descriptors that one message carries (the kernel's `SCM_MAX_FD`).
pub const MAX_FDS: usize = 253;

fn to_address(sockaddr: &SocketAddrAny) -> Result<Address, Errno> {
    let mut address = Address::UNNAMED;
    if address.assign(sys::sockaddr_bytes(sockaddr)) {
        Ok(address)
    } else {
        Err(Errno::AFNOSUPPORT)
    }
}

/// The kernel keeps this much of a send buffer to itself when it judges a message's size (bytes).
const KEPT: usize = 32;
/// Room for the descriptors of one message.
pub(crate) const SEND_SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_FDS));
/// Bytes; setsockopt reads an int.
const SEND_BUFFER_MAX: usize = i32::MAX as usize;
