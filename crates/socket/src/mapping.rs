//! Files in memory as memory of this process.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::Errno;

/// A sealed file in memory, mapped whole. What is written to it stays here: no file changes by that.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<c_void>,
    len: usize,
}

impl Mapping {
    /// None where the file can still be written to or made shorter, or has no bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` (no file in memory), `EBADF`, `EACCES` (not open for reading), `ENOMEM`.
    pub fn of(file: impl AsFd) -> Result<Option<Self>, Errno> {
        let sealed = SealFlags::SHRINK | SealFlags::WRITE;
        if !fcntl_get_seals(&file)?.contains(sealed) {
            return Ok(None);
        }
        let len = usize::try_from(fstat(&file)?.st_size).map_err(|_| Errno::FBIG)?;
        if len == 0 {
            return Ok(None);
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours. Its
        // pages stay where they are, since the file is sealed against shrinking.
        let start = unsafe { mmap(ptr::null_mut(), len, access, MapFlags::PRIVATE, file, 0) }?;
        Ok(NonNull::new(start).map(|start| Self { start, len }))
    }

    /// Where it begins.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr().cast()
    }

    /// Its length (bytes), above zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `of` with this length. Whoever has the pointer vouches for not using it
        // beyond this.
        let _ = unsafe { munmap(self.start.as_ptr(), self.len) };
    }
}
