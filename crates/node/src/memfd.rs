//! Files in memory for JavaScript.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::CString;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::rc::Rc;

use fdwire_socket::{Errno, Mapping, MemoryFile, memfd, memfd_of, seal};
use napi::Either;
use napi::bindgen_prelude::{BufferSlice, Env, Result, Uint8Array};
use napi_derive::napi;

use crate::environment::Environment;
use crate::fds::lend;

/// A file of fewer bytes is copied: that costs less than a mapping, of which a process has some 65,000.
const MAPPED: u64 = 64 * 1024;

/// The most mappings of one thread; beyond it files are copied.
const MAPPINGS: usize = 4_096;

#[napi]
impl Environment {
    /// Makes a file in memory, of `bytes` or of so many zero bytes; its descriptor, which is
    /// JavaScript's, or a negative errno.
    #[napi]
    pub fn create_memfd(
        &self,
        name: String,
        content: Either<Uint8Array, f64>,
        sealed: bool,
    ) -> i32 {
        let made = CString::new(name).map_err(|_| Errno::INVAL).and_then(|name| {
            let file = match content {
                Either::A(bytes) => memfd_of(&name, &bytes)?,
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                Either::B(size) => memfd(&name, size as u64)?,
            };
            if sealed {
                seal(file.as_fd())?;
            }
            Ok(file)
        });
        made.map_or_else(|errno| -errno.raw_os_error(), OwnedFd::into_raw_fd)
    }

    /// Seals a file in memory; an errno, or 0.
    #[napi]
    pub fn seal_memfd(&self, fd: i32) -> i32 {
        lend(fd).and_then(seal).map_or_else(Errno::raw_os_error, |()| 0)
    }

    /// What is in a file in memory: the file itself where it is large and sealed, else a copy; an errno, as
    /// a number, where it is no such file.
    #[napi(ts_return_type = "Buffer | number")]
    pub fn map_memfd<'env>(
        &self,
        env: &'env Env,
        fd: i32,
        longest: f64,
    ) -> Result<Either<BufferSlice<'env>, i32>> {
        let fd = match lend(fd).and_then(|fd| rustix::io::fcntl_getfd(fd).map(|_| fd)) {
            Ok(fd) => fd,
            Err(errno) => return Ok(Either::B(errno.raw_os_error())),
        };
        let Some(file) = MemoryFile::whole(&fd) else {
            return Ok(Either::B(Errno::INVAL.raw_os_error()));
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        if file.len() as f64 > longest {
            return Ok(Either::B(Errno::FBIG.raw_os_error()));
        }
        let mapped = if file.len() < MAPPED || self.mappings.get() >= MAPPINGS {
            Ok(None)
        } else {
            Mapping::of(fd)
        };
        match mapped {
            Ok(Some(mapping)) => {
                let (start, len) = (mapping.as_ptr(), mapping.len());
                let count = Rc::clone(&self.mappings);
                count.set(count.get() + 1);
                let end = |_: Env, (mapping, count): (Mapping, Rc<Cell<usize>>)| {
                    drop(mapping);
                    count.set(count.get() - 1);
                };
                // SAFETY: the memory is mapped until the finalizer drops the mapping, nobody else has
                // it, and nobody can change its file any more.
                let buffer =
                    unsafe { BufferSlice::from_external(env, start, len, (mapping, count), end) };
                buffer.map(Either::A)
            }
            Ok(None) => match file.read() {
                Ok(bytes) => BufferSlice::from_data(env, bytes).map(Either::A),
                Err(errno) => Ok(Either::B(errno.raw_os_error())),
            },
            Err(errno) => Ok(Either::B(errno.raw_os_error())),
        }
    }
}
