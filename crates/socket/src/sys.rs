//! System calls and conversions for which rustix has no safe function.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed};
use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::slice;

use rustix::ioctl::{Getter, Opcode, ioctl};
use rustix::net::SocketAddrAny;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

use crate::{Address, Errno};

/// Returns the bytes of a socket address that the kernel wrote.
///
/// rustix's own conversion panics on a path of 108 bytes, whose address is 111 bytes long.
pub(crate) fn sockaddr_bytes(address: &SocketAddrAny) -> &[u8] {
    let (start, len) = (address.as_ptr().cast::<u8>(), address.addr_len() as usize);
    // SAFETY: `SocketAddrAny` guarantees that its first `addr_len()` bytes are initialised and
    // within its storage. The slice borrows `address`, so the storage outlives it.
    unsafe { slice::from_raw_parts(start, len) }
}

// SAFETY: the closure gets a pointer to a complete, initialised `sockaddr_un` that `self` owns, and
// a length within it: `Address` holds at most 108 bytes after the 2 bytes of the family.
unsafe impl SocketAddrArg for Address {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        f((&raw const self.sockaddr).cast(), self.sockaddr_len())
    }
}

/// Returns the number of bytes that sent messages still occupy in receivers' queues (`SIOCOUTQ`).
pub(crate) fn unsent(socket: BorrowedFd<'_>) -> Result<c_int, Errno> {
    // SAFETY: for the opcode SIOCOUTQ, the kernel writes one int (unix_ioctl, tcp_ioctl).
    let request = unsafe { Getter::<SIOCOUTQ, c_int>::new() };
    // SAFETY: the kernel only writes the int that `request` owns.
    unsafe { ioctl(socket, request) }
}

/// Returns an option of level `SOL_SOCKET` whose value has up to three ints, padded with zeros.
pub(crate) fn socket_option(socket: BorrowedFd<'_>, name: c_int) -> Result<[c_int; 3], Errno> {
    let mut value = [0; 3];
    let mut len = 3 * INT;
    let pointer = (&raw mut value).cast();
    // SAFETY: `value` has the `len` bytes that the kernel may write, and any bit pattern is a valid
    // int. Both pointers refer to locals that live until the call returns.
    let status = unsafe { getsockopt(socket.as_raw_fd(), SOL_SOCKET, name, pointer, &raw mut len) };
    if status == 0 { Ok(value) } else { Err(last_error()) }
}

/// Sets an option of level `SOL_SOCKET` whose value is one int.
pub(crate) fn set_socket_option(
    socket: BorrowedFd<'_>,
    name: c_int,
    value: c_int,
) -> Result<(), Errno> {
    let pointer = (&raw const value).cast();
    // SAFETY: the kernel reads `INT` bytes, which is the size of `value`, and `value` lives until
    // the call returns.
    let status = unsafe { setsockopt(socket.as_raw_fd(), SOL_SOCKET, name, pointer, INT) };
    if status == 0 { Ok(()) } else { Err(last_error()) }
}

/// Takes ownership of a descriptor that the kernel has just installed, or returns None if `fd` is
/// negative.
///
/// The caller must pass a number that the kernel has written for a new descriptor, and only once.
/// (This is not an `unsafe fn`, so that `unsafe` code stays in this file.)
pub(crate) fn own_new_fd(fd: c_int) -> Option<OwnedFd> {
    // SAFETY: by the condition above, the descriptor is open and has no other owner: control.rs
    // takes it from a control message, which it then clears, and peer.rs from a socket option that
    // creates a descriptor.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Returns the buffer as possibly uninitialised memory. The caller must write only initialised
/// bytes to it. (This is not an `unsafe fn`, so that `unsafe` code stays in this file.)
pub(crate) fn as_uninit(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    let (start, len) = (bytes.as_mut_ptr().cast(), bytes.len());
    // SAFETY: `MaybeUninit<u8>` has the layout of `u8`, and the result borrows `bytes` mutably.
    // `bytes` stays initialised: the only caller passes the result to rustix's receive buffer,
    // which does not write to it, and the kernel writes initialised bytes.
    unsafe { slice::from_raw_parts_mut(start, len) }
}

/// Returns `len` zero bytes. Fresh pages take no memory until they are touched.
///
/// # Errors
///
/// `ENOMEM`.
pub fn zeroed(len: usize) -> Result<Vec<u8>, Errno> {
    if len == 0 {
        return Ok(Vec::new());
    }
    let layout = Layout::array::<u8>(len).map_err(|_| Errno::NOMEM)?;
    // SAFETY: the size of the layout is not zero.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        return Err(Errno::NOMEM);
    }
    // SAFETY: the global allocator has allocated `memory` with the layout of `len` bytes, and all
    // of them are initialised.
    Ok(unsafe { Vec::from_raw_parts(memory, len, len) })
}

/// Gives the calling thread a table of descriptors of its own, which is empty (Linux 5.9). The
/// kernel closes that table when the thread exits.
///
/// The caller must use no descriptor of the process in this thread afterwards. (This is not an
/// `unsafe fn`, so that `unsafe` code stays in this file.)
pub(crate) fn leave_descriptor_table() -> Result<(), Errno> {
    let (first, last) = (0 as c_long, c_long::from(u32::MAX));
    // SAFETY: the call takes three integers. It closes no descriptor of the process, since it acts
    // on a new table. By the condition above, this thread relies on none of them.
    let status = unsafe { syscall(SYS_CLOSE_RANGE, first, last, CLOSE_RANGE_UNSHARE) };
    if status == 0 { Ok(()) } else { Err(last_error()) }
}

/// Closes the descriptors from `first` to `last` in one call (Linux 5.9), without their errors.
///
/// The caller must own all of them, and none is used afterwards. (This is not an `unsafe fn`, so
/// that `unsafe` code stays in this file.)
///
/// # Errors
///
/// `ENOSYS`, `EPERM` (a system call filter).
pub(crate) fn close_range(first: RawFd, last: RawFd) -> Result<(), Errno> {
    let (first, last) = (c_long::from(first), c_long::from(last));
    // SAFETY: the call takes three integers. By the condition above, nothing uses the descriptors.
    let status = unsafe { syscall(SYS_CLOSE_RANGE, first, last, 0 as c_long) };
    if status == 0 { Ok(()) } else { Err(last_error()) }
}

/// Returns the magic number of the file system of a mount in this mount namespace (Linux 6.8). It
/// asks no file server.
pub(crate) fn file_system_of_mount(unique_id: u64) -> Result<u64, Errno> {
    let request = MountRequest { size: MOUNT_REQUEST_SIZE, spare: 0, mount: unique_id, mask: 1 };
    let mut result = [0u64; 64];
    let size: c_long = 8 * 64;
    let (from, to) = (&raw const request, &raw mut result);
    // SAFETY: the kernel reads `request`, whose first field is its size, and writes at most `size`
    // bytes to `result`. Both are locals that live until the call returns.
    let status = unsafe { syscall(SYS_STATMOUNT, from, to, size, 0 as c_long) };
    if status != 0 {
        return Err(last_error());
    }
    // `struct statmount`: u32 size, u32, u64 mask, u32 device (2), u64 magic number.
    if result[1] & 1 == 0 { Err(Errno::NODATA) } else { Ok(result[3]) }
}

/// `struct mnt_id_req` of statmount(2).
#[repr(C)]
struct MountRequest {
    size: u32,
    spare: u32,
    mount: u64,
    /// What the caller asks for; 1 is `STATMOUNT_SB_BASIC`.
    mask: u64,
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

// From the C library, which std links anyway. rustix cannot get or set options that it does not
// know, and does not have some system calls.
unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
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

/// Size of an int in bytes.
const INT: u32 = c_int::BITS / 8;

// From asm-generic/ioctls.h and asm-generic/socket.h. The architectures below use other values.
#[cfg(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "sparc64"
))]
compile_error!("define SIOCOUTQ and the socket options for this architecture");
const SIOCOUTQ: Opcode = 0x5411;
/// These system calls have the same numbers on all other architectures.
const SYS_CLOSE_RANGE: c_long = 436;
const SYS_STATMOUNT: c_long = 457;
/// From linux/close_range.h.
const CLOSE_RANGE_UNSHARE: c_long = 2;
/// Size of `MountRequest` in bytes (`MNT_ID_REQ_SIZE_VER0`).
const MOUNT_REQUEST_SIZE: u32 = 24;
pub(crate) const SOL_SOCKET: c_int = 1;
pub(crate) const SO_PEERCRED: c_int = 17;
pub(crate) const SO_BUF_LOCK: c_int = 72;
pub(crate) const SO_PASSPIDFD: c_int = 76;
pub(crate) const SO_PEERPIDFD: c_int = 77;
pub(crate) const SO_PASSRIGHTS: c_int = 83;
