//! Datagram and seqpacket sockets, and the trait that they share with streams.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, bind,
    connect, recvmsg, send, sendmsg, sendmsg_addr, sendto, socket_with, socketpair,
};

/// The most descriptors of a message in the benchmark.
pub(crate) const MOST_FDS: usize = 16;

/// The transport of messages between the two processes.
pub(crate) trait Transport {
    /// Sends one message, to `to` if the socket is not connected. The message may stay buffered
    /// until `flush` is called.
    fn send(
        &mut self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&SocketAddrAny>,
    ) -> io::Result<()>;

    /// Sends all buffered messages.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Receives one message, and appends its descriptors to `fds`.
    fn receive(&mut self, fds: &mut Vec<OwnedFd>) -> io::Result<(&[u8], Option<SocketAddrAny>)>;
}

/// A datagram or seqpacket socket with its receive buffer.
pub(crate) struct Link {
    socket: OwnedFd,
    expects_fds: bool,
    buffer: [u8; 4096],
}

/// Returns a socket that is bound to `path`.
pub(crate) fn bound(path: &str) -> io::Result<OwnedFd> {
    let socket = dgram()?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Returns a socket that is connected to `path`, and autobound so that replies can be sent to it.
pub(crate) fn connected(path: &str) -> io::Result<OwnedFd> {
    let socket = dgram()?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    bind(&socket, &SocketAddrUnix::new_unnamed())?;
    Ok(socket)
}

/// Returns the ends of a socketpair.
pub(crate) fn pair(of: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, of, SocketFlags::CLOEXEC, None)
}

fn dgram() -> io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
}

impl Link {
    /// The socket stays blocking, because that is the fastest. Non-blocking calls with `poll` after
    /// EAGAIN, which an event loop needs, reach 0.6 to 0.9 times its rate.
    pub(crate) fn new(socket: OwnedFd, fds: usize) -> Self {
        Self { socket, expects_fds: fds > 0, buffer: [0; 4096] }
    }
}

impl Transport for Link {
    fn send(
        &mut self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&SocketAddrAny>,
    ) -> io::Result<()> {
        if fds.is_empty() {
            // 10 % faster than sendmsg. fdwire does the same.
            match to {
                Some(to) => sendto(&self.socket, bytes, SendFlags::empty(), to)?,
                None => send(&self.socket, bytes, SendFlags::empty())?,
            };
            return Ok(());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(fds));
        let data = [IoSlice::new(bytes)];
        match to {
            Some(to) => {
                sendmsg_addr(&self.socket, to, &data, &mut control, SendFlags::empty())?;
            }
            None => {
                sendmsg(&self.socket, &data, &mut control, SendFlags::empty())?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, fds: &mut Vec<OwnedFd>) -> io::Result<(&[u8], Option<SocketAddrAny>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut data = [IoSliceMut::new(&mut self.buffer)];
        let got = recvmsg(&self.socket, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        if self.expects_fds {
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    fds.extend(rights);
                }
            }
        }
        Ok((&self.buffer[..got.bytes], got.address))
    }
}
