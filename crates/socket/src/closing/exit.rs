//! Closes descriptors in a thread that exits.
//!
//! The kernel does not wait for the linger time of a socket that an exiting thread closes
//! (`PF_EXITING` in `inet_release`), and a lock that the object needs holds up only that thread.
//! But threads share one table of descriptors, which the exit of one thread does not close. So:
//!
//! ```text
//!  sorting thread                          exiting thread
//!  ──────────────                          ──────────────
//!                                          leaves the table (close_range, CLOSE_RANGE_UNSHARE)
//!                 ◄──── its address ─────  binds a datagram socket in its own, empty table
//!  sends the descriptors ──SCM_RIGHTS──►   (they stay in the queue of the socket)
//!  closes them: these are not the last
//!  references, so close(2) does not wait
//!                 ────── may exit ──────►  exits, which closes the socket and its queue
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::{Address, Datagram, Errno, MAX_FDS, sys};

/// Maximum number of descriptors of one exiting thread. Their messages must fit into the queue of
/// its socket (`net.unix.max_dgram_qlen`, 10 by default).
pub(super) const BATCH: usize = 8 * MAX_FDS;

/// Size of the stack of a closing thread in bytes.
pub(super) const STACK: usize = 128 * 1024;

/// Closes up to [`BATCH`] descriptors, none of which has a `flush` operation.
///
/// # Errors
///
/// The error of the step that failed, with the descriptors: `ENOSYS` or `EPERM` where a system call
/// filter refuses `CLOSE_RANGE_UNSHARE`, `EAGAIN` (too many threads), `ETOOMANYREFS`, `EMFILE` …
pub(super) fn close(fds: Vec<OwnedFd>) -> Result<(), (Errno, Vec<OwnedFd>)> {
    match send_to_exiting_thread(&fds) {
        Ok(thread) => {
            drop(fds);
            // The thread exits when its channel is closed, and not before the line above.
            drop(thread);
            Ok(())
        }
        Err(errno) => Err((errno, fds)),
    }
}

/// The socket that sends the descriptors, and its address. It stays open, because it is needed most
/// when the process has reached `RLIMIT_NOFILE`.
static SENDER: Mutex<Option<(Datagram, Address)>> = Mutex::new(None);

/// Opens the socket that sends the descriptors.
///
/// # Errors
///
/// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`.
pub(super) fn prepare() -> Result<(), Errno> {
    let mut sender = lock();
    if sender.is_none() {
        let socket = Datagram::new()?;
        // No other process can send to this socket.
        socket.shutdown_receive()?;
        socket.bind(&Address::UNNAMED)?;
        let name = socket.local_address()?;
        *sender = Some((socket, name));
    }
    Ok(())
}

fn lock() -> MutexGuard<'static, Option<(Datagram, Address)>> {
    SENDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns what keeps the thread from exiting.
fn send_to_exiting_thread(fds: &[OwnedFd]) -> Result<Sender<()>, Errno> {
    prepare()?;
    let sender = lock();
    let Some((sender, name)) = &*sender else { return Err(Errno::BADF) };
    let name = name.clone();
    let (report, reported) = channel();
    let (may_exit, exits) = channel();
    thread::Builder::new()
        .name("fdwire-exit".into())
        .stack_size(STACK)
        .spawn(move || hold_until(&exits, &name, &report))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
    let receiver = reported.recv().unwrap_or(Err(Errno::AGAIN))?;
    for fds in fds.chunks(MAX_FDS) {
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        sender.send(&[0], &fds, Some(&receiver))?;
    }
    Ok(may_exit)
}

/// Binds a socket in a table of this thread alone, reports its address, and keeps it open until the
/// thread exits.
fn hold_until(exits: &Receiver<()>, sender: &Address, report: &Sender<Result<Address, Errno>>) {
    let socket = sys::leave_descriptor_table().and_then(|()| bound_socket(sender));
    match socket {
        Ok((socket, address)) => {
            // If this thread closed the socket before it exits, it could wait.
            std::mem::forget(socket);
            let _ = report.send(Ok(address));
        }
        Err(errno) => drop(report.send(Err(errno))),
    }
    let _ = exits.recv();
}

fn bound_socket(sender: &Address) -> Result<(Datagram, Address), Errno> {
    let socket = Datagram::new()?;
    // From here on, no other process can send to this socket.
    socket.connect(sender)?;
    socket.bind(&Address::UNNAMED)?;
    let address = socket.local_address()?;
    Ok((socket, address))
}
