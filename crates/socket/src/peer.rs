//! The process at the other end of a socket.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::{Errno, sys};

/// The identity of a process at the time when it created its socket or sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process id; 0 if the process is not visible in our pid namespace.
    pub pid: i32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Credentials {
    /// Length in bytes of the result of [`to_bytes`](Self::to_bytes).
    pub const LEN: usize = 12;

    /// Converts a `struct ucred` as the kernel writes it: pid, uid, gid.
    ///
    /// rustix's own type cannot represent the pid 0.
    pub(crate) fn from_ints([pid, uid, gid]: [i32; 3]) -> Self {
        Self { pid, uid: uid.cast_unsigned(), gid: gid.cast_unsigned() }
    }

    /// Returns pid, uid and gid as little-endian integers.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.pid.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.uid.to_le_bytes());
        bytes[8..].copy_from_slice(&self.gid.to_le_bytes());
        bytes
    }
}

/// Returns the credentials of the process that called `connect`, `listen` or `socketpair` for the
/// socket at the other end (`SO_PEERCRED`).
///
/// # Errors
///
/// `ENODATA` if the kernel has none: for TCP, and for datagram sockets that are not half of a pair.
pub fn peer_credentials(fd: BorrowedFd<'_>) -> Result<Credentials, Errno> {
    let credentials = Credentials::from_ints(sys::socket_option(fd, sys::SO_PEERCRED)?);
    if credentials.uid == NO_UID { Err(Errno::NODATA) } else { Ok(credentials) }
}

/// Returns a pidfd of the same process, which never refers to another one (`SO_PEERPIDFD`, Linux
/// 6.5).
///
/// # Errors
///
/// `ENOPROTOOPT` on older kernels, `ENODATA` if the kernel has no peer process, `ESRCH` or `EINVAL`
/// if the process has been reaped (up to Linux 6.15), `EMFILE`, `ENFILE`.
pub fn peer_pidfd(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let [number, ..] = sys::socket_option(fd, sys::SO_PEERPIDFD)?;
    sys::own_new_fd(number).ok_or(Errno::BADF)
}

/// The uid that the kernel reports if it has no credentials. No user has it.
const NO_UID: u32 = u32::MAX;
