use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, bind,
    connect, recvmsg, send, sendmsg, sendmsg_addr, sendto, socket_with, socketpair,
};

/// The most descriptors that a message of the benchmark carries.
pub(crate) const MOST_FDS: usize = 16;

/// What carries messages between the two processes.
pub(crate) trait Transport {
    /// Sends one message, to `to` where the socket isn't connected; perhaps not before `flush`.
    fn send(
        &mut self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&SocketAddrAny>,
    ) -> io::Result<()>;

    /// Sends what is gathered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Receives one message; its descriptors are appended to `fds`.
    fn receive(&mut self, fds: &mut Vec<OwnedFd>) -> io::Result<(&[u8], Option<SocketAddrAny>)>;
}

/// A socket for datagrams or records, with the buffers that `sendmsg` and `recvmsg` need.
pub(crate) struct Link {
    socket: OwnedFd,
    expects_fds: bool,
    buffer: [u8; 4096],
}

/// A socket bound to `path`.
pub(crate) fn bound(path: &str) -> io::Result<OwnedFd> {
    let socket = dgram()?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// A socket connected to `path`, with a name of the kernel's choice for the way back.
pub(crate) fn connected(path: &str) -> io::Result<OwnedFd> {
    let socket = dgram()?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    bind(&socket, &SocketAddrUnix::new_unnamed())?;
    Ok(socket)
}

/// Both ends of a socketpair.
pub(crate) fn pair(of: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, of, SocketFlags::CLOEXEC, None)
}

fn dgram() -> io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
}

impl Link {
    /// The socket stays blocking: DONTWAIT and `poll` after EAGAIN, as an event loop must, came out
    /// at 0.6 to 0.9 times of this, and a floor is the best there is.
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
            // As fdwire does: a tenth cheaper than sendmsg.
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
