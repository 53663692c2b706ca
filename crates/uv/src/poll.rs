//! `uv_poll_t`, by the eight functions that it takes; their symbols are in the node binary.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// `uv_handle_t` and `uv_poll_t`, which are only handled by pointer.
type Handle = c_void;

// Node 20 has every one of these: a symbol that is missing there would make the addon's load fail.
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

/// What belongs to a handle until its close callback.
struct Data {
    on_readable: Box<dyn Fn()>,
    on_closed: Cell<Option<Box<dyn FnOnce()>>>,
    layout: Layout,
}

/// A descriptor that is polled for reading, until it is closed.
///
/// Dropped without [`close`](Self::close), the handle stays with the loop: only the loop can end it.
pub struct Poll {
    handle: NonNull<Handle>,
}

impl Poll {
    /// Calls `on_readable` from the loop whenever `fd` is readable; it must stay open until closed.
    ///
    /// The loop is kept alive by it only after [`set_ref`](Self::set_ref).
    ///
    /// # Safety
    ///
    /// `uv_loop` is the loop of the calling thread, and it runs on this thread only.
    ///
    /// # Errors
    ///
    /// libuv's error number (negative) when the descriptor can't be polled.
    pub unsafe fn start(
        uv_loop: *mut c_void,
        fd: BorrowedFd<'_>,
        on_readable: Box<dyn Fn()>,
    ) -> Result<Self, i32> {
        // SAFETY: a pure function of its argument.
        let size = unsafe { uv_handle_size(UV_POLL) };
        // 16 is the alignment of malloc, which is what libuv's users allocate handles with.
        let layout = Layout::from_size_align(size.max(1), 16).expect("a handle has a small size");
        // SAFETY: the layout has a size above zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(handle) = NonNull::new(memory.cast::<Handle>()) else {
            handle_alloc_error(layout);
        };
        // SAFETY: the caller vouches for the loop, the memory has the size libuv asked for, and the
        // descriptor is open.
        let status = unsafe { uv_poll_init(uv_loop, handle.as_ptr(), fd.as_raw_fd()) };
        if status < 0 {
            // SAFETY: allocated above with this layout; a handle whose init failed isn't the loop's.
            unsafe { dealloc(memory, layout) };
            return Err(status);
        }
        let data = Box::new(Data { on_readable, on_closed: Cell::new(None), layout });
        // SAFETY: an initialised handle; the box lives until `closed` takes it back.
        unsafe { uv_handle_set_data(handle.as_ptr(), Box::into_raw(data).cast()) };
        let poll = Self { handle };
        poll.set_ref(false);
        // SAFETY: an initialised handle that is not closing.
        let status = unsafe { uv_poll_start(handle.as_ptr(), UV_READABLE, readable) };
        if status < 0 {
            poll.close(Box::new(|| {}));
            return Err(status);
        }
        Ok(poll)
    }

    /// Whether the loop is kept alive by this.
    pub fn set_ref(&self, referenced: bool) {
        let handle = self.handle.as_ptr();
        if referenced {
            // SAFETY: `self` is proof that the handle has not been closed.
            unsafe { uv_ref(handle) };
        } else {
            // SAFETY: as above.
            unsafe { uv_unref(handle) };
        }
    }

    /// Ends the polling; the loop calls `on_closed` when nothing refers to the handle any more.
    pub fn close(self, on_closed: Box<dyn FnOnce()>) {
        // SAFETY: the data was set by `start` and is taken back only by `closed`.
        let data = unsafe { uv_handle_get_data(self.handle.as_ptr()) };
        // SAFETY: the data lives until `closed`, and is only ever shared until then.
        let data = unsafe { &*data.cast::<Data>() };
        data.on_closed.set(Some(on_closed));
        // SAFETY: the handle is initialised, and `self` is consumed: nobody closes it twice.
        unsafe { uv_close(self.handle.as_ptr(), closed) };
    }
}

unsafe extern "C" fn readable(handle: *mut Handle, _status: c_int, _events: c_int) {
    // An error status means that the epoll instance is gone, which happens to nobody: whoever
    // is called finds nothing ready then.
    // SAFETY: libuv calls with the handle that was started, whose data is set.
    let data = unsafe { uv_handle_get_data(handle) }.cast::<Data>();
    // SAFETY: the data lives until `closed`, which libuv calls in a later phase of the loop.
    let data = unsafe { &*data };
    (data.on_readable)();
}

unsafe extern "C" fn closed(handle: *mut Handle) {
    // SAFETY: libuv calls this once, with the handle that was closed.
    let data = unsafe { uv_handle_get_data(handle) }.cast::<Data>();
    // SAFETY: made by `Box::into_raw` in `start`; after this nobody has the pointer.
    let data = unsafe { Box::from_raw(data) };
    // SAFETY: allocated in `start` with this layout; libuv has let go of the handle.
    unsafe { dealloc(handle.cast(), data.layout) };
    if let Some(on_closed) = data.on_closed.take() {
        on_closed();
    }
}
