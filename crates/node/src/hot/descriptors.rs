//! The functions that close and release descriptors of `FdSet`s.
#![allow(unsafe_code)]

use std::os::fd::IntoRawFd;

use fdwire_socket::{Errno, is_tcp as is_tcp_socket};
use napi::sys;

use super::Callback;
use crate::call::Call;
use crate::fds::lend;
use crate::state::State;
use crate::table::{FDS_OUT, FDS_OUT_MAX};

/// The functions of this file and their names in JavaScript.
pub(super) const FUNCTIONS: [(&str, Callback); 5] = [
    ("closeFd", close_fd),
    ("closeFds", close_fds),
    ("takeFd", take_fd),
    ("closeSent", close_sent),
    ("isTcp", is_tcp),
];

/// `closeFd(channel, fd)` closes a descriptor of an `FdSet`. `channel` is the channel that received
/// it, or -1.
unsafe extern "C" fn close_fd(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let closed = state.close(std::iter::once(call.integer(1)));
        release(call, state, 1);
        closed.map(|()| 0.0).map_err(Errno::raw_os_error)
    })
}

/// `closeFds(channel, count)` closes the first `count` descriptors of the table, as `closeFd` does.
unsafe extern "C" fn close_fds(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let count = usize::try_from(call.integer(1)).unwrap_or(0).min(FDS_OUT_MAX as usize);
        let mut numbers = [0; FDS_OUT_MAX as usize];
        numbers[..count].copy_from_slice(&state.memory.table()[FDS_OUT as usize..][..count]);
        let closed = state.close(numbers[..count].iter().copied());
        release(call, state, count);
        closed.map(|()| 0.0).map_err(Errno::raw_os_error)
    })
}

/// `takeFd(channel, fd)` passes the ownership of a descriptor of an `FdSet` to the caller.
/// `channel` is as in `closeFd`.
unsafe extern "C" fn take_fd(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let owned = state.owned.take(call.integer(1)).ok_or(Errno::BADF.raw_os_error())?;
        let _number = owned.into_owned().into_raw_fd();
        release(call, state, 1);
        Ok(0.0)
    })
}

/// `closeSent(count)` closes the first `count` descriptors of the table, which are those of
/// connections in a message that was sent.
unsafe extern "C" fn close_sent(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<1>::new(env, info) };
    call.number(|call, state| {
        let count = usize::try_from(call.integer(0)).unwrap_or(0).min(FDS_OUT_MAX as usize);
        let mut numbers = [0; FDS_OUT_MAX as usize];
        numbers[..count].copy_from_slice(&state.memory.table()[FDS_OUT as usize..][..count]);
        state.close_sent(&numbers[..count]);
        Ok(0.0)
    })
}

/// `isTcp(fd)` returns 1 if a descriptor is a TCP socket.
unsafe extern "C" fn is_tcp(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<1>::new(env, info) };
    call.number(|call, _| Ok(f64::from(lend(call.integer(0)).is_ok_and(is_tcp_socket))))
}

/// Counts descriptors as no longer open for the channel that received them.
fn release<const N: usize>(call: &Call<N>, state: &mut State, fds: usize) {
    // The index is -1 if no channel received the descriptors, or if that channel is closed.
    if call.integer(0) >= 0 {
        state.reactor.released(call.channel(), fds);
    }
}
