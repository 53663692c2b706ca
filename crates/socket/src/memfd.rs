//! Files in memory: creating, sealing, and reading those that a peer has sent.
//!
//! A peer can make a read from a descriptor block indefinitely: it may send a pipe, or a file on a
//! file server that it controls. Only files in memory (memfds and files on a tmpfs) support seals,
//! so this module reads a file only if `F_GET_SEALS` succeeds, whichever seals are set.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, FileType, MemfdFlags, SealFlags, SeekFrom};
use rustix::io;

use crate::Errno;
use crate::sys::zeroed;

/// Creates a sealable file in memory with `size` zero bytes. Its offset is 0.
///
/// # Errors
///
/// `EMFILE`, `ENFILE`, `ENOMEM`, `EFBIG`.
pub fn memfd(name: &CStr, size: u64) -> Result<OwnedFd, Errno> {
    let file = fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    if size > 0 {
        fs::ftruncate(&file, size)?;
    }
    Ok(file)
}

/// Creates a sealable file in memory with the contents `bytes`. Its offset is 0.
///
/// # Errors
///
/// `EMFILE`, `ENFILE`, `ENOMEM`, `ENOSPC`.
pub fn memfd_of(name: &CStr, bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let file = memfd(name, 0)?;
    let mut at = 0;
    while at < bytes.len() {
        at += io::retry_on_intr(|| io::pwrite(&file, &bytes[at..], at as u64))?;
    }
    Ok(file)
}

/// Seals a file in memory: no process can change its size, contents or seals afterwards.
///
/// # Errors
///
/// `EINVAL` (not a file in memory), `EPERM` (not sealable, or sealed against sealing), `EBUSY`
/// (mapped for writing by a process).
pub fn seal(file: BorrowedFd<'_>) -> Result<(), Errno> {
    // For files that do not support seals, reading them fails with EINVAL, whereas adding them may
    // fail with EPERM.
    fs::fcntl_get_seals(file)?;
    fs::fcntl_add_seals(
        file,
        SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL,
    )
}

/// A range of bytes of a file in memory: all of them, or those from the file's offset on.
#[derive(Debug)]
pub struct MemoryFile<'fd> {
    fd: BorrowedFd<'fd>,
    offset: u64,
    len: u64,
}

impl<'fd> MemoryFile<'fd> {
    /// Returns the whole file, or None if `fd` is not a regular file in memory.
    #[must_use]
    pub fn whole(fd: &'fd impl AsFd) -> Option<Self> {
        let fd = fd.as_fd();
        // This call comes first, because it never waits for a file server. `fstat` may.
        fs::fcntl_get_seals(fd).ok()?;
        let stat = fs::fstat(fd).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        Some(Self { fd, offset: 0, len: u64::try_from(stat.st_size).ok()? })
    }

    /// Returns the file from its offset on, or None if `fd` is not a regular file in memory.
    #[must_use]
    pub fn from_offset(fd: &'fd impl AsFd) -> Option<Self> {
        let Self { fd, len, .. } = Self::whole(fd)?;
        // Only read the offset: the sender shares it.
        let offset = fs::seek(fd, SeekFrom::Current(0)).ok()?;
        Some(Self { fd, offset, len: len.saturating_sub(offset) })
    }

    /// Returns the length of the range in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether the range is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads the range without changing the file's offset. Allocates [`len`](Self::len) bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of [`read_exact`](Self::read_exact).
    pub fn read(&self) -> Result<Vec<u8>, Errno> {
        let mut bytes = zeroed(usize::try_from(self.len).map_err(|_| Errno::NOMEM)?)?;
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Fills `target` with the first bytes of the range, without changing the file's offset.
    ///
    /// # Errors
    ///
    /// `EACCES` (not open for reading), `EIO` (the range has fewer bytes, or the file has been
    /// shortened in the meantime).
    pub fn read_exact(&self, target: &mut [u8]) -> Result<(), Errno> {
        let mut at = 0;
        while at < target.len() {
            let offset = self.offset + at as u64;
            match io::retry_on_intr(|| io::pread(self.fd, &mut target[at..], offset)) {
                Ok(0) => return Err(Errno::IO),
                Ok(read) => at += read,
                // The descriptor is open, but not for reading.
                Err(Errno::BADF) => return Err(Errno::ACCESS),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}
