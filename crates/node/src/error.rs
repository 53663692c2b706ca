//! Failed system calls, and the JavaScript errors that report them.

use fdwire_socket::SyscallError;
pub(crate) use fdwire_socket::syscall_error;
use napi::bindgen_prelude::{Env, FnArgs, FunctionRef, Unknown};

/// The JavaScript function `makeError(errno, syscall)`, which returns an Error in Node's shape.
pub(crate) type MakeError = FunctionRef<FnArgs<(i32, &'static str)>, Unknown<'static>>;

/// Returns what a method throws for a failed system call: the object that `make_error` returns.
///
/// JavaScript runs, so nothing of the environment's state may be borrowed.
pub(crate) fn thrown(env: Env, make_error: &MakeError, error: SyscallError) -> napi::Error {
    let arguments = FnArgs::from((error.errno.raw_os_error(), error.syscall));
    let made = make_error.borrow_back(&env).and_then(|make_error| make_error.call(arguments));
    made.map_or_else(|failure| failure, napi::Error::from)
}

/// Returns what a method throws after the environment has ended.
pub(crate) fn ended() -> napi::Error {
    napi::Error::new(napi::Status::Closing, "The environment of this thread has ended")
}
