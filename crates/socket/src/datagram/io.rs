//! Sending, receiving and the send buffer.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::retry_on_intr;
use rustix::net::{self, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sockopt};

use crate::control::SEND_SPACE;
use crate::receive::{next_is_end, receive};
use crate::{Address, Control, Datagram, Errno, ForeignFd, MAX_FDS, Received, sys};

impl Datagram {
    /// Sends one message with descriptors, to `to` or to the connected peer.
    ///
    /// The descriptors' flags and offsets do not change.
    ///
    /// # Errors
    ///
    /// `EAGAIN` (the receiver's queue or our send buffer is full), `EINVAL` (more than [`MAX_FDS`]
    /// descriptors), `EMSGSIZE`, `ECONNREFUSED`, `ENOTCONN`, `EPERM`, `ETOOMANYREFS`, `ENOBUFS` …
    pub fn send(
        &self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<(), Errno> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // A message is sent completely or not at all, so the number of sent bytes is not needed.
        if fds.is_empty() {
            // A tenth cheaper than sendmsg, for which the kernel must also copy the header.
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

    /// Receives one message. Its bytes fill the buffers of `into` in order, its descriptors
    /// (close-on-exec) are appended to `fds`, and its sender's address overwrites `from`.
    ///
    /// The caller must check the flags of [`Received`], and owns the descriptors even if they are
    /// set.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if no message is queued, `ECONNRESET` if the connected peer has connected to
    /// another socket. `fds` is unchanged in that case.
    pub fn recv(
        &self,
        into: &mut [IoSliceMut<'_>],
        control: &mut Control,
        fds: &mut Vec<ForeignFd>,
        from: &mut Address,
    ) -> Result<Received, Errno> {
        if self.seqpacket {
            self.set_passcred()?;
        }
        let (mut received, sender) = receive(&self.fd, into, control, fds)?;
        received.end &= self.seqpacket && received.len == 0;
        received.credentials = received.credentials.filter(|_| self.credentials);
        match &sender {
            Some(sender) => from.assign(sys::sockaddr_bytes(sender)),
            None => from.assign(&[]),
        };
        Ok(received)
    }

    /// Ends the sending direction of a seqpacket socket, for every process that shares it.
    ///
    /// # Errors
    ///
    /// `ENOTCONN`.
    pub fn shutdown_send(&self) -> Result<(), Errno> {
        net::shutdown(&self.fd, Shutdown::Write)
    }

    /// Ends the receiving direction: the kernel refuses messages to this socket with `EPIPE`.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub(crate) fn shutdown_receive(&self) -> Result<(), Errno> {
        net::shutdown(&self.fd, Shutdown::Read)
    }

    /// Returns whether a receive from a seqpacket socket would now return the end of the
    /// connection.
    ///
    /// # Errors
    ///
    /// `ECONNRESET` …
    pub fn at_end(&self) -> Result<bool, Errno> {
        if self.passcred.get().is_some() {
            return next_is_end(&self.fd);
        }
        // The answer needs SO_PASSCRED. Another program that has inherited the socket may read it.
        self.set_passcred()?;
        let end = next_is_end(&self.fd);
        if self.passcred.take() == Some(false) {
            sockopt::set_socket_passcred(&self.fd, false)?;
        }
        end
    }

    /// Returns the length in bytes of the longest message that fits into the send buffer.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub fn max_message(&self) -> Result<usize, Errno> {
        Ok(self.send_buffer()?.saturating_sub(SEND_BUFFER_RESERVED))
    }

    /// Returns the size of the send buffer in bytes (212,992 by default). The kernel reports twice
    /// the size that was set.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub fn send_buffer(&self) -> Result<usize, Errno> {
        sockopt::socket_send_buffer_size(&self.fd)
    }

    /// Sets the size of the send buffer, in the same unit as [`send_buffer`](Self::send_buffer).
    ///
    /// The kernel silently limits it to between 4,608 bytes and twice `net.core.wmem_max`.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub fn set_send_buffer(&self, bytes: usize) -> Result<(), Errno> {
        // The kernel doubles the value.
        self.buffers.set_send(self.as_fd(), bytes / 2)
    }

    /// Raises the size of the send buffer to `bytes`, or as far as the kernel permits.
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket; `EMFILE`, `ENFILE`.
    pub fn raise_send_buffer(&self, bytes: usize) -> Result<(), Errno> {
        // This needs CAP_NET_ADMIN.
        if self.buffers.force_send(self.as_fd(), bytes / 2)? {
            return Ok(());
        }
        // If wmem_max is low, a larger request yields a smaller buffer, so another socket tries it
        // first.
        let other = Self::new()?;
        other.set_send_buffer(bytes)?;
        if other.send_buffer()? > self.send_buffer()? {
            self.set_send_buffer(bytes)?;
        }
        Ok(())
    }

    /// Returns whether an option determines the size of the send buffer.
    #[must_use]
    pub fn has_fixed_send_buffer(&self) -> bool {
        self.buffers.is_send_fixed()
    }

    /// Returns the number of bytes of the send buffer that messages in receivers' queues occupy,
    /// including the kernel's overhead for each message (`SIOCOUTQ`).
    ///
    /// # Errors
    ///
    /// `ENOTSOCK` if the descriptor is not a socket.
    pub fn unsent(&self) -> Result<usize, Errno> {
        sys::unsent(self.as_fd()).map(|bytes| usize::try_from(bytes).unwrap_or(0))
    }
}

/// Number of bytes of the send buffer that the kernel does not allow a message to use.
const SEND_BUFFER_RESERVED: usize = 32;
