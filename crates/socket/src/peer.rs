//! Who is at the other end of a socket.

use std::os::fd::BorrowedFd;

use rustix::net::sockopt;

use crate::Errno;

/// A process, as it was when it made its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process id; 0 where it is in no name space that we see.
    pub pid: i32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Who made the socket at the other end, or had it connect (`SO_PEERCRED`).
///
/// # Errors
///
/// `ENODATA`, where nobody knows.
pub fn peer_credentials(fd: BorrowedFd<'_>) -> Result<Credentials, Errno> {
    let found = sockopt::socket_peercred(fd)?;
    Ok(Credentials {
        pid: found.pid.as_raw_nonzero().get(),
        uid: found.uid.as_raw(),
        gid: found.gid.as_raw(),
    })
}
