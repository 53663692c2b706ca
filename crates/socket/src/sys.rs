//! The only `unsafe` of this crate: what rustix has no safe call for.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
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

/// An option of level `SOL_SOCKET` whose value are up to three ints; what is missing is zero.
pub(crate) fn socket_option(socket: BorrowedFd<'_>, name: c_int) -> Result<[c_int; 3], Errno> {
    let mut value = [0; 3];
    let mut len = 3 * INT;
    let place = (&raw mut value).cast();
    // SAFETY: the kernel writes at most `len` bytes, which `value` has, and any bytes are ints.
    let failed = unsafe { getsockopt(socket.as_raw_fd(), SOL_SOCKET, name, place, &raw mut len) };
    if failed == 0 { Ok(value) } else { Err(last_error()) }
}

/// Sets an option of level `SOL_SOCKET` whose value is one int.
pub(crate) fn set_socket_option(
    socket: BorrowedFd<'_>,
    name: c_int,
    value: c_int,
) -> Result<(), Errno> {
    let place = (&raw const value).cast();
    // SAFETY: the kernel reads the one int that `value` is.
    let failed = unsafe { setsockopt(socket.as_raw_fd(), SOL_SOCKET, name, place, INT) };
    if failed == 0 { Ok(()) } else { Err(last_error()) }
}

/// A descriptor that the kernel has just installed for us; None for what is no number of one.
pub(crate) fn received(fd: c_int) -> Option<OwnedFd> {
    // SAFETY: it stood where the kernel writes the number of a new descriptor, and nobody else takes it.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A buffer as one that need not be initialised; only initialised bytes may be written to it.
pub(crate) fn as_uninit(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    let (start, len) = (bytes.as_mut_ptr().cast(), bytes.len());
    // SAFETY: the same memory with the same layout, borrowed from `bytes`. What writes to it is the
    // kernel, through rustix's receive buffer, which writes nothing itself.
    unsafe { slice::from_raw_parts_mut(start, len) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

// Of the C library that std is linked with anyway. rustix has no call for options that it doesn't know.
unsafe extern "C" {
    fn getsockopt(
        socket: c_int,
        level: c_int,
        name: c_int,
        value: *mut c_void,
        len: *mut u32,
    ) -> c_int;
    fn setsockopt(
        socket: c_int,
        level: c_int,
        name: c_int,
        value: *const c_void,
        len: u32,
    ) -> c_int;
}

/// Bytes of an int.
const INT: u32 = c_int::BITS / 8;

// From asm-generic/ioctls.h and asm-generic/socket.h. These architectures have numbers of their own.
#[cfg(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "sparc64"
))]
compile_error!("add this architecture's SIOCOUTQ and its socket options");
const SIOCOUTQ: Opcode = 0x5411;
pub(crate) const SOL_SOCKET: c_int = 1;
pub(crate) const SO_PEERCRED: c_int = 17;
pub(crate) const SO_PASSPIDFD: c_int = 76;
pub(crate) const SO_PEERPIDFD: c_int = 77;
