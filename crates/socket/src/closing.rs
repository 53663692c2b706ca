//! Closes descriptors of objects that other processes may control, without waiting for them.
//!
//! close(2) has no flag like `MSG_DONTWAIT`, and may wait:
//!
//! | object | close(2) waits |
//! | --- | --- |
//! | a TCP socket with `SO_LINGER` | until its unsent bytes are acknowledged, or for the linger time |
//! | a Unix socket | for whatever is in its queue of received messages, for example such a socket |
//! | a file on FUSE or a network file system | until the server has answered `FLUSH` |
//! | a pipe, an epoll instance | for a call in another process that holds its lock |
//! | a terminal, another device | for its driver |
//! | a deleted file | until its blocks are freed |
//!
//! Asking first does not help: the sender shares the object, and can change a socket's linger time
//! or delete a file at any moment. So only files in memory and existing files on local file systems
//! are closed by the caller. Everything else is closed by threads of the process:
//!
//! ```text
//!  close ──► caller: files in memory, existing local files
//!       └──► queue ──► sorting thread ──► an exiting thread: sockets, pipes, kernel objects
//!                                    └──► up to 16 waiting threads: other files, devices
//! ```
//!
//! | file | contents |
//! | --- | --- |
//! | `class.rs` | what may wait |
//! | `queue.rs` | the queue and its threads |
//! | `exit.rs` | closes descriptors in a thread that exits, which waits for no linger time |

mod class;
mod exit;
mod queue;

use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};

use crate::{Errno, ForeignFd, sys};

/// Returns whether closing a descriptor cannot wait for another process.
///
/// # Errors
///
/// `EBADF` if it is not open.
pub fn closes_at_once(fd: &impl AsFd) -> Result<bool, Errno> {
    class::closes_at_once(fd.as_fd())
}

/// Closes a descriptor: at once if that cannot wait, otherwise in a thread.
pub(crate) fn close(fd: OwnedFd) {
    match class::closes_at_once(fd.as_fd()) {
        Ok(true) => drop(fd),
        Ok(false) => queue::push(std::iter::once(fd)),
        // Other code of the process has closed it, and may soon own the number.
        Err(_) => _ = fd.into_raw_fd(),
    }
}

/// Closes descriptors for which [`closes_at_once`] has returned true, with one system call for each
/// run of consecutive numbers.
pub fn close_at_once(fds: &mut Vec<OwnedFd>) {
    while let Some(last) = fds.pop() {
        let mut first = last.as_raw_fd();
        let run = fds.iter().rev().take_while(|fd| {
            let consecutive = fd.as_raw_fd() + 1 == first;
            first -= i32::from(consecutive);
            consecutive
        });
        let run = fds.len() - run.count();
        if run < fds.len() && sys::close_range(first, last.as_raw_fd()).is_ok() {
            for closed in fds.drain(run..).chain([last]) {
                let _number = closed.into_raw_fd();
            }
        }
    }
}

/// Leaves descriptors to the closing threads, in one step.
pub fn close_in_thread(fds: impl Iterator<Item = ForeignFd>) {
    queue::push(fds.map(ForeignFd::into_owned));
}

/// Opens the one descriptor that the threads need, so that they can work when the process has
/// reached `RLIMIT_NOFILE`.
///
/// # Errors
///
/// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`.
pub fn prepare() -> Result<(), Errno> {
    exit::prepare()
}

/// Closes unused descriptors, and empties the vector.
///
/// Waits until they are closed, unless that may wait for another process: otherwise those of refused
/// messages could make the process reach `RLIMIT_NOFILE`.
pub fn discard(fds: &mut Vec<ForeignFd>) {
    if fds.is_empty() {
        return;
    }
    let (mut at_once, mut others) = (Vec::new(), Vec::new());
    for fd in fds.drain(..) {
        match closes_at_once(&fd) {
            Ok(true) => at_once.push(fd.into_owned()),
            _ => others.push(fd),
        }
    }
    close_at_once(&mut at_once);
    close_in_thread(others.into_iter());
    settle();
}

/// Waits until the threads have closed all descriptors, except those that may wait for another
/// process.
pub fn settle() {
    queue::settle();
}

/// Returns the number of threads that call close(2) of what may wait, or have nothing to do yet.
#[must_use]
pub fn waiting_threads() -> usize {
    queue::waiting_threads()
}

/// Returns the number of descriptors of this process that wait for the threads to close them.
#[must_use]
pub fn pending() -> usize {
    queue::pending()
}
