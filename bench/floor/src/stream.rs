//! Length-prefixed messages over a stream socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{self, Errno};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, connect, listen, recv, recvmsg, send, sendmsg, socket_with,
};

use crate::link::{MOST_FDS, Transport};

/// Size of the length before each message (bytes).
pub(crate) const HEAD: usize = 4;

/// The number of buffered bytes that is written at once, as in fdwire. With one write per message
/// the benchmark would measure the system call instead of the stream.
const FULL: usize = 128 * 1024;

/// Size of the receive buffer (bytes): more than a socket's default send buffer holds.
const SLAB: usize = 256 * 1024;

/// The backlog of a listening socket; the kernel limits it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Returns a socket that listens at `path`.
pub(crate) fn listening(path: &str) -> io::Result<OwnedFd> {
    let socket = unconnected()?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Accepts the next connection.
pub(crate) fn accepted(listener: &OwnedFd) -> io::Result<OwnedFd> {
    accept_with(listener, SocketFlags::CLOEXEC)
}

/// Returns a socket that is connected to `path`; waits while the backlog is full.
pub(crate) fn connected(path: &str) -> io::Result<OwnedFd> {
    let socket = unconnected()?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn unconnected() -> io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// Length-prefixed messages over a blocking stream.
pub(crate) struct Stream {
    socket: OwnedFd,
    expects_fds: bool,
    batch: Vec<u8>,
    slab: Vec<u8>,
    /// Received bytes that have not been decoded yet.
    waiting: Range<usize>,
}

impl Stream {
    pub(crate) fn new(socket: OwnedFd, fds: usize) -> Self {
        Self {
            socket,
            expects_fds: fds > 0,
            batch: Vec::with_capacity(FULL * 2),
            slab: vec![0; SLAB],
            waiting: 0..0,
        }
    }

    /// Returns the payload of the first undecoded frame if it is complete.
    fn frame(&self) -> Option<Range<usize>> {
        let waiting = &self.slab[self.waiting.clone()];
        let length = u32::from_be_bytes(*waiting.first_chunk::<HEAD>()?) as usize;
        let start = self.waiting.start + HEAD;
        (waiting.len() >= HEAD + length).then_some(start..start + length)
    }

    /// Receives more bytes and places them after the undecoded ones.
    fn read(&mut self, fds: &mut Vec<OwnedFd>) -> io::Result<()> {
        self.slab.copy_within(self.waiting.clone(), 0);
        self.waiting = 0..self.waiting.len();
        let room = &mut self.slab[self.waiting.end..];
        let got = if self.expects_fds {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut data = [IoSliceMut::new(room)];
            let got = recvmsg(&self.socket, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    fds.extend(rights);
                }
            }
            got.bytes
        } else {
            recv(&self.socket, room, RecvFlags::empty())?.0
        };
        if got == 0 {
            // The peer has ended, or a message is larger than the slab: a run has neither.
            return Err(Errno::CONNRESET);
        }
        self.waiting.end += got;
        Ok(())
    }
}

impl Transport for Stream {
    /// Buffers the message. A message with descriptors is sent at once, because the kernel passes
    /// descriptors with the first byte of a write.
    fn send(
        &mut self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        _: Option<&SocketAddrAny>,
    ) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(|_| Errno::MSGSIZE)?.to_be_bytes();
        if fds.is_empty() {
            self.batch.extend_from_slice(&length);
            self.batch.extend_from_slice(bytes);
            return if self.batch.len() >= FULL { self.flush() } else { Ok(()) };
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(fds));
        let data = [IoSlice::new(&length), IoSlice::new(bytes)];
        // A blocking socket accepts the whole message.
        sendmsg(&self.socket, &data, &mut control, SendFlags::empty())?;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut rest = self.batch.as_slice();
        while !rest.is_empty() {
            rest = &rest[send(&self.socket, rest, SendFlags::empty())?..];
        }
        self.batch.clear();
        Ok(())
    }

    fn receive(&mut self, fds: &mut Vec<OwnedFd>) -> io::Result<(&[u8], Option<SocketAddrAny>)> {
        loop {
            if let Some(frame) = self.frame() {
                self.waiting.start = frame.end;
                return Ok((&self.slab[frame], None));
            }
            self.read(fds)?;
        }
    }
}
