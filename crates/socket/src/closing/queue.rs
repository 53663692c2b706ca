//! The descriptors that wait to be closed, and the threads that close them.
//!
//! The *sorting thread* never waits: it hands the descriptors to a thread that exits (`exit.rs`),
//! or to the *waiting threads*, which call close(2). Each thread starts when it is needed and ends
//! when it has had nothing to do for a second. A device, such as the mount of one file server, can
//! occupy only some of the waiting threads.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::class::{Class, classify};
use super::exit;

/// Maximum number of waiting threads.
const THREADS: usize = 16;

/// Maximum number of waiting threads that one device occupies.
const THREADS_OF_DEVICE: usize = 2;

/// How long a thread waits for more descriptors before it ends.
const IDLE: Duration = Duration::from_secs(1);

static QUEUE: Mutex<Queue> = Mutex::new(Queue::new());
static TO_SORT: Condvar = Condvar::new();
static TO_CLOSE: Condvar = Condvar::new();
static ALL_SORTED: Condvar = Condvar::new();

/// The number of descriptors that have been pushed and are not closed yet.
static PENDING: AtomicUsize = AtomicUsize::new(0);

/// The number of descriptors that have been pushed and that the sorting thread has not handed on.
static UNSORTED: AtomicUsize = AtomicUsize::new(0);

/// How long [`settle`] waits. It takes about 0.1 ms, unless the machine is overloaded.
const SETTLE: Duration = Duration::from_millis(100);

struct Queue {
    /// Descriptors that the sorting thread has not seen yet.
    unsorted: Vec<OwnedFd>,
    /// Whether the sorting thread runs.
    sorting: bool,
    /// Descriptors for the waiting threads.
    files: VecDeque<File>,
    /// The devices of the descriptors that waiting threads are closing.
    busy: Vec<Device>,
    /// The number of waiting threads, and how many of them have nothing to do.
    threads: usize,
    idle: usize,
}

struct File {
    fd: OwnedFd,
    device: Device,
}

/// The major and minor number of a device; None for a descriptor that waits for no device.
type Device = Option<(u32, u32)>;

/// Returns the number of descriptors that wait to be closed or are being closed in a thread.
pub(super) fn pending() -> usize {
    PENDING.load(Ordering::Relaxed)
}

/// Returns the number of waiting threads.
pub(super) fn waiting_threads() -> usize {
    lock().threads
}

/// Adds descriptors to the queue.
pub(super) fn push(fds: impl Iterator<Item = OwnedFd>) {
    let mut queue = lock();
    let before = queue.unsorted.len();
    queue.unsorted.extend(fds);
    PENDING.fetch_add(queue.unsorted.len() - before, Ordering::Relaxed);
    UNSORTED.fetch_add(queue.unsorted.len() - before, Ordering::Relaxed);
    if queue.sorting {
        TO_SORT.notify_one();
    } else if !queue.unsorted.is_empty() {
        // If no thread can be started, the next call tries again.
        queue.sorting = start("fdwire-close", sort);
    }
}

/// Waits until the sorting thread has handed on all descriptors, so that all but those for the
/// waiting threads are closed. No other process can prolong that.
pub(super) fn settle() {
    if UNSORTED.load(Ordering::Relaxed) > 0 {
        let unsorted = |_: &mut Queue| UNSORTED.load(Ordering::Relaxed) > 0;
        drop(ALL_SORTED.wait_timeout_while(lock(), SETTLE, unsorted));
    }
}

/// Runs the sorting thread.
fn sort() {
    let mut queue = lock();
    loop {
        if queue.unsorted.is_empty() {
            let (waited, timeout) =
                TO_SORT.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue = waited;
            if queue.unsorted.is_empty() && timeout.timed_out() {
                queue.sorting = false;
                return;
            }
            continue;
        }
        let batch = queue.unsorted.len().min(exit::BATCH);
        let batch: Vec<OwnedFd> = queue.unsorted.drain(..batch).collect();
        drop(queue);
        let count = batch.len();
        let files = close_in_exit(batch);
        queue = lock();
        if UNSORTED.fetch_sub(count, Ordering::Relaxed) == count {
            ALL_SORTED.notify_all();
        }
        queue.files.extend(files);
        queue.start_waiting_threads();
    }
}

/// Closes those descriptors that an exiting thread can close, and returns the others.
fn close_in_exit(fds: Vec<OwnedFd>) -> Vec<File> {
    let (mut files, mut exits) = (Vec::new(), Vec::new());
    for fd in fds {
        match classify(fd.as_fd()) {
            Class::AtOnce | Class::InExit => exits.push(fd),
            Class::Waits { device } => files.push(File { fd, device: Some(device) }),
        }
    }
    let count = exits.len();
    if count == 0 {
        return files;
    }
    match exit::close(exits) {
        Ok(()) => drop(PENDING.fetch_sub(count, Ordering::Relaxed)),
        // Closing them may wait now, each for another process.
        Err((_, fds)) => files.extend(fds.into_iter().map(|fd| File { fd, device: None })),
    }
    files
}

/// Runs a waiting thread.
fn close_files() {
    let mut queue = lock();
    loop {
        if let Some(File { fd, device }) = queue.take() {
            queue.start_waiting_threads();
            drop(queue);
            drop(fd);
            PENDING.fetch_sub(1, Ordering::Relaxed);
            queue = lock();
            let at = queue.busy.iter().position(|&busy| busy == device);
            at.map(|at| queue.busy.swap_remove(at));
            continue;
        }
        queue.idle += 1;
        let (waited, timeout) =
            TO_CLOSE.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
        queue = waited;
        queue.idle -= 1;
        if timeout.timed_out() && queue.next().is_none() {
            queue.threads -= 1;
            return;
        }
    }
}

impl Queue {
    const fn new() -> Self {
        Self {
            unsorted: Vec::new(),
            sorting: false,
            files: VecDeque::new(),
            busy: Vec::new(),
            threads: 0,
            idle: 0,
        }
    }

    /// Returns the index of the first file whose device may occupy one more thread.
    fn next(&self) -> Option<usize> {
        self.files.iter().position(|file| {
            let busy = self.busy.iter().filter(|&&busy| busy == file.device).count();
            file.device.is_none() || busy < THREADS_OF_DEVICE
        })
    }

    /// Takes the file at [`next`](Self::next), and records that a thread closes it.
    fn take(&mut self) -> Option<File> {
        let file = self.files.remove(self.next()?)?;
        self.busy.push(file.device);
        Some(file)
    }

    /// Makes sure that a thread takes the next file, unless all threads are waiting.
    fn start_waiting_threads(&mut self) {
        if self.next().is_none() {
            return;
        }
        if self.idle > 0 {
            TO_CLOSE.notify_one();
        } else if self.threads < THREADS && start("fdwire-wait", close_files) {
            self.threads += 1;
        }
    }
}

/// Starts a thread. Returns whether it has started.
fn start(name: &str, run: fn()) -> bool {
    thread::Builder::new().name(name.into()).stack_size(exit::STACK).spawn(run).is_ok()
}

fn lock() -> MutexGuard<'static, Queue> {
    // No code panics while it holds the lock.
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}
