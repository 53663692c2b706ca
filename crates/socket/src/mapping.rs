//! Memory mappings of files in memory.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::Errno;

/// A private, writable mapping of a whole sealed file in memory. Writes do not change the file.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<c_void>,
    len: usize,
}

impl Mapping {
    /// Maps a file. Returns None if the file is empty, if a seal against writing or shrinking is
    /// missing, or if the file has holes.
    ///
    /// Reading a hole allocates memory for it. If the kernel has none (strict overcommit), it ends the
    /// process by SIGBUS, so a peer could choose how.
    ///
    /// # Errors
    ///
    /// `EINVAL` (not a file in memory), `EBADF`, `EACCES` (not open for reading), `ENOMEM`.
    pub fn of(file: impl AsFd) -> Result<Option<Self>, Errno> {
        let sealed = SealFlags::SHRINK | SealFlags::WRITE;
        if !fcntl_get_seals(&file)?.contains(sealed) {
            return Ok(None);
        }
        let stat = fstat(&file)?;
        let len = usize::try_from(stat.st_size).map_err(|_| Errno::FBIG)?;
        // Blocks have 512 bytes. Seals against writing also forbid to punch holes.
        let allocated = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        if len == 0 || allocated < len as u64 {
            return Ok(None);
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: with a null address and without MAP_FIXED, the kernel chooses an unused range, so
        // no existing memory changes. All `len` bytes stay accessible, because the seals keep the
        // file from shrinking.
        let start = unsafe { mmap(ptr::null_mut(), len, access, MapFlags::PRIVATE, file, 0) }?;
        Ok(NonNull::new(start).map(|start| Self { start, len }))
    }

    /// Returns the start of the mapping, which is valid until `self` is dropped.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr().cast()
    }

    /// Returns the length in bytes, which is above zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are those of a mapping that `of` has created and that only this
        // value unmaps. The range holds no references: `as_ptr` gives out a raw pointer, whose
        // users must keep this value alive.
        let _ = unsafe { munmap(self.start.as_ptr(), self.len) };
    }
}
