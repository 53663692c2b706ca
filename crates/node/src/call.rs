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

/// The size of the scratch buffer (bytes).
const SCRATCH: usize = 64 * 1024;

/// The number of free bytes after a written string that shows that it is whole: napi truncates a
/// string that does not fit at a character, which has up to four bytes, and writes a terminator.
const UNTRUNCATED: usize = 4;

/// One call of a hot function that has up to `N` arguments.
pub(crate) struct Call<const N: usize> {
    env: sys::napi_env,
    arguments: [sys::napi_value; N],
    /// The number of arguments that JavaScript passed.
    pub(crate) count: usize,
    data: *mut c_void,
}

impl<const N: usize> Call<N> {
    /// Reads the arguments.
    ///
    /// # Safety
    ///
    /// `env` and `info` are those of a callback that `bind_function` made.
    #[inline]
    pub(crate) unsafe fn new(env: sys::napi_env, info: sys::napi_callback_info) -> Self {
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

    /// Calls `work` with the state of the environment. Returns its number, undefined for 0, or its
    /// error, negated.
    #[inline]
    pub(crate) fn number(
        &self,
        work: impl FnOnce(&Self, &mut State) -> Result<f64, i32>,
    ) -> sys::napi_value {
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

    /// Returns the index in the first argument.
    #[inline]
    pub(crate) fn channel(&self) -> usize {
        usize::try_from(self.integer(0)).unwrap_or(usize::MAX)
    }

    /// Returns a number argument; -1 for other types.
    #[inline]
    pub(crate) fn integer(&self, at: usize) -> i32 {
        let mut value = -1;
        // SAFETY: the value is an argument of this call. Unless it is a number, `value` does not
        // change.
        unsafe { sys::napi_get_value_int32(self.env, self.arguments[at], &raw mut value) };
        value
    }

    /// Writes a string argument into `scratch`. Returns its length; None unless it is a string.
    #[inline]
    pub(crate) fn text(&self, at: usize, scratch: &mut Vec<u8>) -> Option<usize> {
        if scratch.len() < SCRATCH {
            scratch.resize(SCRATCH, 0);
        }
        let written = self.write_text(at, scratch)?;
        if written + UNTRUNCATED < scratch.len() {
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
        scratch.resize(scratch.len().max(needed + UNTRUNCATED + 1), 0);
        self.write_text(at, scratch)
    }

    /// Appends `headroom` zero bytes and a short string argument to memory that has room for both.
    /// Returns the length of the string.
    ///
    /// Returns None, and leaves the memory as it is, if the argument is not a string or is too
    /// long.
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
        // writes no more.
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
        // SAFETY: `resize` has written the bytes up to `begin`, and napi `written` bytes after
        // them.
        unsafe { memory.set_len(begin + written) };
        Some(written)
    }

    /// Writes a string argument, truncated to the length of `into`. Returns its length; None unless
    /// it is a string.
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

    /// Returns the bytes of a Buffer or Uint8Array argument; None for other types.
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
        // SAFETY: napi returned `length` bytes at `data`. The argument keeps them alive during the
        // call, and no JavaScript runs that could change or detach them.
        Some(unsafe { std::slice::from_raw_parts(data.cast::<u8>().cast_const(), length) })
    }

    /// Returns the destination in an argument: a string, bytes, or neither.
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
