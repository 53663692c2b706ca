//! A wrapper around `uv_poll_t`. The node binary exports the eight libuv functions that it calls.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// An opaque `uv_handle_t` or `uv_poll_t`.
type Handle = c_void;

// Node 20 exports all of these. The addon would fail to load if one were missing.
unsafe extern "C" {
    fn uv_handle_size(kind: c_int) -> usize;
    fn uv_handle_get_data(handle: *const Handle) -> *mut c_void;
    fn uv_handle_set_data(handle: *mut Handle, data: *mut c_void);
    fn uv_poll_init(uv_loop: *mut c_void, handle: *mut Handle, fd: c_int) -> c_int;
    fn uv_poll_start(handle: *mut Handle, events: c_int, callback: PollCallback) -> c_int;
    fn uv_close(handle: *mut Handle, callback: CloseCallback);
    fn uv_ref(handle: *mut Handle);
    fn uv_unref(handle: *mut Handle);
}

type PollCallback = unsafe extern "C" fn(handle: *mut Handle, status: c_int, events: c_int);
type CloseCallback = unsafe extern "C" fn(handle: *mut Handle);

/// `uv_handle_type` of `uv_poll_t`.
const UV_POLL: c_int = 8;

/// `UV_READABLE` of `enum uv_poll_event`.
const UV_READABLE: c_int = 1;

/// The data of a handle, which lives until the handle's close callback.
struct Data {
    on_readable: Box<dyn Fn()>,
    on_closed: Cell<Option<Box<dyn FnOnce()>>>,
    layout: Layout,
}

/// A handle that polls a descriptor for readability until it is closed.
///
/// Dropping it without [`close`](Self::close) leaks the handle, which then stays in the loop.
pub struct Poll {
    handle: NonNull<Handle>,
}

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
        // SAFETY: the function only returns a number, and has no preconditions.
        let size = unsafe { uv_handle_size(UV_POLL) };
        // 16 is the alignment that malloc guarantees, and handles are usually allocated with
        // malloc.
        let layout =
            Layout::from_size_align(size.max(1), 16).expect("the size of a handle is small");
        // SAFETY: the size of the layout is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(handle) = NonNull::new(memory.cast::<Handle>()) else {
            handle_alloc_error(layout);
        };
        // SAFETY: `uv_loop` is valid by this function's contract, `handle` points to memory of the
        // size and alignment that libuv requires, and `fd` is open because it is borrowed.
        let status = unsafe { uv_poll_init(uv_loop, handle.as_ptr(), fd.as_raw_fd()) };
        if status < 0 {
            // SAFETY: `memory` was allocated above with this layout. The loop has no reference to
            // it, because uv_poll_init failed.
            unsafe { dealloc(memory, layout) };
            return Err(status);
        }
        let data = Box::new(Data { on_readable, on_closed: Cell::new(None), layout });
        // SAFETY: uv_poll_init has initialised the handle.
        unsafe { uv_handle_set_data(handle.as_ptr(), Box::into_raw(data).cast()) };
        let poll = Self { handle };
        poll.set_ref(false);
        // SAFETY: the handle is initialised and not closing.
        let status = unsafe { uv_poll_start(handle.as_ptr(), UV_READABLE, readable) };
        if status < 0 {
            poll.close(Box::new(|| {}));
            return Err(status);
        }
        Ok(poll)
    }

    /// Sets whether the handle keeps the loop alive.
    pub fn set_ref(&self, referenced: bool) {
        let handle = self.handle.as_ptr();
        if referenced {
            // SAFETY: the handle is initialised and not closing, since `close` consumes `self`.
            unsafe { uv_ref(handle) };
        } else {
            // SAFETY: the handle is initialised and not closing, since `close` consumes `self`.
            unsafe { uv_unref(handle) };
        }
    }

    /// Stops polling. The loop calls `on_closed` once it no longer refers to the handle.
    pub fn close(self, on_closed: Box<dyn FnOnce()>) {
        // SAFETY: the handle is initialised, and its memory is freed only by `closed`, which needs
        // this call.
        let data = unsafe { uv_handle_get_data(self.handle.as_ptr()) };
        // SAFETY: `start` has set the data to a leaked box, which only `closed` frees. Until then
        // there are only shared references to it.
        let data = unsafe { &*data.cast::<Data>() };
        data.on_closed.set(Some(on_closed));
        // SAFETY: the handle is initialised, and closed only once, since this function consumes
        // `self`.
        unsafe { uv_close(self.handle.as_ptr(), closed) };
    }
}

unsafe extern "C" fn readable(handle: *mut Handle, _status: c_int, _events: c_int) {
    // SAFETY: libuv passes the handle that `start` has initialised.
    let data = unsafe { uv_handle_get_data(handle) }.cast::<Data>();
    // SAFETY: `start` has set the data to a leaked box, which only `closed` frees. libuv calls
    // `closed` in a later phase of the loop.
    let data = unsafe { &*data };
    // The status can be ignored: it is an error only if polling fails, and the callee checks for
    // ready sockets itself.
    (data.on_readable)();
}

unsafe extern "C" fn closed(handle: *mut Handle) {
    // SAFETY: libuv passes the closed handle, whose memory is still allocated.
    let data = unsafe { uv_handle_get_data(handle) }.cast::<Data>();
    // SAFETY: the pointer is from `Box::into_raw` in `start`. libuv calls this function once per
    // handle, and the handle's other callbacks no longer run.
    let data = unsafe { Box::from_raw(data) };
    // SAFETY: `start` has allocated the handle with this layout, and libuv does not use it after
    // the close callback has been called.
    unsafe { dealloc(handle.cast(), data.layout) };
    if let Some(on_closed) = data.on_closed.take() {
        on_closed();
    }
}
