//! Files in memory: made, sealed, and read where somebody else has made them.
//!
//! Reading from a descriptor that a stranger has sent can block for as long as the stranger likes: it
//! may be a pipe, or lie on a file server of its own. Files in memory (memfds, and files on a tmpfs)
//! are told by having seals, if only that there are none.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::fs::{self, FileType, MemfdFlags, SealFlags, SeekFrom};
use rustix::io;

use crate::Errno;

/// Makes a file in memory of so many zero bytes, which can be sealed. Its offset is 0.
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

/// Makes a file in memory that holds `bytes`, which can be sealed. Its offset is 0.
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

/// Seals a file in memory: neither its size nor its contents change any more, for anybody.
///
/// # Errors
///
/// `EINVAL` (no file in memory), `EPERM` (can't be sealed, or not any more), `EBUSY` (somebody has it
/// mapped for writing).
pub fn seal(file: BorrowedFd<'_>) -> Result<(), Errno> {
    // What has no seals says EINVAL here; asked to add some it may say EPERM.
    fs::fcntl_get_seals(file)?;
    fs::fcntl_add_seals(
        file,
        SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL,
    )
}

/// The bytes of a file in memory, all of them or those behind its offset.
#[derive(Debug)]
pub struct MemoryFile<'fd> {
    fd: BorrowedFd<'fd>,
    offset: u64,
    len: u64,
}

impl<'fd> MemoryFile<'fd> {
    /// All of it; None where that is no regular file in memory.
    #[must_use]
    pub fn whole(fd: &'fd impl AsFd) -> Option<Self> {
        let fd = fd.as_fd();
        // First, since it asks no file server: a silent one would keep whoever asks for the size.
        fs::fcntl_get_seals(fd).ok()?;
        let stat = fs::fstat(fd).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        Some(Self { fd, offset: 0, len: u64::try_from(stat.st_size).ok()? })
    }

    /// What stands behind its offset; None where that is no regular file in memory.
    #[must_use]
    pub fn behind_offset(fd: &'fd impl AsFd) -> Option<Self> {
        let Self { fd, len, .. } = Self::whole(fd)?;
        // The offset is asked for, and not moved: it belongs to the sender as well.
        let offset = fs::seek(fd, SeekFrom::Current(0)).ok()?;
        Some(Self { fd, offset, len: len.saturating_sub(offset) })
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads them; the offset stays where it is. Reserves that much.
    ///
    /// # Errors
    ///
    /// `EACCES` (not open for reading), `EIO` (it has become shorter meanwhile), `ENOMEM`.
    pub fn read(&self) -> Result<Vec<u8>, Errno> {
        let len = usize::try_from(self.len).map_err(|_| Errno::NOMEM)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Errno::NOMEM)?;
        while bytes.len() < len {
            let at = self.offset + bytes.len() as u64;
            match io::retry_on_intr(|| io::pread(self.fd, spare_capacity(&mut bytes), at)) {
                Ok(0) => return Err(Errno::IO),
                Ok(_) => {}
                // It is open, but not for reading.
                Err(Errno::BADF) => return Err(Errno::ACCESS),
                Err(errno) => return Err(errno),
            }
        }
        // It may have grown, and the memory may have room for more.
        bytes.truncate(len);
        Ok(bytes)
    }
}
