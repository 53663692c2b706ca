//! The error of functions that make several system calls.

use std::error::Error;
use std::fmt;

use crate::Errno;

/// A failed system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyscallError {
    /// The error number. [`bind_path`](crate::bind_path) also uses `EADDRINUSE`, `EEXIST`, `ESTALE`
    /// and `EINVAL` for failures that it detects itself.
    pub errno: Errno,
    /// Name of the system call.
    pub syscall: &'static str,
}

impl fmt::Display for SyscallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.syscall, self.errno)
    }
}

impl Error for SyscallError {}

/// Returns a function that converts an error number to the error of a system call.
pub fn syscall_error(syscall: &'static str) -> impl Fn(Errno) -> SyscallError {
    move |errno| SyscallError { errno, syscall }
}
