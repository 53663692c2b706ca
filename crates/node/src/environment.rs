//! The class `Environment`. Each thread has one object of it.

use std::cell::Cell;
use std::rc::Rc;

use fdwire_socket::SyscallError;
use napi::Result;
use napi::bindgen_prelude::{Env, JsObjectValue, Object, Unknown};
use napi_derive::napi;

use crate::error::{MakeError, ended, syscall_error, thrown};
use crate::hot;
use crate::memory::Memory;
use crate::state::State;
use crate::turn::Inner;

/// The channels and listeners of one thread, and what they share.
///
/// A method throws an Error with `code`, `errno` and `syscall` if a system call fails.
#[napi]
pub struct Environment {
    pub(crate) inner: Rc<Inner>,
    /// The number of memfds that are mapped as Buffers of this thread.
    pub(crate) mappings: Rc<Cell<usize>>,
    make_error: MakeError,
}

#[napi]
impl Environment {
    /// Creates the environment of this thread over the memory that it shares with JavaScript.
    ///
    /// The environment calls `dispatch` with the index of a channel or listener and the number of
    /// its records in the table. It calls `makeError` for each failed system call, and throws the
    /// result.
    #[napi(constructor)]
    pub fn new(
        env: Env,
        #[napi(ts_arg_type = "Uint8Array")] slab: Unknown<'_>,
        #[napi(ts_arg_type = "Int32Array")] table: Unknown<'_>,
        #[napi(ts_arg_type = "Uint8Array")] block: Unknown<'_>,
        #[napi(ts_arg_type = "(channel: number, records: number) => void")] dispatch: Unknown<'_>,
        #[napi(ts_arg_type = "(errno: number, syscall: string) => Error")] make_error: MakeError,
    ) -> Result<Self> {
        let memory = Memory::new(env.raw(), slab, table, block)?;
        let state = State::new(memory)
            .map_err(|errno| thrown(env, &make_error, syscall_error("epoll_create1")(errno)))?;
        let inner = Inner::start(env.raw(), state, dispatch)?;
        Ok(Self { inner, mappings: Rc::default(), make_error })
    }

    /// Returns the hot functions. `lib/native/environment.ts` declares their types.
    #[napi(ts_return_type = "object")]
    pub fn hot<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let mut functions = Object::new(env)?;
        for (name, function) in hot::functions(&self.inner)? {
            functions.set_named_property(name, function)?;
        }
        Ok(functions)
    }

    /// Calls `work` with the state, and throws the error that it returns.
    pub(crate) fn attempt<T>(
        &self,
        work: impl FnOnce(&mut State) -> std::result::Result<T, SyscallError>,
    ) -> Result<T> {
        // JavaScript makes the error, so the state must not be borrowed any more.
        self.with(work)?.map_err(|error| self.thrown(error))
    }

    /// Calls `work` with the state.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T> {
        self.inner.state.borrow_mut().as_mut().map(work).ok_or_else(ended)
    }

    /// Returns what a method throws for a failed system call.
    pub(crate) fn thrown(&self, error: SyscallError) -> napi::Error {
        thrown(Env::from_raw(self.inner.env), &self.make_error, error)
    }
}

/// Converts the number by which JavaScript knows a channel or listener to its index.
pub(crate) fn index(channel: i32) -> usize {
    usize::try_from(channel).unwrap_or(usize::MAX)
}

/// Converts the index of a channel or listener to the number by which JavaScript knows it.
pub(crate) fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
