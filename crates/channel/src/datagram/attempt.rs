//! One attempt to hand a message to the kernel.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use fdwire_socket::{Address, Datagram, Errno};

use super::share::Shares;

/// Why the kernel cannot take a message yet.
#[derive(Clone, Copy)]
pub(crate) enum Blocked {
    /// The queue of the peer is full.
    Peer,
    /// The queue of the receiver is full.
    Receiver,
    /// The receiver occupies its share of our send buffer, or all receivers together occupy all of
    /// it.
    Share,
    /// The kernel is out of memory, or too many descriptors are in flight.
    Resources,
}

/// Why an attempt failed.
pub(crate) enum Failure {
    /// A later attempt may succeed.
    Blocked(Blocked),
    /// No attempt will succeed.
    Refused(Errno),
}

/// Hands one message to the kernel, if the share of its destination allows it.
///
/// `shares` is None on a channel with a peer.
pub(crate) fn attempt(
    shares: Option<&mut Shares>,
    socket: &Datagram,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    to: Option<&Address>,
) -> Result<(), Failure> {
    match (shares, to) {
        (Some(shares), Some(to)) => {
            if bytes.len() > shares.largest() {
                return Err(Failure::Refused(Errno::MSGSIZE));
            }
            if !shares.permits(socket, to, bytes.len()) {
                return Err(Failure::Blocked(Blocked::Share));
            }
            send_to(shares, socket, bytes, fds, to)
        }
        (shares, to) => socket.send(bytes, fds, to).map_err(|errno| match errno {
            Errno::AGAIN => Failure::Blocked(Blocked::Peer),
            // The kernel reports a closed peer once, and then disconnects the socket.
            Errno::NOTCONN if shares.is_none() => Failure::Refused(Errno::CONNREFUSED),
            errno => Failure::Refused(errno),
        }),
    }
}

/// Hands one message to the kernel although its destination occupies its share, to find out whether
/// the destination reads.
pub(crate) fn probe(
    shares: Option<&mut Shares>,
    socket: &Datagram,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    to: Option<&Address>,
    now: Instant,
) -> Result<(), Failure> {
    let Some((shares, to)) = shares.zip(to) else {
        return Err(Failure::Blocked(Blocked::Share));
    };
    if !shares.permits_probe(to, bytes.len(), now) {
        return Err(Failure::Blocked(Blocked::Share));
    }
    send_to(shares, socket, bytes, fds, to)
}

fn send_to(
    shares: &mut Shares,
    socket: &Datagram,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    to: &Address,
) -> Result<(), Failure> {
    match socket.send(bytes, fds, Some(to)) {
        Ok(()) => {
            shares.charge(to, bytes.len());
            Ok(())
        }
        Err(Errno::AGAIN) if shares.is_exhausted(socket) => Err(Failure::Blocked(Blocked::Share)),
        Err(Errno::AGAIN) => Err(Failure::Blocked(Blocked::Receiver)),
        Err(errno) => Err(Failure::Refused(errno)),
    }
}
