//! What closing a descriptor may wait for.

use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{self, AtFlags, FileType, Statx, StatxFlags};

use crate::{Errno, sys};

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
        FileType::RegularFile | FileType::Directory if on_local_disk(&stat) => {
            if stat.stx_nlink > 0 { Class::AtOnce } else { Class::InExit }
        }
        _ => Class::Waits { device: (stat.stx_dev_major, stat.stx_dev_minor) },
    }
}

/// Returns whether a file is on a local file system, whose files have no `flush` operation.
fn on_local_disk(stat: &Statx) -> bool {
    if stat.stx_mask & MNT_ID_UNIQUE.bits() == 0 {
        return false;
    }
    let mut known = KNOWN_MOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(&(_, local)) = known.iter().find(|&&(mount, _)| mount == stat.stx_mnt_id) {
        return local;
    }
    let local = sys::file_system_of_mount(stat.stx_mnt_id)
        .is_ok_and(|magic| LOCAL_FILE_SYSTEMS.contains(&magic));
    if known.len() == KNOWN_MAX {
        known.clear();
    }
    known.push((stat.stx_mnt_id, local));
    local
}

/// Mounts by their unique numbers, which the kernel never reuses, and whether they are local.
static KNOWN_MOUNTS: Mutex<Vec<(u64, bool)>> = Mutex::new(Vec::new());

/// Maximum number of known mounts.
const KNOWN_MAX: usize = 16;

/// `STATX_MNT_ID_UNIQUE` (Linux 6.8). Older kernels leave the bit of the result unset.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// Major number of `/dev/null`, `/dev/zero`, `/dev/urandom` and their like, from linux/major.h.
const MEMORY_DEVICES: u32 = 1;

/// Magic numbers of local file systems, from linux/magic.h. An overlay is missing, because its
/// layers may be on FUSE.
const LOCAL_FILE_SYSTEMS: [u64; 9] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0xf2f5_2010, // f2fs
    0x2fc1_2fc1, // zfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x7371_7368, // squashfs
    0xe0f5_e1e2, // erofs
];
