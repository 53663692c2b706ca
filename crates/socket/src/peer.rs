//! Who is at the other end of a socket.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::{Errno, sys};

/// A process, as it was when it made its socket or sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process id; 0 where it is in no name space that we see.
    pub pid: i32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Credentials {
    /// The bytes of one.
    pub const LEN: usize = 12;

    /// What the kernel writes as a `struct ucred`: a pid, which may be 0, a uid and a gid.
    ///
    /// rustix's own type takes a pid for a number that is never 0.
    pub(crate) fn from_ints([pid, uid, gid]: [i32; 3]) -> Self {
        Self { pid, uid: uid.cast_unsigned(), gid: gid.cast_unsigned() }
    }

    /// Pid, uid and gid, little-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.pid.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.uid.to_le_bytes());
        bytes[8..].copy_from_slice(&self.gid.to_le_bytes());
        bytes
    }
}

/// Who made the socket at the other end, or had it connect or listen (`SO_PEERCRED`).
///
/// # Errors
///
/// `ENODATA`, where nobody knows: TCP, and datagram sockets that are not of a pair.
pub fn peer_credentials(fd: BorrowedFd<'_>) -> Result<Credentials, Errno> {
    let found = Credentials::from_ints(sys::socket_option(fd, sys::SO_PEERCRED)?);
    if found.uid == NOBODY { Err(Errno::NODATA) } else { Ok(found) }
}

/// The same process, as a descriptor that never means another one (`SO_PEERPIDFD`, Linux 6.5).
///
/// # Errors
///
/// `ENOPROTOOPT` on older kernels, `ENODATA` where nobody knows, `ESRCH` or `EINVAL` where the process
/// has been reaped (up to Linux 6.15), `EMFILE`, `ENFILE`.
pub fn peer_pidfd(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let [number, ..] = sys::socket_option(fd, sys::SO_PEERPIDFD)?;
    sys::received(number).ok_or(Errno::BADF)
}

/// No user has this id: the kernel says so where it has noted none.
const NOBODY: u32 = u32::MAX;
