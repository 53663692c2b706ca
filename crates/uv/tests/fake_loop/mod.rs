//! A loop with the functions of libuv that the crate calls. It checks how they are used.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::ptr;

type Callback = unsafe extern "C" fn(handle: *mut c_void);
type PollCallback = unsafe extern "C" fn(handle: *mut c_void, status: c_int, events: c_int);

const UV_IDLE: c_int = 6;
const UV_POLL: c_int = 8;
const UV_PREPARE: c_int = 9;

/// What a handle calls while it is active.
#[derive(Clone, Copy)]
enum Active {
    No,
    Calls(Callback),
    Polls(PollCallback),
}

/// A handle of any type.
#[repr(align(16))]
struct Handle {
    kind: c_int,
    uv_loop: *const Loop,
    data: Cell<*mut c_void>,
    active: Cell<Active>,
    is_referenced: Cell<bool>,
    is_closing: Cell<bool>,
}

/// The loop.
#[derive(Default)]
pub(crate) struct Loop {
    handles: RefCell<Vec<*const Handle>>,
    closing: RefCell<Vec<(*mut c_void, Callback)>>,
    /// The type of handle that cannot be initialised, or started if it is negative.
    pub(crate) fails: Cell<c_int>,
    pub(crate) timeout: Cell<c_int>,
}

impl Loop {
    pub(crate) fn as_ptr(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Runs one iteration: handles that prepare, handles that poll, closed handles.
    pub(crate) fn turn(&self) {
        for kind in [UV_IDLE, UV_PREPARE, UV_POLL] {
            for handle in self.all(kind) {
                // A callback may have closed it since the list was made.
                if !self.has(handle) {
                    continue;
                }
                // SAFETY: the loop forgets a handle before its memory is freed.
                let active = unsafe { &*handle }.active.get();
                let raw = handle.cast_mut().cast();
                match active {
                    Active::No => {}
                    // SAFETY: the handle is active.
                    Active::Calls(callback) => unsafe { callback(raw) },
                    // SAFETY: the handle is active.
                    Active::Polls(callback) => unsafe { callback(raw, 0, 1) },
                }
            }
        }
        for (raw, callback) in self.closing.take() {
            self.handles.borrow_mut().retain(|&handle| !ptr::eq(handle, raw.cast()));
            // SAFETY: the handle was closed with this callback, which is called once.
            unsafe { callback(raw) };
        }
    }

    /// Returns the number of handles that are not closed.
    pub(crate) fn open(&self) -> usize {
        self.handles.borrow().len()
    }

    /// Returns whether an idle handle keeps the loop from waiting.
    pub(crate) fn skips_wait(&self) -> bool {
        self.all(UV_IDLE).into_iter().any(|handle| {
            // SAFETY: the handle is in the loop.
            !matches!(unsafe { &*handle }.active.get(), Active::No)
        })
    }

    /// Returns the number of handles that keep the loop alive.
    pub(crate) fn referenced(&self) -> usize {
        // SAFETY: the handles are in the loop.
        self.handles
            .borrow()
            .iter()
            .filter(|&&handle| unsafe { &*handle }.is_referenced.get())
            .count()
    }

    fn has(&self, handle: *const Handle) -> bool {
        self.handles.borrow().contains(&handle)
    }

    fn all(&self, kind: c_int) -> Vec<*const Handle> {
        // SAFETY: the handles are in the loop.
        let is_kind = |&&handle: &&*const Handle| unsafe { &*handle }.kind == kind;
        self.handles.borrow().iter().filter(is_kind).copied().collect()
    }

    fn init(&self, raw: *mut c_void, kind: c_int) -> c_int {
        if self.fails.get() == kind {
            return -12;
        }
        let handle = Handle {
            kind,
            uv_loop: self,
            data: Cell::new(ptr::null_mut()),
            active: Cell::new(Active::No),
            is_referenced: Cell::new(true),
            is_closing: Cell::new(false),
        };
        assert!(raw.cast::<Handle>().is_aligned());
        // SAFETY: the caller has allocated `uv_handle_size` bytes, and they are aligned.
        unsafe { raw.cast::<Handle>().write(handle) };
        self.handles.borrow_mut().push(raw.cast());
        0
    }
}

/// Returns the handle at a pointer that the crate has passed.
fn handle<'a>(raw: *const c_void) -> &'a Handle {
    // SAFETY: the crate passes initialised handles that are not freed. Miri checks that.
    unsafe { &*raw.cast::<Handle>() }
}

/// Returns the loop at a pointer that the crate has passed.
fn loop_at<'a>(raw: *const c_void) -> &'a Loop {
    // SAFETY: the tests pass a loop that outlives its handles.
    unsafe { &*raw.cast::<Loop>() }
}

fn start(raw: *mut c_void, active: Active) -> c_int {
    let handle = handle(raw);
    assert!(!handle.is_closing.get(), "a closing handle is started");
    // SAFETY: the loop outlives its handles.
    if unsafe { &*handle.uv_loop }.fails.get() == -handle.kind {
        return -12;
    }
    handle.active.set(active);
    0
}

#[unsafe(no_mangle)]
extern "C" fn uv_handle_size(_kind: c_int) -> usize {
    size_of::<Handle>()
}

#[unsafe(no_mangle)]
extern "C" fn uv_handle_get_data(raw: *const c_void) -> *mut c_void {
    handle(raw).data.get()
}

#[unsafe(no_mangle)]
extern "C" fn uv_handle_set_data(raw: *mut c_void, data: *mut c_void) {
    handle(raw).data.set(data);
}

#[unsafe(no_mangle)]
extern "C" fn uv_close(raw: *mut c_void, callback: Callback) {
    let handle = handle(raw);
    assert!(!handle.is_closing.replace(true), "a handle is closed twice");
    handle.active.set(Active::No);
    // SAFETY: the loop outlives its handles.
    unsafe { &*handle.uv_loop }.closing.borrow_mut().push((raw, callback));
}

#[unsafe(no_mangle)]
extern "C" fn uv_ref(raw: *mut c_void) {
    handle(raw).is_referenced.set(true);
}

#[unsafe(no_mangle)]
extern "C" fn uv_unref(raw: *mut c_void) {
    handle(raw).is_referenced.set(false);
}

#[unsafe(no_mangle)]
extern "C" fn uv_poll_init(uv_loop: *mut c_void, raw: *mut c_void, _fd: c_int) -> c_int {
    loop_at(uv_loop).init(raw, UV_POLL)
}

#[unsafe(no_mangle)]
extern "C" fn uv_poll_start(raw: *mut c_void, _events: c_int, callback: PollCallback) -> c_int {
    start(raw, Active::Polls(callback))
}

#[unsafe(no_mangle)]
extern "C" fn uv_prepare_init(uv_loop: *mut c_void, raw: *mut c_void) -> c_int {
    loop_at(uv_loop).init(raw, UV_PREPARE)
}

#[unsafe(no_mangle)]
extern "C" fn uv_prepare_start(raw: *mut c_void, callback: Callback) -> c_int {
    start(raw, Active::Calls(callback))
}

#[unsafe(no_mangle)]
extern "C" fn uv_idle_init(uv_loop: *mut c_void, raw: *mut c_void) -> c_int {
    loop_at(uv_loop).init(raw, UV_IDLE)
}

#[unsafe(no_mangle)]
extern "C" fn uv_idle_start(raw: *mut c_void, callback: Callback) -> c_int {
    start(raw, Active::Calls(callback))
}

#[unsafe(no_mangle)]
extern "C" fn uv_idle_stop(raw: *mut c_void) -> c_int {
    handle(raw).active.set(Active::No);
    0
}

#[unsafe(no_mangle)]
extern "C" fn uv_backend_timeout(uv_loop: *const c_void) -> c_int {
    loop_at(uv_loop).timeout.get()
}
