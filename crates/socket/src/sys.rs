//! The only `unsafe` of this crate: four things that rustix has no safe call for.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::slice;

use rustix::ioctl::{Getter, Opcode, ioctl};
use rustix::net::SocketAddrAny;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

use crate::{Address, Errno};

/// The bytes of a socket address that the kernel wrote.
///
/// rustix's own conversion panics on a path of 108 bytes, whose address is 111 bytes long.
pub(crate) fn sockaddr_bytes(address: &SocketAddrAny) -> &[u8] {
    let (start, len) = (address.as_ptr().cast::<u8>(), address.addr_len() as usize);
    // SAFETY: `SocketAddrAny` keeps the invariant that its first `addr_len()` bytes are within its
    // storage and initialised, and the slice borrows `address`.
    unsafe { slice::from_raw_parts(start, len) }
}

// SAFETY: the closure gets a pointer to a whole `sockaddr_un` that `self` owns, and a length of at
// most 2 + 108 bytes of it, since `Address` never holds a longer name.
unsafe impl SocketAddrArg for Address {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        f((&raw const self.sockaddr).cast(), self.sockaddr_len())
    }
}

/// Bytes that the messages sent by this socket still hold in the queues of receivers (`SIOCOUTQ`).
pub(crate) fn unsent(socket: BorrowedFd<'_>) -> Result<c_int, Errno> {
    // SAFETY: SIOCOUTQ is a valid opcode, and the kernel writes one int for it (unix_ioctl).
    let request = unsafe { Getter::<SIOCOUTQ, c_int>::new() };
    // SAFETY: SIOCOUTQ only writes the int that `request` owns.
    unsafe { ioctl(socket, request) }
}

/// Stops the kernel from putting a pidfd beside each message; where it knows no such option there
/// is nothing to stop.
pub(crate) fn refuse_pidfds(socket: BorrowedFd<'_>) {
    let off: c_int = 0;
    // SAFETY: the pointer and the length describe `off`, which outlives the call and is only read.
    unsafe {
        setsockopt(socket.as_raw_fd(), SOL_SOCKET, SO_PASSPIDFD, (&raw const off).cast(), 4);
    }
}

unsafe extern "C" {
    /// From the C library that std links anyway; rustix has no setsockopt by number.
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: u32) -> c_int;
}

// From asm-generic/socket.h and asm-generic/ioctls.h. These have numbers of their own.
#[cfg(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "sparc64"
))]
compile_error!("add this architecture's SOL_SOCKET, SO_PASSPIDFD and SIOCOUTQ");
const SOL_SOCKET: c_int = 1;
const SO_PASSPIDFD: c_int = 76;
const SIOCOUTQ: Opcode = 0x5411;
