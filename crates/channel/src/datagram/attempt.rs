//! One message, handed to the kernel: it has it, refuses it, or can't take it yet.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use fdwire_socket::{Address, Datagram, Errno};

use super::share::Shares;

/// Why a message could not be handed over now.
#[derive(Clone, Copy)]
pub(crate) enum Blocked {
    /// The peer is behind.
    Peer,
    /// The receiver's queue is full.
    Receiver,
    /// The receiver holds its share of our send buffer, or others hold all of it.
    Share,
    /// The kernel is short of something.
    Short,
}

/// Why a message was not handed over.
pub(crate) enum Failure {
    /// Later it may be.
    Blocked(Blocked),
    /// It never will.
    Refused(Errno),
}

/// Hands one message to the kernel, if the destination's share allows it.
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
            // Once the kernel has said that the peer is gone it has forgotten the peer.
            Errno::NOTCONN if shares.is_none() => Failure::Refused(Errno::CONNREFUSED),
            errno => Failure::Refused(errno),
        }),
    }
}

/// Hands over one message beyond the destination's share, to see whether it reads.
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
