//! Receiving from sockets of all types.

use std::io::IoSliceMut;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;

use rustix::io::retry_on_intr;
use rustix::net::{self, RecvAncillaryBuffer, RecvFlags, ReturnFlags, SocketAddrAny};

use crate::{Control, Credentials, Errno, ForeignFd, sys};

/// The result of a receiving call, apart from the bytes and descriptors themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Number of bytes written to the buffers; 0 for an empty message.
    pub len: usize,
    /// Whether the message was longer than the buffers, so that its end is lost (`MSG_TRUNC`).
    pub truncated: bool,
    /// Whether descriptors are missing (`MSG_CTRUNC`), because the process has reached
    /// `RLIMIT_NOFILE` or a security module has denied them. Those that did arrive were appended,
    /// and the caller owns them.
    pub fds_truncated: bool,
    /// Whether this is not a message, but the end of the connection.
    pub end: bool,
    /// The sender's credentials, if enabled.
    pub credentials: Option<Credentials>,
}

/// Receives from a socket of any type; also returns the sender's address if the type has one.
pub(crate) fn receive(
    fd: impl AsFd,
    into: &mut [IoSliceMut<'_>],
    control: &mut Control,
    fds: &mut Vec<ForeignFd>,
) -> Result<(Received, Option<SocketAddrAny>), Errno> {
    // `control.drain` parses the buffer. rustix's parser must not run, so its Drop is suppressed.
    let space = sys::as_uninit(&mut control.space);
    let mut buffer = ManuallyDrop::new(RecvAncillaryBuffer::new(space));
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = retry_on_intr(|| net::recvmsg(&fd, into, &mut buffer, flags))?;
    let ancillary = control.drain(fds);
    let received = Received {
        len: message.bytes,
        truncated: message.flags.contains(ReturnFlags::TRUNC),
        fds_truncated: message.flags.contains(ReturnFlags::CTRUNC),
        // A control message arrives only with a message, so this is not the end.
        end: !ancillary.any && message.bytes == 0,
        credentials: ancillary.credentials,
    };
    Ok((received, message.address))
}

/// Returns whether a receive would succeed now and return 0 bytes. Removes nothing from the queue.
pub(crate) fn next_is_empty(fd: impl AsFd) -> Result<bool, Errno> {
    let mut byte = [0];
    // Without a buffer for control messages, the kernel installs no descriptors.
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    match retry_on_intr(|| net::recv(&fd, &mut byte, flags)) {
        Ok((len, _)) => Ok(len == 0),
        Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Returns whether a receive from a seqpacket socket would return the end of the connection now.
/// Removes nothing from the queue.
pub(crate) fn next_is_end(fd: impl AsFd) -> Result<bool, Errno> {
    let mut byte = [0];
    // Without a buffer for control messages, the kernel installs no descriptors.
    let mut control = RecvAncillaryBuffer::default();
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    let into = &mut [IoSliceMut::new(&mut byte)];
    match retry_on_intr(|| net::recvmsg(&fd, into, &mut control, flags)) {
        // Credentials accompany an empty record, but not the end. They do not fit into the buffer.
        Ok(message) => Ok(message.bytes == 0 && !message.flags.contains(ReturnFlags::CTRUNC)),
        Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}
