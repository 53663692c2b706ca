//! The way from the loop into JavaScript, and the end of an environment.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::os::fd::AsFd;
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

use fdwire_uv::Poll;
use napi::{JsValue, Status, bindgen_prelude::Unknown, sys};

use crate::state::State;

/// One thread's environment, shared by the class, the hot functions and the loop's callback.
pub(crate) struct Inner {
    pub(crate) env: sys::napi_env,
    /// None once the environment has ended.
    pub(crate) state: RefCell<Option<State>>,
    poll: RefCell<Option<Poll>>,
    dispatch: sys::napi_ref,
    context: sys::napi_async_context,
    turning: Cell<bool>,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
}

impl Inner {
    /// Starts to poll, and sees to it that all ends with the environment.
    pub(crate) fn start(
        env: sys::napi_env,
        state: State,
        dispatch: Unknown<'_>,
    ) -> napi::Result<Rc<Self>> {
        let (mut reference, mut context) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: a value of this environment, whose handle scope is open.
        check(unsafe { sys::napi_create_reference(env, dispatch.raw(), 1, &raw mut reference) })?;
        let name = string(env, "fdwire")?;
        // SAFETY: without a resource object napi makes one.
        check(unsafe { sys::napi_async_init(env, ptr::null_mut(), name, &raw mut context) })?;
        let mut uv_loop = ptr::null_mut();
        // SAFETY: the environment is alive.
        check(unsafe { sys::napi_get_uv_event_loop(env, &raw mut uv_loop) })?;

        let inner = Rc::new(Self {
            env,
            state: RefCell::new(Some(state)),
            poll: RefCell::new(None),
            dispatch: reference,
            context,
            turning: Cell::new(false),
            hook: Cell::new(ptr::null_mut()),
        });
        let polled = Rc::downgrade(&inner);
        let on_readable = Box::new(move || {
            if let Some(inner) = polled.upgrade() {
                inner.on_readable();
            }
        });
        let poll = {
            let state = inner.state.borrow();
            let state = state.as_ref().ok_or_else(ended)?;
            // SAFETY: the loop of this environment, on whose thread this runs. The descriptor is
            // open until `end` has closed the handle.
            unsafe { Poll::start(uv_loop.cast(), state.reactor.as_fd(), on_readable) }
        };
        let poll = poll.map_err(|status| {
            napi::Error::new(Status::GenericFailure, format!("uv_poll: error {status}"))
        })?;
        inner.poll.replace(Some(poll));

        // This count belongs to the hot functions and to the hook; `end` gives it back.
        let data = Rc::into_raw(Rc::clone(&inner)).cast_mut().cast::<c_void>();
        let mut hook = ptr::null_mut();
        // SAFETY: `data` stays valid until `end`, which runs once.
        check(unsafe {
            sys::napi_add_async_cleanup_hook(env, Some(on_environment_end), data, &raw mut hook)
        })?;
        inner.hook.set(hook);
        Ok(inner)
    }

    /// Whether the loop is kept alive.
    pub(crate) fn set_ref(&self, referenced: bool) {
        if let Some(poll) = &*self.poll.borrow() {
            poll.set_ref(referenced);
        }
    }

    /// Lets every ready channel work, and tells JavaScript after each.
    fn on_readable(&self) {
        // A loop that is run inside of a callback would overwrite the memory that is being told.
        if self.turning.replace(true) {
            return;
        }
        let polled = match &mut *self.state.borrow_mut() {
            Some(state) => state.reactor.poll(Duration::ZERO).is_ok(),
            None => false,
        };
        while polled && self.take_turn() {}
        self.turning.set(false);
    }

    /// Lets the channels work that have something to do without a readiness, if none works already:
    /// then their turn comes after its.
    pub(crate) fn work_off(&self) {
        if !self.turning.replace(true) {
            while self.take_turn() {}
            self.turning.set(false);
        }
    }

    /// One channel's turn; whether there may be more.
    fn take_turn(&self) -> bool {
        let turn = self.state.borrow_mut().as_mut().and_then(State::turn);
        let Some(mut turn) = turn else { return false };
        loop {
            let count = match &mut *self.state.borrow_mut() {
                Some(state) => state.tell(&mut turn),
                None => return false,
            };
            if count == 0 {
                break;
            }
            if !self.tell_javascript(turn.channel, count) {
                return false;
            }
        }
        if let Some(state) = &mut *self.state.borrow_mut() {
            state.recycle(turn);
        }
        true
    }

    /// Calls `dispatch(channel, count)`; whether JavaScript can still be called.
    fn tell_javascript(&self, channel: usize, count: i32) -> bool {
        let mut scope = ptr::null_mut();
        // SAFETY: on the environment's thread, from its loop, before its end.
        if unsafe { sys::napi_open_handle_scope(self.env, &raw mut scope) } != sys::Status::napi_ok
        {
            return false;
        }
        let mut alive = true;
        let mut count = count;
        loop {
            match self.call(channel, count) {
                sys::Status::napi_ok => break,
                sys::Status::napi_pending_exception => {
                    // A listener threw. That is an uncaught exception as any other; if the process
                    // lives on, what is behind the listener's message comes with the next call.
                    if !self.raise() {
                        alive = false;
                        break;
                    }
                    count = 0;
                }
                // The environment is ending.
                _ => {
                    alive = false;
                    break;
                }
            }
        }
        // SAFETY: the scope opened above.
        unsafe { sys::napi_close_handle_scope(self.env, scope) };
        alive
    }

    fn call(&self, channel: usize, count: i32) -> sys::napi_status {
        let (mut function, mut receiver) = (ptr::null_mut(), ptr::null_mut());
        let mut arguments = [ptr::null_mut(); 2];
        let channel = i32::try_from(channel).unwrap_or(i32::MAX);
        // SAFETY: a handle scope is open, the reference is the environment's own.
        let status =
            unsafe { sys::napi_get_reference_value(self.env, self.dispatch, &raw mut function) };
        if status != sys::Status::napi_ok {
            return status;
        }
        // SAFETY: as above.
        unsafe { sys::napi_get_global(self.env, &raw mut receiver) };
        // SAFETY: as above.
        unsafe { sys::napi_create_int32(self.env, channel, &raw mut arguments[0]) };
        // SAFETY: as above.
        unsafe { sys::napi_create_int32(self.env, count, &raw mut arguments[1]) };
        // SAFETY: nothing of the state is borrowed: JavaScript may call whatever it likes.
        unsafe {
            sys::napi_make_callback(
                self.env,
                self.context,
                receiver,
                function,
                arguments.len(),
                arguments.as_ptr(),
                ptr::null_mut(),
            )
        }
    }

    /// Makes the pending exception an uncaught one; whether JavaScript can still be called.
    fn raise(&self) -> bool {
        let mut error = ptr::null_mut();
        // SAFETY: a handle scope is open.
        let status = unsafe { sys::napi_get_and_clear_last_exception(self.env, &raw mut error) };
        if status != sys::Status::napi_ok {
            return false;
        }
        // SAFETY: as above; the error is a value of this environment.
        unsafe { sys::napi_fatal_exception(self.env, error) == sys::Status::napi_ok }
    }
}

/// Makes a function of JavaScript whose data is the environment.
pub(crate) fn bind_function(
    inner: &Rc<Inner>,
    name: &str,
    callback: unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value,
) -> napi::Result<sys::napi_value> {
    let mut function = ptr::null_mut();
    let length = isize::try_from(name.len()).unwrap_or(0);
    // SAFETY: the data is valid for as long as JavaScript runs: the count that `start` gave to the
    // cleanup hook keeps it.
    check(unsafe {
        sys::napi_create_function(
            inner.env,
            name.as_ptr().cast(),
            length,
            Some(callback),
            Rc::as_ptr(inner).cast_mut().cast(),
            &raw mut function,
        )
    })?;
    Ok(function)
}

/// The environment ends: no more calls into it, every handle closed, every descriptor too.
unsafe extern "C" fn on_environment_end(
    _hook: sys::napi_async_cleanup_hook_handle,
    data: *mut c_void,
) {
    // SAFETY: the count that `start` gave away; the hook runs once.
    let inner = unsafe { Rc::from_raw(data.cast_const().cast::<Inner>()) };
    // SAFETY: made by `start`; from here on nobody calls into JavaScript.
    unsafe { sys::napi_async_destroy(inner.env, inner.context) };
    let poll = inner.poll.take();
    let closed = move || {
        // Names are removed and descriptors closed here, after the loop has let go of the handle.
        drop(inner.state.take());
        let hook = inner.hook.get();
        // SAFETY: the handle that was given when the hook was added, not removed before.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    };
    match poll {
        Some(poll) => poll.close(Box::new(closed)),
        None => closed(),
    }
}

fn string(env: sys::napi_env, text: &str) -> napi::Result<sys::napi_value> {
    let mut value = ptr::null_mut();
    let length = isize::try_from(text.len()).unwrap_or(0);
    // SAFETY: the text lives during the call.
    check(unsafe {
        sys::napi_create_string_utf8(env, text.as_ptr().cast(), length, &raw mut value)
    })?;
    Ok(value)
}

fn check(status: sys::napi_status) -> napi::Result<()> {
    match Status::from(status) {
        Status::Ok => Ok(()),
        status => Err(napi::Error::new(status, "a call into Node failed")),
    }
}

fn ended() -> napi::Error {
    napi::Error::new(Status::Closing, "the environment has ended")
}
