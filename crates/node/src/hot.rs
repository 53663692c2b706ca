//! The functions that are called for each message.
//!
//! A call of a `#[napi]` method costs about 230 ns, and one of a raw function with a data pointer
//! about 15 ns. Each environment has one set of these raw functions. Their data pointer is the
//! environment, and their first argument is the index of a channel. Only `lib/` calls them, after
//! it has checked the types of the arguments. Other types fail with EINVAL.
//!
//! A function returns undefined or a positive number if it succeeds. A negative number is a negated
//! errno, or one of the error codes in `table.rs`.
#![allow(unsafe_code)]

mod descriptors;

use std::ptr;
use std::rc::Rc;

use fdwire_channel::Payload;
use fdwire_socket::{Errno, Stream, closing};
use napi::sys;

use crate::call::Call;
use crate::counters;
use crate::sending::{queue_gathered, returned, send, send_elements, write_room};
use crate::state::State;
use crate::table::{COUNTERS, TAKEN};
use crate::turn::{Inner, bind_function};

type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// The hot functions and their names in JavaScript.
const FUNCTIONS: [(&str, Callback); 14] = [
    ("sendText", send_text),
    ("sendBytes", send_bytes),
    ("sendMany", send_many),
    ("queue", queue),
    ("flush", flush),
    ("setReading", set_reading),
    ("flushChannel", flush_channel),
    ("shutDown", shut_down),
    ("closeIfIdle", close_if_idle),
    ("stats", stats),
    ("close", close_channel),
    ("connect", connect),
    ("allow", allow),
    ("setRef", set_ref),
];

/// Size in bytes above which the scratch buffer is freed after a call.
const SCRATCH_MAX: usize = 1024 * 1024;

/// Creates the hot functions of an environment.
pub(crate) fn functions(inner: &Rc<Inner>) -> napi::Result<Vec<(&'static str, sys::napi_value)>> {
    FUNCTIONS
        .iter()
        .chain(&descriptors::FUNCTIONS)
        .map(|&(name, callback)| Ok((name, bind_function(inner, name, callback)?)))
        .collect()
}

/// `sendText(channel, text, fds?, to?)` sends a text with the first `fds` descriptors of the table.
///
/// Returns undefined if the kernel has accepted the message or, on a stream, if at most the
/// high-water mark is queued; otherwise the positive sequence number of the queued message.
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
            write_room(call, state);
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
/// Returns the error of the element that failed; otherwise the sequence number of the last element
/// that was queued, or undefined if all were sent. The word `TAKEN` of the table is the number of
/// elements that were sent or queued.
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
        let (taken, last) = send_elements(call, state, &scratch[..text], to.as_ref());
        state.memory.table()[TAKEN as usize] = taken;
        write_room(call, state);
        state.scratch = if scratch.len() > SCRATCH_MAX { Vec::new() } else { scratch };
        returned(last)
    })
}

/// `queue(count, texts)` queues the first `count` gathered messages; see `gathered.rs`.
unsafe extern "C" fn queue(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| queue_gathered(call, state).map(|()| 0.0))
}

/// `flush(count, texts)` queues gathered messages as `queue` does, and sends the queued messages of
/// all streams. Returns 1 if a stream still has some.
unsafe extern "C" fn flush(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let queued = queue_gathered(call, state);
        let backlog = state.reactor.flush();
        queued.map(|()| f64::from(backlog))
    })
}

/// `setReading(channel, reading)` sets whether a channel reads messages: 0: no, 1: yes, 2: yes, and a
/// call waits for one.
unsafe extern "C" fn set_reading(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let reading = call.integer(1);
        state.reactor.set_reading(call.channel(), reading != 0);
        state.reactor.set_awaited(call.channel(), reading == 2);
        Ok(0.0)
    })
}

/// `flushChannel(channel)` sends the queued messages of a stream.
unsafe extern "C" fn flush_channel(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<1>::new(env, info) };
    call.number(|call, state| {
        state.reactor.flush_one(call.channel());
        Ok(0.0)
    })
}

/// `shutDown(channel, peerEnded)` prepares to close a connection. It discards unread input, and
/// half-closes a TCP connection unless its peer has ended it (`peerEnded` is 1). Returns 1 if the
/// caller must wait for the record that reports the peer's end before it closes the channel.
unsafe extern "C" fn shut_down(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        Ok(f64::from(state.reactor.shut_down(call.channel(), call.integer(1) != 0)))
    })
}

/// `closeIfIdle(channel, peerEnded)` discards unread input, closes a channel and writes its last
/// counters into the table. It returns 1 and changes nothing if messages are queued, or if the
/// channel is a TCP connection whose peer has not ended it (`peerEnded` is 0).
unsafe extern "C" fn close_if_idle(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let channel = state.reactor.channel(call.channel());
        let channel = channel.ok_or(Errno::BADF.raw_os_error())?;
        let waits = call.integer(1) == 0 && channel.stream_socket().is_some_and(Stream::is_tcp);
        if waits || channel.seqs().0.is_some() {
            return Ok(1.0);
        }
        state.reactor.shut_down(call.channel(), true);
        close(call.channel(), state);
        Ok(0.0)
    })
}

/// `stats(channel)` writes the counters of a channel into the table.
unsafe extern "C" fn stats(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<1>::new(env, info) };
    call.number(|call, state| {
        let channel = state.reactor.channel(call.channel());
        let channel = channel.ok_or(Errno::BADF.raw_os_error())?;
        counters::write(channel, &mut state.memory.table()[COUNTERS as usize..]);
        Ok(0.0)
    })
}

/// `close(channel)` closes a channel or a listener, and removes the path that it has bound. It
/// writes the last counters of a channel into the table.
unsafe extern "C" fn close_channel(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<1>::new(env, info) };
    call.number(|call, state| {
        close(call.channel(), state);
        Ok(0.0)
    })
}

/// Closes a channel or a listener. Writes the last counters of a channel into the table.
fn close(index: usize, state: &mut State) {
    match state.remove(index) {
        Some(channel) => {
            counters::write(&channel, &mut state.memory.table()[COUNTERS as usize..]);
            drop(channel);
            closing::settle();
        }
        None => drop(state.reactor.remove_listener(index)),
    }
}

/// `connect(address)` connects a Unix stream socket with the options of `prepareConnect`, and
/// returns the index of its channel. `flush` must be called before the event loop waits.
unsafe extern "C" fn connect(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<1>::new(env, info) };
    call.number(|call, state| {
        let peer = call.address(0)?.ok_or(Errno::INVAL.raw_os_error())?;
        let prepared = state.prepared.as_ref().ok_or(Errno::INVAL.raw_os_error())?;
        let channel = prepared.connect(peer, &mut state.reactor);
        channel.map(f64::from).map_err(|error| error.errno.raw_os_error())
    })
}

/// `allow(listener, connections)` sets how many more connections a listener may accept.
unsafe extern "C" fn allow(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<2>::new(env, info) };
    call.number(|call, state| {
        let connections = usize::try_from(call.integer(1)).unwrap_or(0);
        state.reactor.allow(call.channel(), connections);
        Ok(0.0)
    })
}

/// `setRef(referenced)` sets whether the environment keeps the process alive (0 or 1).
unsafe extern "C" fn set_ref(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: napi calls this with the arguments of a callback that `bind_function` made.
    let call = unsafe { Call::<1>::new(env, info) };
    call.environment().set_ref(call.integer(0) != 0);
    ptr::null_mut()
}
