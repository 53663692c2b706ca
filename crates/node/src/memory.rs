//! The slab and the table: memory of two JavaScript buffers, made and kept by `lib/native.ts`.
#![allow(unsafe_code)]

use std::ptr;

use napi::{Status, bindgen_prelude::Unknown, sys};

use crate::table::{SLAB_BYTES, TABLE_WORDS};

/// The two buffers of one environment.
pub(crate) struct Memory {
    slab: ptr::NonNull<u8>,
    table: ptr::NonNull<i32>,
}

impl Memory {
    /// Takes the two buffers; they are referenced for as long as the environment lives.
    pub(crate) fn new(
        env: sys::napi_env,
        slab: Unknown<'_>,
        table: Unknown<'_>,
    ) -> napi::Result<Self> {
        let slab = data_of(env, slab, sys::TypedarrayType::uint8_array, SLAB_BYTES as usize)?;
        let table = data_of(env, table, sys::TypedarrayType::int32_array, TABLE_WORDS as usize)?;
        Ok(Self { slab: slab.cast(), table: table.cast() })
    }

    /// The slab.
    pub(crate) fn slab(&mut self) -> &mut [u8] {
        // SAFETY: `data_of` checked type and length, the buffer is referenced and never leaves
        // lib/native.ts, so nobody detaches or resizes it; JavaScript doesn't run while this borrow
        // lasts, since `self` is borrowed from the environment's one state.
        unsafe { std::slice::from_raw_parts_mut(self.slab.as_ptr(), SLAB_BYTES as usize) }
    }

    /// The table.
    pub(crate) fn table(&mut self) -> &mut [i32] {
        // SAFETY: as above; an Int32Array is aligned.
        unsafe { std::slice::from_raw_parts_mut(self.table.as_ptr(), TABLE_WORDS as usize) }
    }
}

fn data_of(
    env: sys::napi_env,
    array: Unknown<'_>,
    wanted: sys::napi_typedarray_type,
    length: usize,
) -> napi::Result<ptr::NonNull<std::ffi::c_void>> {
    let value = napi::JsValue::raw(&array);
    let (mut kind, mut found, mut data) = (0, 0, ptr::null_mut());
    // SAFETY: a value of this environment; where it is no typed array the status says so.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env,
            value,
            &raw mut kind,
            &raw mut found,
            &raw mut data,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    let Some(data) = ptr::NonNull::new(data) else {
        return Err(invalid("the shared memory is missing"));
    };
    if status != sys::Status::napi_ok || kind != wanted || found != length {
        return Err(invalid("the shared memory has another type or size than the table says"));
    }
    let mut reference = ptr::null_mut();
    // SAFETY: a value of this environment. The reference is never given back: the environment's
    // end does that.
    let status = unsafe { sys::napi_create_reference(env, value, 1, &raw mut reference) };
    if status == sys::Status::napi_ok { Ok(data) } else { Err(invalid("no reference")) }
}

fn invalid(reason: &str) -> napi::Error {
    napi::Error::new(Status::InvalidArg, reason)
}
