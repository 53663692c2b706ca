//! The memory, the data and the end of a handle of any type.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::rc::Rc;

/// An opaque `uv_handle_t`, or one of the types that begin with one.
pub(crate) type RawHandle = c_void;

// Node 20 exports all of these. The addon would fail to load if one were missing.
unsafe extern "C" {
    fn uv_handle_size(kind: c_int) -> usize;
    fn uv_handle_get_data(handle: *const RawHandle) -> *mut c_void;
    fn uv_handle_set_data(handle: *mut RawHandle, data: *mut c_void);
    fn uv_close(handle: *mut RawHandle, callback: CloseCallback);
    fn uv_ref(handle: *mut RawHandle);
    fn uv_unref(handle: *mut RawHandle);
}

type CloseCallback = unsafe extern "C" fn(handle: *mut RawHandle);

/// The data of a handle. It lives until the handle's close callback, and as long as its function runs:
/// that may run the loop, and so the close callback.
struct Data {
    on_event: Box<dyn Fn()>,
    on_closed: Cell<Option<Box<dyn FnOnce()>>>,
    layout: Layout,
}

/// An initialised handle that is not closing.
///
/// Dropping it without [`close`](Self::close) leaks the handle, which then stays in the loop.
pub(crate) struct Handle {
    raw: NonNull<RawHandle>,
}

impl Handle {
    /// Allocates a handle of the type `kind` (`uv_handle_type`), and initialises it with `init`.
    /// The handle does not keep the loop alive. [`on_event`](Self::on_event) calls the function
    /// `on_event`.
    ///
    /// # Safety
    ///
    /// `init` must be the function of libuv that initialises a handle of that type. If it returns a
    /// negative number, the loop must not refer to the handle; otherwise it must run on this thread
    /// only, and must not be closed before the handle's close callback has run.
    ///
    /// # Errors
    ///
    /// The negative number that `init` has returned.
    pub(crate) unsafe fn new(
        kind: c_int,
        on_event: Box<dyn Fn()>,
        init: impl FnOnce(*mut RawHandle) -> c_int,
    ) -> Result<Self, i32> {
        // SAFETY: the function only returns a number, and has no preconditions.
        let size = unsafe { uv_handle_size(kind) };
        // 16 is the alignment that malloc guarantees, and handles are usually allocated with
        // malloc.
        let layout =
            Layout::from_size_align(size.max(1), 16).expect("the size of a handle is small");
        // SAFETY: the size of the layout is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(raw) = NonNull::new(memory.cast::<RawHandle>()) else {
            handle_alloc_error(layout);
        };
        let status = init(raw.as_ptr());
        if status < 0 {
            // SAFETY: `memory` was allocated above with this layout. The loop has no reference to
            // it by this function's contract.
            unsafe { dealloc(memory, layout) };
            return Err(status);
        }
        let data = Rc::new(Data { on_event, on_closed: Cell::new(None), layout });
        let data = Rc::into_raw(data).cast_mut().cast();
        // SAFETY: `init` has initialised the handle.
        unsafe { uv_handle_set_data(raw.as_ptr(), data) };
        let handle = Self { raw };
        handle.set_ref(false);
        Ok(handle)
    }

    /// Returns the pointer, which is valid until [`close`](Self::close).
    pub(crate) fn as_ptr(&self) -> *mut RawHandle {
        self.raw.as_ptr()
    }

    /// Sets whether the handle keeps the loop alive while it is active.
    pub(crate) fn set_ref(&self, referenced: bool) {
        let raw = self.as_ptr();
        if referenced {
            // SAFETY: the handle is initialised and not closing, since `close` consumes `self`.
            unsafe { uv_ref(raw) };
        } else {
            // SAFETY: the handle is initialised and not closing, since `close` consumes `self`.
            unsafe { uv_unref(raw) };
        }
    }

    /// Stops the handle. The loop calls `on_closed` once it no longer refers to the handle.
    pub(crate) fn close(self, on_closed: Box<dyn FnOnce()>) {
        // SAFETY: the handle is initialised, and its memory is freed only by `closed`, which needs
        // this call.
        let data = unsafe { uv_handle_get_data(self.as_ptr()) };
        // SAFETY: `new` has set the data, whose reference only `closed` releases. There are only
        // shared references to it.
        let data = unsafe { &*data.cast::<Data>() };
        data.on_closed.set(Some(on_closed));
        // SAFETY: the handle is initialised, and closed only once, since this function consumes
        // `self`.
        unsafe { uv_close(self.as_ptr(), closed) };
    }
}

/// Calls the function of a handle for an event.
///
/// # Safety
///
/// `raw` must be the pointer of a [`Handle`] whose close callback has not run. The callbacks of
/// libuv get it.
pub(crate) unsafe fn on_event(raw: *mut RawHandle) {
    // SAFETY: the handle is initialised and not freed by this function's contract.
    let data = unsafe { uv_handle_get_data(raw) }.cast::<Data>();
    // SAFETY: `new` has set the data, whose reference only `closed` releases.
    unsafe { Rc::increment_strong_count(data) };
    // SAFETY: this is the reference that was just counted.
    let data = unsafe { Rc::from_raw(data) };
    (data.on_event)();
}

unsafe extern "C" fn closed(raw: *mut RawHandle) {
    // SAFETY: libuv passes the closed handle, whose memory is still allocated.
    let data = unsafe { uv_handle_get_data(raw) }.cast::<Data>();
    // SAFETY: the pointer is from `Rc::into_raw` in `new`. libuv calls this function once per handle.
    let data = unsafe { Rc::from_raw(data) };
    // SAFETY: `new` has allocated the handle with this layout, and libuv does not use it after the
    // close callback has been called.
    unsafe { dealloc(raw.cast(), data.layout) };
    if let Some(on_closed) = data.on_closed.take() {
        on_closed();
    }
}
