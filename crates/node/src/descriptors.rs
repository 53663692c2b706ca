//! Methods that act on descriptors.

use std::os::fd::IntoRawFd;

use fdwire_socket::{
    AddressFamily, Errno, ForeignFd, Kind, SocketType, closing, describe, is_on_local_disk,
    reopen_pipe,
};
use napi::Result;
use napi_derive::napi;
use rustix::io::FdFlags;
use rustix::pipe::PipeFlags;

use crate::environment::Environment;
use crate::error::syscall_error;
use crate::fds::{lend, take_over};
use crate::state::State;

#[napi]
impl Environment {
    /// Returns what owns a descriptor in this thread; null if nothing does.
    #[napi(ts_return_type = "'FdSet' | 'channel' | null")]
    pub fn owner_of(&self, fd: i32) -> Result<Option<&'static str>> {
        self.with(|state| owner(state, fd))
    }

    /// Takes ownership of a descriptor. Throws EBADF if it is not open, EBUSY if it has an owner.
    #[napi]
    pub fn own_fd(&self, fd: i32) -> Result<()> {
        self.attempt(|state| {
            let free = if owner(state, fd).is_none() { Ok(fd) } else { Err(Errno::BUSY) };
            let owned = free.and_then(take_over).map_err(syscall_error("fcntl"))?;
            state.owned.insert(owned.into());
            Ok(())
        })
    }

    /// Returns the kind of a descriptor. Throws EBADF if it is not open.
    #[napi]
    pub fn kind_of(&self, fd: i32) -> Result<&'static str> {
        let kind = lend(fd).and_then(Kind::of).map_err(syscall_error("fstat"));
        kind.map(Kind::name).map_err(|error| self.thrown(error))
    }

    /// Returns whether reading and writing a regular file waits for nothing but a local disk.
    #[napi]
    pub fn is_local_file(&self, fd: i32) -> bool {
        lend(fd).and_then(is_on_local_disk).unwrap_or(false)
    }

    /// Opens a pipe again. The new descriptor is non-blocking, and belongs to the caller.
    ///
    /// Throws ENOTSUP for a FIFO whose file system may have a server, and what open(2) fails with.
    #[napi]
    pub fn reopen_pipe(&self, fd: i32) -> Result<i32> {
        let pipe = lend(fd).and_then(reopen_pipe).map_err(syscall_error("open"));
        pipe.map(IntoRawFd::into_raw_fd).map_err(|error| self.thrown(error))
    }

    /// Returns the family and type of a socket, and whether it listens.
    ///
    /// Throws EBADF if the descriptor is not open, ENOTSOCK if it is not a socket.
    #[napi]
    pub fn describe(&self, fd: i32) -> Result<SocketDescription> {
        let found = lend(fd).and_then(describe).map_err(syscall_error("getsockopt"));
        let found = found.map_err(|error| self.thrown(error))?;
        Ok(SocketDescription {
            family: match found.domain {
                AddressFamily::UNIX => "unix",
                AddressFamily::INET | AddressFamily::INET6 => "tcp",
                _ => "other",
            }
            .into(),
            r#type: match found.kind {
                SocketType::STREAM => "stream",
                SocketType::DGRAM => "dgram",
                SocketType::SEQPACKET => "seqpacket",
                _ => "other",
            }
            .into(),
            listening: found.listening,
        })
    }

    /// Duplicates a descriptor. The duplicate is close-on-exec, and belongs to the caller.
    #[napi]
    pub fn duplicate(&self, fd: i32) -> Result<i32> {
        let duplicate = lend(fd).and_then(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3));
        let duplicate = duplicate.map_err(syscall_error("fcntl"));
        duplicate.map(IntoRawFd::into_raw_fd).map_err(|error| self.thrown(error))
    }

    /// Creates a pipe. Returns its reading and its writing end, which belong to the caller.
    #[napi(ts_return_type = "[number, number]")]
    pub fn pipe(&self) -> Result<Vec<i32>> {
        let ends = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(syscall_error("pipe2"));
        let (reading, writing) = ends.map_err(|error| self.thrown(error))?;
        Ok(vec![reading.into_raw_fd(), writing.into_raw_fd()])
    }

    /// Makes a descriptor close-on-exec. Throws EBADF if it is not open.
    #[napi]
    pub fn set_close_on_exec(&self, fd: i32) -> Result<()> {
        let set = lend(fd).and_then(|fd| rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC));
        set.map_err(syscall_error("fcntl")).map_err(|error| self.thrown(error))
    }

    /// Returns how many descriptors of the process the closing threads have yet to close.
    #[napi]
    pub fn pending_closes(&self) -> u32 {
        u32::try_from(closing::pending()).unwrap_or(u32::MAX)
    }

    /// Closes a duplicate that the caller still owns.
    #[napi]
    pub fn close_duplicate(&self, fd: i32) {
        drop(take_over(fd).map(ForeignFd::from));
    }
}

fn owner(state: &State, fd: i32) -> Option<&'static str> {
    if state.owned.has(fd) {
        Some("FdSet")
    } else if state.reactor.has_fd(fd) {
        Some("channel")
    } else {
        None
    }
}

/// The family and type of a socket.
#[napi(object)]
pub struct SocketDescription {
    /// The address family.
    #[napi(ts_type = "'unix' | 'tcp' | 'other'")]
    pub family: String,
    /// The socket type.
    #[napi(ts_type = "'stream' | 'seqpacket' | 'dgram' | 'other'")]
    pub r#type: String,
    /// Whether the socket listens for connections.
    pub listening: bool,
}
