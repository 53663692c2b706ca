//! The arguments and the result of a call of a hot function.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr;

use fdwire_channel::DIRECT;
use fdwire_socket::{Address, Errno};
use napi::sys;

use crate::state::State;
use crate::table::BAD_ADDRESS;
use crate::turn::Inner;

/// Initial size of the scratch buffer in bytes.
const SCRATCH: usize = 64 * 1024;

/// Largest number of bytes that remain free after a truncated string: one for the terminator, and
/// up to three because napi writes no partial character.
const TRUNCATION_GAP: usize = 4;

/// A call of a hot function with up to `N` arguments.
pub(crate) struct Call<const N: usize> {
    env: sys::napi_env,
    arguments: [sys::napi_value; N],
    /// The number of arguments that JavaScript passed, which may exceed `N`.
    pub(crate) count: usize,
    data: *mut c_void,
}

impl<const N: usize> Call<N> {
    /// Reads the arguments.
    ///
    /// # Safety
    ///
    /// `env` and `info` must be the arguments that napi has passed to a callback of
    /// `bind_function`.
    #[inline]
    pub(crate) unsafe fn new(env: sys::napi_env, info: sys::napi_callback_info) -> Self {
        let mut call =
            Self { env, arguments: [ptr::null_mut(); N], count: N, data: ptr::null_mut() };
        // SAFETY: `env` and `info` are valid by this function's contract, so the call does not
        // fail. The array has room for `count` values; napi fills the unused ones with undefined.
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

    /// Calls `work` with the state of the environment, and returns its number to JavaScript:
    /// undefined for 0, and a negated errno for an error.
    #[inline]
    pub(crate) fn number(
        &self,
        work: impl FnOnce(&Self, &mut State) -> Result<f64, i32>,
    ) -> sys::napi_value {
        let result = match self.environment().state.try_borrow_mut() {
            Ok(mut state) => match &mut *state {
                Some(state) => work(self, state),
                None => Err(Errno::BADF.raw_os_error()),
            },
            // Unreachable: no JavaScript runs while the state is borrowed.
            Err(_) => Err(Errno::DEADLK.raw_os_error()),
        };
        let number = result.unwrap_or_else(|errno| f64::from(-errno));
        let mut value = ptr::null_mut();
        if number == 0.0 {
            // Node-API converts a null pointer to undefined. This is the usual result, and costs no
            // call.
            return value;
        }
        // SAFETY: `env` is the environment of this call, whose handle scope is open.
        unsafe { sys::napi_create_double(self.env, number, &raw mut value) };
        value
    }

    /// Returns the environment.
    #[inline]
    pub(crate) fn environment(&self) -> &Inner {
        // SAFETY: `data` is the pointer that `bind_function` gave to napi, because napi_get_cb_info
        // does not fail in `new`. The cleanup hook keeps that `Inner` alive as long as JavaScript
        // runs.
        unsafe { &*self.data.cast::<Inner>().cast_const() }
    }

    /// Returns the index of the channel, which is the first argument.
    #[inline]
    pub(crate) fn channel(&self) -> usize {
        usize::try_from(self.integer(0)).unwrap_or(usize::MAX)
    }

    /// Returns a number argument, or -1 for other types.
    #[inline]
    pub(crate) fn integer(&self, at: usize) -> i32 {
        let mut value = -1;
        // SAFETY: the value is an argument of this call. Unless it is a number, `value` does not
        // change.
        unsafe { sys::napi_get_value_int32(self.env, self.arguments[at], &raw mut value) };
        value
    }

    /// Writes a string argument into `scratch`, and returns its length in bytes, or None if it is
    /// not a string.
    #[inline]
    pub(crate) fn text(&self, at: usize, scratch: &mut Vec<u8>) -> Option<usize> {
        if scratch.len() < SCRATCH {
            scratch.resize(SCRATCH, 0);
        }
        let written = self.write_text(at, scratch)?;
        if written + TRUNCATION_GAP < scratch.len() {
            return Some(written);
        }
        let mut needed = 0;
        // SAFETY: the value is an argument of this call. Without a buffer napi only writes
        // `needed`.
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
        scratch.resize(scratch.len().max(needed + TRUNCATION_GAP + 1), 0);
        self.write_text(at, scratch)
    }

    /// Writes a string argument into `scratch` in UTF-16, and returns its length in code units, or
    /// None if it is not a string.
    pub(crate) fn utf16(&self, at: usize, scratch: &mut Vec<u16>) -> Option<usize> {
        let mut length = 0;
        // SAFETY: the value is an argument of this call. Without a buffer napi only writes
        // `length`.
        let status = unsafe {
            sys::napi_get_value_string_utf16(
                self.env,
                self.arguments[at],
                ptr::null_mut(),
                0,
                &raw mut length,
            )
        };
        if status != sys::Status::napi_ok {
            return None;
        }
        // One more for the terminator.
        if scratch.len() <= length {
            scratch.resize(length + 1, 0);
        }
        // SAFETY: as above. napi writes at most `scratch.len()` code units, with the terminator.
        unsafe {
            sys::napi_get_value_string_utf16(
                self.env,
                self.arguments[at],
                scratch.as_mut_ptr(),
                scratch.len(),
                &raw mut length,
            )
        };
        Some(length)
    }

    /// Appends `headroom` zero bytes and a short string argument to memory whose capacity has room
    /// for both, and returns the length of the string.
    ///
    /// Returns None and does not change the memory if the argument is not a string or is too long.
    #[inline]
    pub(crate) fn append_text(
        &self,
        at: usize,
        memory: &mut Vec<u8>,
        headroom: usize,
    ) -> Option<usize> {
        let begin = memory.len() + headroom;
        let free = memory.spare_capacity_mut().get_mut(headroom..)?;
        let room = free.len().min(DIRECT);
        let mut written = 0;
        // SAFETY: the value is an argument of this call. `free` has at least `room` bytes, and napi
        // writes at most `room`.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                self.arguments[at],
                free.as_mut_ptr().cast(),
                room,
                &raw mut written,
            )
        };
        if status != sys::Status::napi_ok || written + TRUNCATION_GAP >= room {
            return None;
        }
        memory.resize(begin, 0);
        // SAFETY: napi has initialised `written` bytes from `begin` on, which are within the
        // capacity, and `resize` those before `begin`. `resize` has not reallocated, because `free`
        // starts at `begin`.
        unsafe { memory.set_len(begin + written) };
        Some(written)
    }

    /// Writes a string argument into `into`, truncated to fit, and returns the length written, or
    /// None if the argument is not a string.
    fn write_text(&self, at: usize, into: &mut [u8]) -> Option<usize> {
        let mut written = 0;
        // SAFETY: the value is an argument of this call. napi writes at most `into.len()` bytes,
        // with the terminator.
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

    /// Returns the bytes of a Buffer or Uint8Array argument, or None for other types.
    #[inline]
    pub(crate) fn bytes(&self, at: usize) -> Option<&[u8]> {
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
        // SAFETY: napi returned `length` bytes at `data`, which the argument keeps alive during the
        // call. No JavaScript of this thread runs meanwhile that could change, resize or detach
        // them. If they are those of a SharedArrayBuffer, another thread may change them: callers
        // only search and copy them, so the message may be garbled, but no address or length
        // depends on their values.
        Some(unsafe { std::slice::from_raw_parts(data.cast::<u8>().cast_const(), length) })
    }

    /// Returns the destination in a string or bytes argument, or None for other types.
    pub(crate) fn address(&self, at: usize) -> Result<Option<Address>, i32> {
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
