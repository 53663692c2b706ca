//! Runs turns in Node's event loop and calls JavaScript with their records; ends the environment.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::os::fd::AsFd;
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

use fdwire_uv::{AboutToWait, BeforeWait, Poll};
use napi::{JsValue, Status, bindgen_prelude::Unknown, sys};

use crate::error::ended;
use crate::state::State;

/// The environment of one thread, which the class, the hot functions and the loop's callback share.
pub(crate) struct Inner {
    pub(crate) env: sys::napi_env,
    /// None once the environment has ended.
    pub(crate) state: RefCell<Option<State>>,
    poll: RefCell<Option<Poll>>,
    /// None until a channel has the option `busyPoll`.
    before_wait: RefCell<Option<BeforeWait>>,
    dispatch: sys::napi_ref,
    context: sys::napi_async_context,
    /// Whether a turn is running. JavaScript runs in a turn, and must not start another.
    pub(crate) in_turn: Cell<bool>,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
}

impl Inner {
    /// Starts to poll the reactor; the end of the environment stops it.
    pub(crate) fn start(
        env: sys::napi_env,
        state: State,
        dispatch: Unknown<'_>,
    ) -> napi::Result<Rc<Self>> {
        let (mut reference, mut context) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `dispatch` is a value of `env`, in whose handle scope this function was called.
        check(unsafe { sys::napi_create_reference(env, dispatch.raw(), 1, &raw mut reference) })?;
        let name = string(env, "fdwire")?;
        // SAFETY: `name` is a value of `env`; napi creates the resource object itself.
        check(unsafe { sys::napi_async_init(env, ptr::null_mut(), name, &raw mut context) })?;
        let uv_loop = loop_of(env)?;

        let inner = Rc::new(Self {
            env,
            state: RefCell::new(Some(state)),
            poll: RefCell::new(None),
            before_wait: RefCell::new(None),
            dispatch: reference,
            context,
            in_turn: Cell::new(false),
            hook: Cell::new(ptr::null_mut()),
        });
        let weak = Rc::downgrade(&inner);
        let on_readable = Box::new(move || {
            if let Some(inner) = weak.upgrade() {
                inner.on_readable();
            }
        });
        let poll = {
            let state = inner.state.borrow();
            let state = state.as_ref().ok_or_else(ended)?;
            // SAFETY: `uv_loop` is the loop of `env`, which runs only on this thread. Node closes
            // the loop only after the cleanup hook is removed, which happens in the handle's close
            // callback. The reactor's descriptor stays open until then.
            unsafe { Poll::start(uv_loop, state.reactor.as_fd(), on_readable) }
        };
        let poll = poll.map_err(|status| failed("uv_poll_start", status))?;
        inner.poll.replace(Some(poll));

        // This reference belongs to the cleanup hook, and also keeps the data of the hot functions
        // alive. `on_environment_end` releases it.
        let data = Rc::into_raw(Rc::clone(&inner)).cast_mut().cast::<c_void>();
        let mut hook = ptr::null_mut();
        // SAFETY: `data` is valid until `on_environment_end`, which runs once.
        check(unsafe {
            sys::napi_add_async_cleanup_hook(env, Some(on_environment_end), data, &raw mut hook)
        })?;
        inner.hook.set(hook);
        Ok(inner)
    }

    /// Makes the loop call [`skips_wait`](Self::skips_wait) before each wait from now on.
    pub(crate) fn start_busy_polling(self: &Rc<Self>) -> napi::Result<()> {
        let mut before_wait = self.before_wait.borrow_mut();
        if before_wait.is_some() {
            return Ok(());
        }
        let weak = Rc::downgrade(self);
        let skips = Box::new(move |about_to_wait: &AboutToWait| {
            weak.upgrade().is_some_and(|inner| inner.skips_wait(about_to_wait))
        });
        // SAFETY: the loop is that of `env`, as in `start`.
        let started = unsafe { BeforeWait::start(loop_of(self.env)?, skips) };
        *before_wait = Some(started.map_err(|status| failed("uv_prepare_start", status))?);
        Ok(())
    }

    /// Sets whether the environment keeps the loop alive.
    pub(crate) fn set_ref(&self, referenced: bool) {
        if let Some(poll) = &*self.poll.borrow() {
            poll.set_ref(referenced);
        }
    }

    /// Runs the turns of all ready channels.
    fn on_readable(&self) {
        // JavaScript may run the event loop while it reads the records of a turn. Another turn
        // would overwrite them.
        if self.in_turn.replace(true) {
            return;
        }
        let polled = match &mut *self.state.borrow_mut() {
            Some(state) => state.reactor.poll(Duration::ZERO).is_ok(),
            None => false,
        };
        while polled && self.run_turn() {}
        self.in_turn.set(false);
    }

    /// Runs the turns of the channels that are due although their descriptors may not be ready.
    ///
    /// Does nothing within a turn, because these turns follow it anyway.
    pub(crate) fn run_due_turns(&self) {
        if !self.in_turn.replace(true) {
            while self.run_turn() {}
            self.in_turn.set(false);
        }
    }

    /// Runs one turn. Returns whether there may be another.
    pub(crate) fn run_turn(&self) -> bool {
        let turn = self.state.borrow_mut().as_mut().and_then(State::next_turn);
        let Some(mut turn) = turn else { return false };
        loop {
            let records = match &mut *self.state.borrow_mut() {
                Some(state) => state.write_records(&mut turn),
                None => return false,
            };
            if records == 0 {
                break;
            }
            if !self.dispatch(turn.channel, records) {
                return false;
            }
        }
        if let Some(state) = &mut *self.state.borrow_mut() {
            state.recycle(turn);
        }
        true
    }

    /// Calls `dispatch(channel, records)`. Returns whether JavaScript can still be called.
    fn dispatch(&self, channel: usize, mut records: i32) -> bool {
        let mut scope = ptr::null_mut();
        // SAFETY: this is the thread of `env`, which has not ended.
        if unsafe { sys::napi_open_handle_scope(self.env, &raw mut scope) } != sys::Status::napi_ok
        {
            return false;
        }
        let alive = loop {
            match self.call(channel, records) {
                sys::Status::napi_ok => break true,
                sys::Status::napi_pending_exception => {
                    // A listener threw an exception, which is uncaught. If the process survives it,
                    // the next call delivers the messages after the one whose listener threw.
                    if !self.raise() {
                        break false;
                    }
                    records = 0;
                }
                // The environment is ending.
                _ => break false,
            }
        };
        // SAFETY: `scope` was opened above, and is the innermost.
        unsafe { sys::napi_close_handle_scope(self.env, scope) };
        alive
    }

    fn call(&self, channel: usize, records: i32) -> sys::napi_status {
        let (mut function, mut receiver) = (ptr::null_mut(), ptr::null_mut());
        let mut arguments = [ptr::null_mut(); 2];
        let channel = i32::try_from(channel).unwrap_or(i32::MAX);
        // SAFETY: `dispatch` is a reference of `env`, and a handle scope is open.
        let status =
            unsafe { sys::napi_get_reference_value(self.env, self.dispatch, &raw mut function) };
        if status != sys::Status::napi_ok {
            return status;
        }
        // SAFETY: a handle scope of `env` is open.
        unsafe { sys::napi_get_global(self.env, &raw mut receiver) };
        // SAFETY: a handle scope of `env` is open.
        unsafe { sys::napi_create_int32(self.env, channel, &raw mut arguments[0]) };
        // SAFETY: a handle scope of `env` is open.
        unsafe { sys::napi_create_int32(self.env, records, &raw mut arguments[1]) };
        // SAFETY: all values are of `env` and of the open handle scope. JavaScript may call back
        // into this environment, since the state is not borrowed.
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

    /// Raises the pending exception as an uncaught one. Returns whether JavaScript can still be
    /// called.
    fn raise(&self) -> bool {
        let mut error = ptr::null_mut();
        // SAFETY: a handle scope of `env` is open.
        let status = unsafe { sys::napi_get_and_clear_last_exception(self.env, &raw mut error) };
        if status != sys::Status::napi_ok {
            return false;
        }
        // SAFETY: `error` is a value of `env` and of the open handle scope.
        unsafe { sys::napi_fatal_exception(self.env, error) == sys::Status::napi_ok }
    }
}

/// Creates a JavaScript function whose data pointer is the environment.
pub(crate) fn bind_function(
    inner: &Rc<Inner>,
    name: &str,
    callback: unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value,
) -> napi::Result<sys::napi_value> {
    let mut function = ptr::null_mut();
    let length = isize::try_from(name.len()).unwrap_or(0);
    // SAFETY: the reference that belongs to the cleanup hook keeps the data alive as long as
    // JavaScript runs. `name` is valid during the call.
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

/// Ends the environment: closes the handle in the loop, then every descriptor.
unsafe extern "C" fn on_environment_end(
    _hook: sys::napi_async_cleanup_hook_handle,
    data: *mut c_void,
) {
    // SAFETY: `data` is the pointer from `Rc::into_raw` in `start`, and this hook runs once.
    let inner = unsafe { Rc::from_raw(data.cast_const().cast::<Inner>()) };
    let (poll, before_wait) = (inner.poll.take(), inner.before_wait.take());
    let closed = move || {
        // The handle polls a descriptor of the state, so the state is dropped only after the handle
        // is closed.
        drop(inner.state.take());
        // SAFETY: `start` has created the context, and only a turn uses it. The loop may have run some
        // since the end of the environment, in which Node refused to call JavaScript.
        unsafe { sys::napi_async_destroy(inner.env, inner.context) };
        let hook = inner.hook.get();
        // SAFETY: the handle that `napi_add_async_cleanup_hook` returned, which is removed only
        // here.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    };
    let close_poll = move || match poll {
        Some(poll) => poll.close(Box::new(closed)),
        None => closed(),
    };
    match before_wait {
        Some(before_wait) => before_wait.close(Box::new(close_poll)),
        None => close_poll(),
    }
}

/// Returns the loop of the environment that calls this function.
fn loop_of(env: sys::napi_env) -> napi::Result<*mut c_void> {
    let mut uv_loop = ptr::null_mut();
    // SAFETY: `env` is alive, since it calls this function.
    check(unsafe { sys::napi_get_uv_event_loop(env, &raw mut uv_loop) })?;
    Ok(uv_loop.cast())
}

fn failed(call: &str, status: i32) -> napi::Error {
    napi::Error::new(Status::GenericFailure, format!("{call} failed: {status}"))
}

fn string(env: sys::napi_env, text: &str) -> napi::Result<sys::napi_value> {
    let mut value = ptr::null_mut();
    let length = isize::try_from(text.len()).unwrap_or(0);
    // SAFETY: `text` is valid during the call, and has `length` bytes.
    check(unsafe {
        sys::napi_create_string_utf8(env, text.as_ptr().cast(), length, &raw mut value)
    })?;
    Ok(value)
}

fn check(status: sys::napi_status) -> napi::Result<()> {
    match Status::from(status) {
        Status::Ok => Ok(()),
        status => Err(napi::Error::new(status, "A call into Node-API failed")),
    }
}
