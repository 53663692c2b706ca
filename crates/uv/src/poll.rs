//! A wrapper around `uv_poll_t`.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::handle::{Handle, RawHandle, on_event};

// Node 20 exports both.
unsafe extern "C" {
    fn uv_poll_init(uv_loop: *mut c_void, handle: *mut RawHandle, fd: c_int) -> c_int;
    fn uv_poll_start(handle: *mut RawHandle, events: c_int, callback: PollCallback) -> c_int;
}

type PollCallback = unsafe extern "C" fn(handle: *mut RawHandle, status: c_int, events: c_int);

/// `uv_handle_type` of `uv_poll_t`.
const UV_POLL: c_int = 8;

/// `UV_READABLE` of `enum uv_poll_event`.
const UV_READABLE: c_int = 1;

/// A handle that polls a descriptor for readability until it is closed.
///
/// Dropping it without [`close`](Self::close) leaks the handle, which then stays in the loop.
pub struct Poll(Handle);

impl Poll {
    /// Makes the loop call `on_readable` whenever `fd` is readable. `fd` must stay open until
    /// [`close`](Self::close).
    ///
    /// The handle keeps the loop alive only after [`set_ref(true)`](Self::set_ref).
    ///
    /// # Safety
    ///
    /// `uv_loop` must be the loop of the calling thread, must run only on this thread, and must not
    /// be closed before the handle's close callback has run.
    ///
    /// # Errors
    ///
    /// libuv's error number (negative) if the descriptor cannot be polled.
    pub unsafe fn start(
        uv_loop: *mut c_void,
        fd: BorrowedFd<'_>,
        on_readable: Box<dyn Fn()>,
    ) -> Result<Self, i32> {
        let init = |raw| {
            // SAFETY: `uv_loop` is valid by this function's contract, `raw` points to memory of the
            // size and alignment that libuv requires, and `fd` is open because it is borrowed.
            unsafe { uv_poll_init(uv_loop, raw, fd.as_raw_fd()) }
        };
        // SAFETY: `init` initialises a uv_poll_t, and adds it to the loop only if it succeeds. The
        // loop is as required by this function's contract.
        let handle = unsafe { Handle::new(UV_POLL, on_readable, init) }?;
        // SAFETY: the handle is initialised and not closing.
        let status = unsafe { uv_poll_start(handle.as_ptr(), UV_READABLE, readable) };
        if status < 0 {
            handle.close(Box::new(|| {}));
            return Err(status);
        }
        Ok(Self(handle))
    }

    /// Sets whether the handle keeps the loop alive.
    pub fn set_ref(&self, referenced: bool) {
        self.0.set_ref(referenced);
    }

    /// Stops polling. The loop calls `on_closed` once it no longer refers to the handle.
    pub fn close(self, on_closed: Box<dyn FnOnce()>) {
        self.0.close(on_closed);
    }
}

unsafe extern "C" fn readable(handle: *mut RawHandle, _status: c_int, _events: c_int) {
    // The status can be ignored: it is an error only if polling fails, and the callee checks for
    // ready sockets itself.
    // SAFETY: libuv passes the handle that `start` has initialised.
    unsafe { on_event(handle) };
}
