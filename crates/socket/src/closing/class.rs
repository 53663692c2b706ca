//! What closing a descriptor may wait for.

use std::os::fd::BorrowedFd;

use rustix::fs::{self, AtFlags, FileType, StatxFlags};

use crate::Errno;
use crate::file_system::{MNT_ID_UNIQUE, is_local};

/// How a descriptor is closed without waiting for another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// close(2) cannot wait.
    AtOnce,
    /// close(2) may wait, except in a thread that exits.
    InExit,
    /// close(2) may wait in any thread, because the object may have a `flush` operation. Objects of
    /// one device wait for the same server.
    Waits { device: (u32, u32) },
}

/// Returns whether closing a descriptor cannot wait for another process.
pub(super) fn closes_at_once(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    // Only files in memory support seals. This call is the cheapest, and most received files are.
    match fs::fcntl_get_seals(fd) {
        Ok(_) => Ok(true),
        Err(Errno::BADF) => Err(Errno::BADF),
        Err(_) => Ok(classify(fd) == Class::AtOnce),
    }
}

/// Returns how to close a descriptor.
pub(super) fn classify(fd: BorrowedFd<'_>) -> Class {
    // Unlike fstat, this does not wait for a file server.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let mask = StatxFlags::TYPE | StatxFlags::NLINK | MNT_ID_UNIQUE;
    let Ok(stat) = fs::statx(fd, c"", flags, mask) else {
        return Class::Waits { device: (0, 0) };
    };
    match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::Fifo | FileType::Socket => Class::InExit,
        // Objects of the kernel such as eventfds have no file type.
        FileType::Unknown if stat.stx_mode & 0o170_000 == 0 => Class::InExit,
        FileType::CharacterDevice if stat.stx_rdev_major == MEMORY_DEVICES => Class::AtOnce,
        FileType::RegularFile | FileType::Directory if is_local(&stat) => {
            if stat.stx_nlink > 0 {
                Class::AtOnce
            } else {
                Class::InExit
            }
        }
        _ => Class::Waits { device: (stat.stx_dev_major, stat.stx_dev_minor) },
    }
}

/// Major number of `/dev/null`, `/dev/zero`, `/dev/urandom` and their like, from linux/major.h.
const MEMORY_DEVICES: u32 = 1;
