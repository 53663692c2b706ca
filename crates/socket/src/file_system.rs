//! Whether the file system of a file is local, so that no server can make a system call wait.
//!
//! An unknown file system is not local: a list of those that are remote would never be complete.
//! Nothing here asks a file about itself, since that waits for its server (`fstat`, `fstatfs`).

use std::fs::{read, read_to_string};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{self, AtFlags, Statx, StatxFlags};

use crate::{Errno, sys};

/// Local file systems: their magic numbers from linux/magic.h, and their names in the list of
/// mounts. Their files have no `flush` operation.
const LOCAL: [(u64, &str); 16] = [
    (0xef53, "ext4"),
    (0xef53, "ext3"),
    (0xef53, "ext2"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0xf2f5_2010, "f2fs"),
    (0x2fc1_2fc1, "zfs"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x7371_7368, "squashfs"),
    (0xe0f5_e1e2, "erofs"),
    (0x4d44, "vfat"),
    (0x4d44, "msdos"),
    (0x2011_bab0, "exfat"),
    (0x9660, "iso9660"),
    (0x1501_3346, "udf"),
];

/// The magic number and the name of overlayfs, whose files are in other file systems.
const OVERLAY: (u64, &str) = (0x794c_7630, "overlay");

/// `STATX_MNT_ID_UNIQUE` (Linux 6.8). Older kernels leave the bit of the result unset.
pub(crate) const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// Mounts by their unique numbers, which the kernel never reuses, and the magic numbers of their
/// file systems; 0 if it is unknown.
static KNOWN_MOUNTS: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

/// Maximum number of known mounts.
const KNOWN_MAX: usize = 16;

/// Returns whether a file is on a local file system that is mounted here. `stat` must be a result
/// for [`MNT_ID_UNIQUE`]; on kernels that do not have it, the result is false.
pub(crate) fn is_local(stat: &Statx) -> bool {
    magic_of(stat).is_some_and(has_local_magic)
}

/// Returns whether reading and writing a regular file waits for nothing but a local disk.
///
/// False for files of FUSE, network file systems, and the kernel's own (`/proc/kmsg` waits for a
/// message); for an overlay with such a layer; and for file systems that are not known here: those
/// of other mount namespaces, unless their disk is mounted here too.
///
/// # Errors
///
/// `EBADF`.
pub fn is_on_local_disk(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    // Only files in memory support seals.
    if fs::fcntl_get_seals(fd).is_ok() {
        return Ok(true);
    }
    // Unlike fstat, this does not wait for a file server.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = fs::statx(fd, c"", flags, StatxFlags::TYPE | MNT_ID_UNIQUE)?;
    let magic = magic_of(&stat);
    if magic.is_some_and(has_local_magic) {
        return Ok(true);
    }
    if magic.is_some_and(|magic| magic != OVERLAY.0) {
        return Ok(false);
    }
    // Paths in the list may not be UTF-8.
    let Ok(mounts) = read("/proc/thread-self/mountinfo") else { return Ok(false) };
    let mounts = String::from_utf8_lossy(&mounts);
    Ok(Mounts(&mounts).has_local(fd, (stat.stx_dev_major, stat.stx_dev_minor)))
}

fn has_local_magic(magic: u64) -> bool {
    LOCAL.iter().any(|&(local, _)| local == magic)
}

fn has_local_name(name: &str) -> bool {
    LOCAL.iter().any(|&(_, local)| local == name)
}

/// Returns the magic number of the file system of a file; None if its mount is unknown here.
fn magic_of(stat: &Statx) -> Option<u64> {
    if stat.stx_mask & MNT_ID_UNIQUE.bits() == 0 {
        return None;
    }
    let mut known = KNOWN_MOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let found = known.iter().find(|&&(mount, _)| mount == stat.stx_mnt_id);
    let magic = found.map(|&(_, magic)| magic).unwrap_or_else(|| {
        let magic = sys::file_system_of_mount(stat.stx_mnt_id).unwrap_or(0);
        if known.len() == KNOWN_MAX {
            known.clear();
        }
        known.push((stat.stx_mnt_id, magic));
        magic
    });
    (magic != 0).then_some(magic)
}

/// The list of mounts of this mount namespace: see proc_pid_mountinfo(5).
struct Mounts<'a>(&'a str);

/// A line of the list.
struct Mount<'a> {
    id: &'a str,
    device: &'a str,
    point: &'a str,
    file_system: &'a str,
    options: &'a str,
}

impl<'a> Mounts<'a> {
    fn all(&self) -> impl Iterator<Item = Mount<'a>> {
        self.0.lines().filter_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let mut mount = mount.split(' ');
            let (id, device, point) = (mount.next()?, mount.nth(1)?, mount.nth(1)?);
            let mut file_system = file_system.split(' ');
            let (file_system, options) = (file_system.next()?, file_system.nth(1)?);
            Some(Mount { id, device, point, file_system, options })
        })
    }

    /// Returns whether a file on this device is on a local file system.
    fn has_local(&self, fd: BorrowedFd<'_>, (major, minor): (u32, u32)) -> bool {
        let info = read_to_string(format!("/proc/thread-self/fdinfo/{}", fd.as_raw_fd()));
        let info = info.unwrap_or_default();
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
        if let Some(mount) = self.all().find(|mount| Some(mount.id) == id) {
            return has_local_name(mount.file_system)
                || mount.file_system == OVERLAY.1 && self.has_local_layers(mount.options);
        }
        // A mount of another namespace. Its device tells which file system it is, and a server
        // cannot choose the number.
        let device = format!("{major}:{minor}");
        let mount = self.all().find(|mount| mount.device == device);
        mount.is_some_and(|mount| has_local_name(mount.file_system))
    }

    /// Returns whether no layer of an overlay is known to be elsewhere.
    ///
    /// The layers of a container are often paths of another mount namespace. A mount of this one
    /// was made by whoever administers it.
    fn has_local_layers(&self, options: &str) -> bool {
        let layers = options.split(',').filter_map(|option| option.split_once('='));
        let layers = layers.filter(|(name, _)| {
            matches!(*name, "lowerdir" | "lowerdir+" | "datadir+" | "upperdir")
        });
        layers.flat_map(|(_, paths)| paths.split(':')).all(|path| {
            let mount = self.all().filter(|mount| contains(mount.point, path)).last();
            mount.is_none_or(|mount| {
                has_local_name(mount.file_system) || mount.file_system == OVERLAY.1
            })
        })
    }
}

/// Returns whether a path is a directory or in it.
fn contains(directory: &str, path: &str) -> bool {
    let rest = path.strip_prefix(directory.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
