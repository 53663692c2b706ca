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

    /// Maps a memfd if it is large and sealed, and if `maps` is true. Otherwise returns its length in
    /// bytes, and `readMemfd` copies it.
    ///
    /// Throws EINVAL if the file does not support seals, EFBIG if it has more than `longest` bytes.
    #[napi(ts_return_type = "Buffer | number")]
    pub fn map_memfd<'env>(
        &self,
        env: &'env Env,
        fd: i32,
        longest: f64,
        maps: bool,
    ) -> Result<Either<BufferSlice<'env>, f64>> {
        let content = self.content(fd, longest, maps);
        match content.map_err(|errno| self.thrown(syscall_error("mmap")(errno)))? {
            Content::Mapped(mapping) => self.buffer_of(env, mapping).map(Either::A),
            #[expect(clippy::cast_precision_loss, reason = "it is at most `longest`")]
            Content::Copied(length) => Ok(Either::B(length as f64)),
        }
    }

    /// Fills `target` with the first bytes of a memfd.
    ///
    /// Throws EIO if the file has fewer bytes.
    #[napi]
    pub fn read_memfd(&self, fd: i32, mut target: BufferSlice<'_>) -> Result<()> {
        let read = lend(fd)
            .and_then(|fd| MemoryFile::whole(&fd).ok_or(Errno::INVAL)?.read_exact(&mut target));
        read.map_err(|errno| self.thrown(syscall_error("read")(errno)))
    }

    fn content(&self, fd: i32, longest: f64, maps: bool) -> std::result::Result<Content, Errno> {
        let fd = lend(fd)?;
        rustix::io::fcntl_getfd(fd)?;
        let file = MemoryFile::whole(&fd).ok_or(Errno::INVAL)?;
        #[expect(clippy::cast_precision_loss, reason = "the size of a memfd stays below 2^53")]
        if file.len() as f64 > longest {
            return Err(Errno::FBIG);
        }
        if maps
            && file.len() >= MAPPED
            && self.mappings.get() < MAPPINGS
            && let Some(mapping) = Mapping::of(fd)?
        {
            return Ok(Content::Mapped(mapping));
        }
        Ok(Content::Copied(file.len()))
    }

    fn buffer_of<'env>(&self, env: &'env Env, mapping: Mapping) -> Result<BufferSlice<'env>> {
        let (start, len) = (mapping.as_ptr(), mapping.len());
        let count = Rc::clone(&self.mappings);
        count.set(count.get() + 1);
        let finalize = |_: Env, (mapping, count): (Mapping, Rc<Cell<usize>>)| {
            drop(mapping);
            count.set(count.get() - 1);
        };
        // SAFETY: the mapping has `len` bytes at `start` until the finalizer drops it. Node calls
        // it when the memory is garbage, whichever thread has it by then, or at the end of this
        // environment. That is the end of the process, since only the main thread maps files. The
        // mapping is private and its file is sealed, so no process can change or truncate it.
        unsafe { BufferSlice::from_external(env, start, len, (mapping, count), finalize) }
    }
}

/// The contents of a memfd.
enum Content {
    Mapped(Mapping),
    /// They are copied: this number of bytes.
    Copied(u64),
}
