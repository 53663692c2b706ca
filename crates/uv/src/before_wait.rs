//! A wrapper around a `uv_prepare_t` and a `uv_idle_t`, which decide whether the loop waits.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::rc::Rc;

use crate::handle::{Handle, RawHandle, on_event};

// Node 20 exports all of these.
unsafe extern "C" {
    fn uv_prepare_init(uv_loop: *mut c_void, handle: *mut RawHandle) -> c_int;
    fn uv_prepare_start(handle: *mut RawHandle, callback: Callback) -> c_int;
    fn uv_idle_init(uv_loop: *mut c_void, handle: *mut RawHandle) -> c_int;
    fn uv_idle_start(handle: *mut RawHandle, callback: Callback) -> c_int;
    fn uv_idle_stop(handle: *mut RawHandle) -> c_int;
    fn uv_backend_timeout(uv_loop: *const c_void) -> c_int;
}

type Callback = unsafe extern "C" fn(handle: *mut RawHandle);

/// `uv_handle_type` of `uv_idle_t`.
const UV_IDLE: c_int = 6;

/// `uv_handle_type` of `uv_prepare_t`.
const UV_PREPARE: c_int = 9;

/// Calls a function each time before the loop would wait for events. The function decides whether
/// it waits.
///
/// If it does not wait, the loop handles the events that are ready, runs everything else that
/// belongs to an iteration (timers, immediates, closing handles), and then calls the function
/// again.
///
/// Dropping it without [`close`](Self::close) leaks its handles, which then stay in the loop.
pub struct BeforeWait {
    prepare: Handle,
    /// While it is active, the loop does not wait.
    idle: Handle,
    is_open: Rc<Cell<bool>>,
}

/// The loop that is about to wait.
pub struct AboutToWait {
    uv_loop: *mut c_void,
}

impl BeforeWait {
    /// Makes the loop call `skips` each time before it would wait. If that returns true, the loop
    /// does not wait.
    ///
    /// The handles do not keep the loop alive.
    ///
    /// # Safety
    ///
    /// `uv_loop` must be the loop of the calling thread, must run only on this thread, and must not
    /// be closed before the function that is passed to [`close`](Self::close) has run.
    ///
    /// # Errors
    ///
    /// libuv's error number (negative).
    pub unsafe fn start(
        uv_loop: *mut c_void,
        skips: Box<dyn Fn(&AboutToWait) -> bool>,
    ) -> Result<Self, i32> {
        // SAFETY: `uv_loop` is valid by this function's contract, and `raw` points to memory of the
        // size and alignment that libuv requires.
        let init = |raw| unsafe { uv_idle_init(uv_loop, raw) };
        // SAFETY: `init` initialises a uv_idle_t, and adds it to the loop only if it succeeds. The
        // loop is as required by this function's contract.
        let idle = unsafe { Handle::new(UV_IDLE, Box::new(|| {}), init) }?;
        let raw_idle = idle.as_ptr();
        let about_to_wait = AboutToWait { uv_loop };
        let is_open = Rc::new(Cell::new(true));
        let still_open = Rc::clone(&is_open);
        let on_prepare = Box::new(move || {
            // SAFETY: this is the callback of `prepare`, which `close` closes before `idle`.
            unsafe { uv_idle_stop(raw_idle) };
            if skips(&about_to_wait) && still_open.get() {
                // SAFETY: as above. `skips` may have closed the handles, but then `close` was called.
                unsafe { uv_idle_start(raw_idle, idled) };
            }
        });
        // SAFETY: as for `idle`.
        let init = |raw| unsafe { uv_prepare_init(uv_loop, raw) };
        // SAFETY: `init` initialises a uv_prepare_t, and otherwise as for `idle`.
        let prepare = match unsafe { Handle::new(UV_PREPARE, on_prepare, init) } {
            Ok(prepare) => prepare,
            Err(status) => {
                idle.close(Box::new(|| {}));
                return Err(status);
            }
        };
        // SAFETY: the handle is initialised and not closing. Starting it cannot fail.
        unsafe { uv_prepare_start(prepare.as_ptr(), prepared) };
        Ok(Self { prepare, idle, is_open })
    }

    /// Stops calling the function. The loop calls `on_closed` once it no longer refers to the
    /// handles.
    pub fn close(self, on_closed: Box<dyn FnOnce()>) {
        let Self { prepare, idle, is_open } = self;
        is_open.set(false);
        prepare.close(Box::new(move || idle.close(on_closed)));
    }
}

impl AboutToWait {
    /// Returns whether the loop has something to do without waiting for it, such as an immediate or
    /// a timer that was due when the iteration began.
    #[must_use]
    pub fn has_work(&self) -> bool {
        // SAFETY: the loop is alive, since it calls the function that has this reference.
        unsafe { uv_backend_timeout(self.uv_loop) == 0 }
    }
}

unsafe extern "C" fn prepared(handle: *mut RawHandle) {
    // SAFETY: libuv passes the handle that `start` has initialised.
    unsafe { on_event(handle) };
}

/// An idle handle needs a callback. It has nothing to do.
unsafe extern "C" fn idled(_handle: *mut RawHandle) {}
