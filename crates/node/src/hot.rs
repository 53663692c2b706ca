//! The functions that are called for each message.
//!
//! A call of a `#[napi]` class's method costs about 230 ns, one of a raw function with a data pointer
//! 15 ns. Each environment has one set of these raw functions. Their data pointer is the environment,
//! their first argument the index of a channel. Only `lib/` calls them, and has checked the types of the
//! arguments; other types are EINVAL.
//!
//! A function returns undefined or a positive number if it succeeds. A negative number is a negated errno
//! or one of the error codes in `table.rs`.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::IntoRawFd;
use std::ptr;
use std::rc::Rc;

use fdwire_channel::{DIRECT, Payload, SendError, Sent};
use fdwire_socket::{Address, Errno};
use fdwire_wire::codec::Unframeable;
use fdwire_wire::json;
use napi::sys;

use crate::counters;
use crate::fds::{close, lend};
use crate::state::State;
use crate::table::{
    BAD_ADDRESS, FDS_OUT, FDS_OUT_MAX, HAS_DELIMITER, NO_ROOM_FOR_FILE, QUEUE_FULL, TAKEN, TOO_LONG,
};
use crate::turn::{Inner, bind_function};

type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// The hot functions and their names in JavaScript.
const FUNCTIONS: [(&str, Callback); 9] = [
    ("sendText", send_text),
    ("sendBytes", send_bytes),
    ("sendMany", send_many),
    ("flush", flush),
    ("closeFd", close_fd),
    ("takeFd", take_fd),
    ("setReading", set_reading),
    ("stats", stats),
    ("close", close_channel),
];

/// The size of the scratch buffer (bytes).
const SCRATCH: usize = 64 * 1024;

/// The size above which the scratch buffer is freed after a call (bytes).
const SCRATCH_MAX: usize = 1024 * 1024;

/// The free bytes behind a written string that prove that it is whole. napi truncates a string that does
/// not fit before its terminator, and at the start of a character, which has up to four bytes.
const UNTRUNCATED: usize = 4;

/// Makes the hot functions of an environment.
pub(crate) fn functions(inner: &Rc<Inner>) -> napi::Result<Vec<(&'static str, sys::napi_value)>> {
    FUNCTIONS
        .iter()
        .map(|&(name, callback)| Ok((name, bind_function(inner, name, callback)?)))
        .collect()
}

/// `sendText(channel, text, fds?, to?)` sends a text with the first `fds` descriptors of the table.
///
/// Returns undefined if the kernel has taken the message, or if a stream has gathered no more than its
/// high-water mark; else the positive number of the queued message.
unsafe extern "C" fn send_text(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<4>::new(env, info) };
    call.number(|call, state| {
        if call.count == 2
            && let Some(sent) = state.reactor.send_written(call.channel(), |memory, headroom| {
                call.append_text(1, memory, headroom)
            })
        {
            return returned(sent);
        }
        let text = call.text(1, &mut state.scratch).ok_or(Errno::INVAL.raw_os_error())?;
        let mut scratch = std::mem::take(&mut state.scratch);
        let result = send(call, state, Payload::Offered(&mut scratch, text), true);
        state.scratch = if scratch.len() > SCRATCH_MAX { Vec::new() } else { scratch };
        result
    })
}

/// `sendBytes(channel, bytes, fds?, to?)` sends bytes, as `sendText` sends a text.
unsafe extern "C" fn send_bytes(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<4>::new(env, info) };
    call.number(|call, state| {
        let bytes = call.bytes(1).ok_or(Errno::INVAL.raw_os_error())?;
        send(call, state, Payload::Borrowed(bytes), false)
    })
}

/// `sendMany(channel, array, to?)` sends each element of a JSON array until one fails.
///
/// Returns the same as `sendText` for the last one. The word `TAKEN` of the table is the number of elements
/// that were sent or queued.
unsafe extern "C" fn send_many(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<3>::new(env, info) };
    call.number(|call, state| {
        let text = call.text(1, &mut state.scratch).ok_or(Errno::INVAL.raw_os_error())?;
        let to = call.address(2)?;
        let scratch = std::mem::take(&mut state.scratch);
        let (mut taken, mut last) = (0, Ok(Sent::Now));
        for element in json::elements(&scratch[..text]) {
            let payload = Payload::Borrowed(element);
            match state.reactor.send(call.channel(), payload, true, &[], to.as_ref()) {
                Ok(Sent::Now) => {}
                other => last = other,
            }
            if last.is_err() {
                break;
            }
            taken += 1;
        }
        state.memory.table()[TAKEN as usize] = taken;
        state.scratch = if scratch.len() > SCRATCH_MAX { Vec::new() } else { scratch };
        returned(last)
    })
}

/// `flush()` sends the messages that streams have gathered.
unsafe extern "C" fn flush(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<1>::new(env, info) };
    call.number(|_, state| {
        state.reactor.flush();
        Ok(0.0)
    })
}

/// `closeFd(channel, fd)` closes a descriptor that JavaScript owns and that `channel` received; -1 for
/// none.
unsafe extern "C" fn close_fd(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let owned = state.owned.take(call.integer(1)).ok_or(Errno::BADF.raw_os_error())?;
        let closed = close(owned);
        release(call, state)?;
        closed.map(|()| 0.0).map_err(Errno::raw_os_error)
    })
}

/// `takeFd(channel, fd)` gives a descriptor that JavaScript owns to the caller.
unsafe extern "C" fn take_fd(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let owned = state.owned.take(call.integer(1)).ok_or(Errno::BADF.raw_os_error())?;
        let _number = owned.into_raw_fd();
        release(call, state)
    })
}

/// `setReading(channel, reading)` sets whether messages are read from the socket (0 or 1).
unsafe extern "C" fn set_reading(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let reading = call.integer(1) != 0;
        state
            .reactor
            .set_reading(call.channel(), reading)
            .map(|()| 0.0)
            .map_err(Errno::raw_os_error)
    })
}

/// `stats(channel)` writes the counters of a channel into the table.
unsafe extern "C" fn stats(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<1>::new(env, info) };
    call.number(|call, state| {
        let channel = state.reactor.channel(call.channel());
        counters::write(channel.ok_or(Errno::BADF.raw_os_error())?, state.memory.table());
        Ok(0.0)
    })
}

/// `close(channel)` closes a channel or a listener, and removes the path that it has bound. It writes the
/// last counters of a channel into the table.
unsafe extern "C" fn close_channel(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<1>::new(env, info) };
    call.number(|call, state| {
        match state.remove(call.channel()) {
            Some(channel) => counters::write(&channel, state.memory.table()),
            None => drop(state.reactor.remove_listener(call.channel())),
        }
        Ok(0.0)
    })
}

/// Counts a descriptor as no longer open for the channel that received it.
fn release<const N: usize>(call: &Call<N>, state: &mut State) -> Result<f64, i32> {
    // The index is -1 if no channel received the descriptor, or if that channel is closed.
    if call.integer(0) >= 0 {
        state.reactor.released(call.channel(), 1).map_err(Errno::raw_os_error)?;
    }
    Ok(0.0)
}

/// Sends a payload with the descriptors in the table, as the arguments 2 and 3 say.
fn send(call: &Call<4>, state: &mut State, payload: Payload<'_>, text: bool) -> Result<f64, i32> {
    if call.count <= 2 {
        // Fast path: no descriptors, no explicit destination.
        return returned(state.reactor.send(call.channel(), payload, text, &[], None));
    }
    let to = call.address(3)?;
    let count = usize::try_from(call.integer(2)).unwrap_or(0).min(FDS_OUT_MAX as usize);
    let fds = state.memory.table()[FDS_OUT as usize..][..count]
        .iter()
        .map(|&number| lend(number))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Errno::raw_os_error)?;
    returned(state.reactor.send(call.channel(), payload, text, &fds, to.as_ref()))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no process lives long enough to queue 2^53 messages"
)]
fn returned(sent: Result<Sent, SendError>) -> Result<f64, i32> {
    match sent {
        Ok(Sent::Now) => Ok(0.0),
        Ok(Sent::Queued(seq)) => Ok(seq as f64),
        Err(SendError::Refused(errno)) => Err(errno.raw_os_error()),
        Err(SendError::QueueFull) => Err(-QUEUE_FULL),
        Err(SendError::TooManyFds) => Err(-NO_ROOM_FOR_FILE),
        Err(SendError::Unframeable(why)) => Err(-unframeable(why)),
    }
}

/// Returns the error code of a payload that a protocol cannot carry.
pub(crate) fn unframeable(why: Unframeable) -> i32 {
    match why {
        Unframeable::Delimiter => HAS_DELIMITER,
        Unframeable::TooLong => TOO_LONG,
    }
}

/// The arguments of one call.
struct Call<const N: usize> {
    env: sys::napi_env,
    arguments: [sys::napi_value; N],
    count: usize,
    data: *mut c_void,
}

impl<const N: usize> Call<N> {
    /// # Safety
    ///
    /// `env` and `info` are those of a callback that `bind_function` made.
    #[inline]
    unsafe fn new(env: sys::napi_env, info: sys::napi_callback_info) -> Self {
        let mut call =
            Self { env, arguments: [ptr::null_mut(); N], count: N, data: ptr::null_mut() };
        // SAFETY: the caller promises that `env` and `info` belong together. The array has room for
        // `count` values.
        unsafe {
            sys::napi_get_cb_info(
                env,
                info,
                &raw mut call.count,
                call.arguments.as_mut_ptr(),
                ptr::null_mut(),
                &raw mut call.data,
            )
        };
        call
    }

    /// Calls `work` with the state of the environment. Returns its number, undefined for 0, or its error,
    /// negated.
    #[inline]
    fn number(&self, work: impl FnOnce(&Self, &mut State) -> Result<f64, i32>) -> sys::napi_value {
        // SAFETY: `bind_function` set the data to an `Inner` that lives as long as JavaScript runs.
        let inner = unsafe { &*self.data.cast::<Inner>().cast_const() };
        let result = match inner.state.try_borrow_mut() {
            Ok(mut state) => match &mut *state {
                Some(state) => work(self, state),
                None => Err(Errno::BADF.raw_os_error()),
            },
            // Does not happen: no JavaScript runs while the state is borrowed.
            Err(_) => Err(Errno::DEADLK.raw_os_error()),
        };
        let number = result.unwrap_or_else(|errno| f64::from(-errno));
        let mut value = ptr::null_mut();
        if number == 0.0 {
            // The usual result, undefined, costs no call into Node-API.
            return value;
        }
        // SAFETY: `env` is the environment of this call, whose handle scope is open.
        unsafe { sys::napi_create_double(self.env, number, &raw mut value) };
        value
    }

    fn channel(&self) -> usize {
        usize::try_from(self.integer(0)).unwrap_or(usize::MAX)
    }

    fn integer(&self, at: usize) -> i32 {
        let mut value = -1;
        // SAFETY: the value is an argument of this call. Unless it is a number, `value` does not change.
        unsafe { sys::napi_get_value_int32(self.env, self.arguments[at], &raw mut value) };
        value
    }

    /// Writes a string argument into `scratch`. Returns its length; None unless it is a string.
    fn text(&self, at: usize, scratch: &mut Vec<u8>) -> Option<usize> {
        if scratch.len() < SCRATCH {
            scratch.resize(SCRATCH, 0);
        }
        let written = self.write_text(at, scratch)?;
        if written + UNTRUNCATED < scratch.len() {
            return Some(written);
        }
        let mut needed = 0;
        // SAFETY: the value is an argument of this call. Without a buffer napi only writes `needed`.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                self.arguments[at],
                ptr::null_mut(),
                0,
                &raw mut needed,
            )
        };
        if status != sys::Status::napi_ok {
            return None;
        }
        scratch.resize(scratch.len().max(needed + UNTRUNCATED + 1), 0);
        self.write_text(at, scratch)
    }

    /// Appends `headroom` zero bytes and a short string argument to memory that has room for both.
    /// Returns the length of the string.
    ///
    /// Returns None, and leaves the memory as it is, unless the argument is a string of at most `DIRECT`
    /// bytes.
    #[inline]
    fn append_text(&self, at: usize, memory: &mut Vec<u8>, headroom: usize) -> Option<usize> {
        let begin = memory.len() + headroom;
        let free = memory.spare_capacity_mut().get_mut(headroom..)?;
        let room = free.len().min(DIRECT);
        let mut written = 0;
        // SAFETY: the value is an argument of this call. `free` has at least `room` bytes, and napi writes
        // no more.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                self.arguments[at],
                free.as_mut_ptr().cast(),
                room,
                &raw mut written,
            )
        };
        if status != sys::Status::napi_ok || written + UNTRUNCATED >= room {
            return None;
        }
        memory.resize(begin, 0);
        // SAFETY: `resize` has written the bytes up to `begin`, and napi `written` bytes behind them.
        unsafe { memory.set_len(begin + written) };
        Some(written)
    }

    fn write_text(&self, at: usize, into: &mut [u8]) -> Option<usize> {
        let mut written = 0;
        // SAFETY: the value is an argument of this call. napi writes at most `into.len()` bytes, with the
        // terminator.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                self.arguments[at],
                into.as_mut_ptr().cast(),
                into.len(),
                &raw mut written,
            )
        };
        (status == sys::Status::napi_ok).then_some(written)
    }

    /// Returns the bytes of a Buffer or Uint8Array argument; None for other types.
    fn bytes(&self, at: usize) -> Option<&[u8]> {
        let (mut data, mut length) = (ptr::null_mut(), 0);
        // SAFETY: the value is an argument of this call.
        let status = unsafe {
            sys::napi_get_buffer_info(self.env, self.arguments[at], &raw mut data, &raw mut length)
        };
        if status != sys::Status::napi_ok {
            return None;
        }
        if length == 0 {
            return Some(&[]);
        }
        // SAFETY: napi returned `length` bytes at `data`. The argument keeps them alive during the call, and
        // no JavaScript runs that could change or detach them.
        Some(unsafe { std::slice::from_raw_parts(data.cast::<u8>().cast_const(), length) })
    }

    /// Returns the destination in an argument: a string, bytes, or neither.
    fn address(&self, at: usize) -> Result<Option<Address>, i32> {
        if self.count <= at {
            return Ok(None);
        }
        let mut name = [0; 128];
        let parsed = match self.write_text(at, &mut name) {
            Some(written) => Address::from_bytes(&name[..written]),
            None => match self.bytes(at) {
                Some(bytes) => Address::from_bytes(bytes),
                None => return Ok(None),
            },
        };
        parsed.map(Some).map_err(|_| -BAD_ADDRESS)
    }
}
