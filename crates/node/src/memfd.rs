//! Methods that act on memfds.
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
use crate::error::syscall_error;
use crate::fds::lend;

/// Size in bytes from which a file is mapped. Copying a smaller one costs less, and a process may
/// have only about 65,000 mappings (`vm.max_map_count`).
const MAPPED: u64 = 64 * 1024;

/// Maximum number of mappings of one thread. Further files are copied.
const MAPPINGS: usize = 4_096;

#[napi]
impl Environment {
    /// Creates a memfd that contains the bytes `content`, or `content` zero bytes.
    ///
    /// The descriptor belongs to the caller.
    #[napi]
    pub fn create_memfd(
        &self,
        name: String,
        content: Either<Uint8Array, f64>,
        sealed: bool,
    ) -> Result<i32> {
        let file = CString::new(name).map_err(|_| Errno::INVAL).and_then(|name| {
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
        let file = file.map_err(syscall_error("memfd_create"));
        file.map(OwnedFd::into_raw_fd).map_err(|error| self.thrown(error))
    }

    /// Seals a memfd, so that its size and contents cannot change.
    ///
    /// Throws EINVAL if the file does not support seals.
    #[napi]
    pub fn seal_memfd(&self, fd: i32) -> Result<()> {
        let sealed = lend(fd).and_then(seal).map_err(syscall_error("fcntl"));
        sealed.map_err(|error| self.thrown(error))
    }

    /// Returns the contents of a memfd: a mapping of the file if it is large and sealed, otherwise
    /// a copy.
    ///
    /// Throws EINVAL if the file does not support seals, EFBIG if it has more than `longest` bytes.
    #[napi(ts_return_type = "Buffer")]
    pub fn map_memfd<'env>(
        &self,
        env: &'env Env,
        fd: i32,
        longest: f64,
    ) -> Result<BufferSlice<'env>> {
        match self.map(fd, longest).map_err(|errno| self.thrown(syscall_error("mmap")(errno)))? {
            Content::Mapped(mapping) => self.buffer_of(env, mapping),
            Content::Copied(bytes) => BufferSlice::from_data(env, bytes),
        }
    }

    fn map(&self, fd: i32, longest: f64) -> std::result::Result<Content, Errno> {
        let fd = lend(fd)?;
        rustix::io::fcntl_getfd(fd)?;
        let file = MemoryFile::whole(&fd).ok_or(Errno::INVAL)?;
        #[expect(clippy::cast_precision_loss, reason = "the size of a memfd stays below 2^53")]
        if file.len() as f64 > longest {
            return Err(Errno::FBIG);
        }
        if file.len() >= MAPPED
            && self.mappings.get() < MAPPINGS
            && let Some(mapping) = Mapping::of(fd)?
        {
            return Ok(Content::Mapped(mapping));
        }
        file.read().map(Content::Copied)
    }

    fn buffer_of<'env>(&self, env: &'env Env, mapping: Mapping) -> Result<BufferSlice<'env>> {
        let (start, len) = (mapping.as_ptr(), mapping.len());
        let count = Rc::clone(&self.mappings);
        count.set(count.get() + 1);
        let finalize = |_: Env, (mapping, count): (Mapping, Rc<Cell<usize>>)| {
            drop(mapping);
            count.set(count.get() - 1);
        };
        // SAFETY: the mapping has `len` bytes at `start` until the finalizer drops it, after the
        // Buffer is no longer used. It is private and its file is sealed, so no process can change
        // or truncate it.
        unsafe { BufferSlice::from_external(env, start, len, (mapping, count), finalize) }
    }
}

/// The contents of a memfd.
enum Content {
    Mapped(Mapping),
    Copied(Vec<u8>),
}
