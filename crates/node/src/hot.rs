//! The functions that are called for each message.
//!
//! A method of a `#[napi]` class costs some 230 ns a call, a raw function with its data pointer 15.
//! So these few are raw, one set an environment: the data pointer is the environment, the first
//! argument the channel's index. Only `lib/` calls them, with arguments whose types it has checked;
//! what is wrong all the same is EINVAL.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::IntoRawFd;
use std::ptr;
use std::rc::Rc;

use fdwire_channel::{DIRECT, Payload, SendError, Sent};
use fdwire_socket::{Address, Errno};
use fdwire_wire::json;
use napi::sys;

use crate::fds::{close, lend};
use crate::outcome::unframeable;
use crate::state::State;
use crate::table::{BAD_ADDRESS, FDS_OUT, FDS_OUT_MAX, NO_ROOM_FOR_FILE, QUEUE_FULL, TAKEN};
use crate::turn::{Inner, bind_function};

/// What a callback of napi is.
type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// The hot functions, by name.
const FUNCTIONS: [(&str, Callback); 7] = [
    ("sendText", send_text),
    ("sendBytes", send_bytes),
    ("sendMany", send_many),
    ("flush", flush),
    ("closeFd", close_fd),
    ("takeFd", take_fd),
    ("want", want),
];

/// Room for a string that is kept between calls (bytes).
const SCRATCH: usize = 64 * 1024;

/// A scratch buffer that grew larger than this is given back (bytes).
const SCRATCH_MAX: usize = 1024 * 1024;

/// How many zero bytes a string needs behind it so that it was not cut: napi writes a terminator,
/// and does not split a character of up to four bytes.
const UNCUT: usize = 4;

/// Makes the hot functions of an environment.
pub(crate) fn functions(inner: &Rc<Inner>) -> napi::Result<Vec<(&'static str, sys::napi_value)>> {
    FUNCTIONS
        .iter()
        .map(|&(name, callback)| Ok((name, bind_function(inner, name, callback)?)))
        .collect()
}

/// `sendText(channel, text, fds?, to?)`: undefined where it is sent, above it the number of the queued message, below it
/// an error.
unsafe extern "C" fn send_text(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: called by napi.
    let call = unsafe { Call::<4>::new(env, info) };
    call.number(|call, state| {
        if call.count == 2
            && let Some(sent) = state.reactor.send_written(call.channel(), |memory, headroom| {
                call.append_text(1, memory, headroom)
            })
        {
            return outcome(sent);
        }
        let text = call.text(1, &mut state.scratch).ok_or(Errno::INVAL.raw_os_error())?;
        let mut scratch = std::mem::take(&mut state.scratch);
        let result = send(call, state, Payload::Offered(&mut scratch, text), true);
        state.scratch = if scratch.len() > SCRATCH_MAX { Vec::new() } else { scratch };
        result
    })
}

/// `sendBytes(channel, bytes, fds?, to?)`: as `sendText`.
unsafe extern "C" fn send_bytes(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: called by napi.
    let call = unsafe { Call::<4>::new(env, info) };
    call.number(|call, state| {
        let bytes = call.bytes(1).ok_or(Errno::INVAL.raw_os_error())?;
        send(call, state, Payload::Borrowed(bytes), false)
    })
}

/// `sendMany(channel, array, to?)`: sends each element of a JSON array; as `sendText`, with the
/// number of those taken in the table.
unsafe extern "C" fn send_many(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: called by napi.
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
                queued_or_failed => last = queued_or_failed,
            }
            if last.is_err() {
                break;
            }
            taken += 1;
        }
        state.memory.table()[TAKEN as usize] = taken;
        state.scratch = if scratch.len() > SCRATCH_MAX { Vec::new() } else { scratch };
        outcome(last)
    })
}

/// `flush()`: sends what streams have gathered.
unsafe extern "C" fn flush(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by napi.
    let call = unsafe { Call::<1>::new(env, info) };
    call.number(|_, state| {
        state.reactor.flush();
        Ok(0.0)
    })
}

/// `closeFd(channel, fd)`: closes a descriptor of JavaScript's.
unsafe extern "C" fn close_fd(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: called by napi.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let owned = state.owned.take(call.integer(1)).ok_or(Errno::BADF.raw_os_error())?;
        let closed = close(owned);
        release(call, state)?;
        closed.map(|()| 0.0).map_err(Errno::raw_os_error)
    })
}

/// `takeFd(channel, fd)`: a descriptor of JavaScript's is the caller's from now on.
unsafe extern "C" fn take_fd(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by napi.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let owned = state.owned.take(call.integer(1)).ok_or(Errno::BADF.raw_os_error())?;
        let _number = owned.into_raw_fd();
        release(call, state)
    })
}

/// `want(channel, wanted)`: whether somebody wants messages.
unsafe extern "C" fn want(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by napi.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let wanted = call.integer(1) != 0;
        state.reactor.set_reading(call.channel(), wanted).map(|()| 0.0).map_err(Errno::raw_os_error)
    })
}

fn release<const N: usize>(call: &Call<N>, state: &mut State) -> Result<f64, i32> {
    // An index of -1 is a set without a channel, or one whose channel has closed.
    if call.integer(0) >= 0 {
        state.reactor.released(call.channel(), 1).map_err(Errno::raw_os_error)?;
    }
    Ok(0.0)
}

/// Sends with the descriptors that stand in the table; the last argument is where to.
fn send(call: &Call<4>, state: &mut State, payload: Payload<'_>, text: bool) -> Result<f64, i32> {
    if call.count <= 2 {
        // Mostly.
        return outcome(state.reactor.send(call.channel(), payload, text, &[], None));
    }
    let to = call.address(3)?;
    let count = usize::try_from(call.integer(2)).unwrap_or(0).min(FDS_OUT_MAX as usize);
    let fds = state.memory.table()[FDS_OUT as usize..][..count]
        .iter()
        .map(|&number| lend(number))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Errno::raw_os_error)?;
    outcome(state.reactor.send(call.channel(), payload, text, &fds, to.as_ref()))
}

#[expect(clippy::cast_precision_loss, reason = "2^53 messages take longer than a process lives")]
fn outcome(sent: Result<Sent, SendError>) -> Result<f64, i32> {
    match sent {
        Ok(Sent::Now) => Ok(0.0),
        Ok(Sent::Queued(seq)) => Ok(seq as f64),
        Err(SendError::Refused(errno)) => Err(errno.raw_os_error()),
        Err(SendError::QueueFull) => Err(-QUEUE_FULL),
        Err(SendError::TooManyFds) => Err(-NO_ROOM_FOR_FILE),
        Err(SendError::Unframeable(why)) => Err(-unframeable(why)),
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
        // SAFETY: the caller's promise; the array has room for `count` values.
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

    /// Runs `work` on the environment's state; its number, undefined for 0, or its error below zero.
    #[inline]
    fn number(&self, work: impl FnOnce(&Self, &mut State) -> Result<f64, i32>) -> sys::napi_value {
        // SAFETY: `bind_function` made the data from an Rc that lives as long as JavaScript runs.
        let inner = unsafe { &*self.data.cast::<Inner>().cast_const() };
        let result = match inner.state.try_borrow_mut() {
            Ok(mut state) => match &mut *state {
                Some(state) => work(self, state),
                None => Err(Errno::BADF.raw_os_error()),
            },
            // No JavaScript runs while the state is borrowed.
            Err(_) => Err(Errno::DEADLK.raw_os_error()),
        };
        let number = result.unwrap_or_else(|errno| f64::from(-errno));
        let mut value = ptr::null_mut();
        if number == 0.0 {
            // What is usual costs no call.
            return value;
        }
        // SAFETY: the environment of this call.
        unsafe { sys::napi_create_double(self.env, number, &raw mut value) };
        value
    }

    fn channel(&self) -> usize {
        usize::try_from(self.integer(0)).unwrap_or(usize::MAX)
    }

    fn integer(&self, at: usize) -> i32 {
        let mut value = -1;
        // SAFETY: an argument of this call; where it is no number the value stays.
        unsafe { sys::napi_get_value_int32(self.env, self.arguments[at], &raw mut value) };
        value
    }

    /// Writes a string argument into `scratch`; its length, None where it is no string.
    fn text(&self, at: usize, scratch: &mut Vec<u8>) -> Option<usize> {
        if scratch.len() < SCRATCH {
            scratch.resize(SCRATCH, 0);
        }
        let written = self.write_text(at, scratch)?;
        if written + UNCUT < scratch.len() {
            return Some(written);
        }
        let mut needed = 0;
        // SAFETY: without a buffer napi gives the length only.
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
        scratch.resize(scratch.len().max(needed + UNCUT + 1), 0);
        self.write_text(at, scratch)
    }

    /// Appends `headroom` bytes and a short string argument to memory that has room for both; the
    /// string's length. None where it is no string or longer, and the memory is as it was then.
    #[inline]
    fn append_text(&self, at: usize, memory: &mut Vec<u8>, headroom: usize) -> Option<usize> {
        let begin = memory.len() + headroom;
        let free = memory.spare_capacity_mut().get_mut(headroom..)?;
        let room = free.len().min(DIRECT);
        let mut written = 0;
        // SAFETY: napi writes at most `room` bytes, which is how much is free.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                self.arguments[at],
                free.as_mut_ptr().cast(),
                room,
                &raw mut written,
            )
        };
        if status != sys::Status::napi_ok || written + UNCUT >= room {
            return None;
        }
        memory.resize(begin, 0);
        // SAFETY: napi has written these bytes, behind those that `resize` has.
        unsafe { memory.set_len(begin + written) };
        Some(written)
    }

    fn write_text(&self, at: usize, into: &mut [u8]) -> Option<usize> {
        let mut written = 0;
        // SAFETY: napi writes at most `into.len()` bytes, a terminator among them.
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

    /// The bytes of a Buffer or Uint8Array argument, None where it is neither.
    fn bytes(&self, at: usize) -> Option<&[u8]> {
        let (mut data, mut length) = (ptr::null_mut(), 0);
        // SAFETY: an argument of this call.
        let status = unsafe {
            sys::napi_get_buffer_info(self.env, self.arguments[at], &raw mut data, &raw mut length)
        };
        if status != sys::Status::napi_ok {
            return None;
        }
        if length == 0 {
            return Some(&[]);
        }
        // SAFETY: the argument keeps its memory alive during the call, in which no JavaScript runs.
        Some(unsafe { std::slice::from_raw_parts(data.cast::<u8>().cast_const(), length) })
    }

    /// A destination: a string, bytes, or nothing.
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
