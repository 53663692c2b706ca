//! The slab, the table and the block: the memory of three typed arrays that `lib/native` creates and
//! keeps.
#![allow(unsafe_code)]

use std::ptr;

use napi::{Status, bindgen_prelude::Unknown, sys};

use crate::table::{BLOCK_BYTES, GATHERED, GATHERED_WORDS, SLAB_BYTES, TABLE_WORDS};

/// The record of a gathered message; see `GATHERED`.
pub(crate) type GatheredRecord = [i32; GATHERED_WORDS as usize];

/// The typed arrays of one environment.
pub(crate) struct Memory {
    slab: ptr::NonNull<u8>,
    table: ptr::NonNull<i32>,
    block: ptr::NonNull<u8>,
}

impl Memory {
    /// Checks the typed arrays, and keeps them alive as long as the environment.
    pub(crate) fn new(
        env: sys::napi_env,
        slab: Unknown<'_>,
        table: Unknown<'_>,
        block: Unknown<'_>,
    ) -> napi::Result<Self> {
        let slab = data_of(env, slab, sys::TypedarrayType::uint8_array, SLAB_BYTES as usize)?;
        let table = data_of(env, table, sys::TypedarrayType::int32_array, TABLE_WORDS as usize)?;
        let block = data_of(env, block, sys::TypedarrayType::uint8_array, BLOCK_BYTES as usize)?;
        Ok(Self { slab: slab.cast(), table: table.cast(), block: block.cast() })
    }

    /// Returns the slab.
    pub(crate) fn slab(&mut self) -> &mut [u8] {
        self.slab_and_table().0
    }

    /// Returns the table.
    pub(crate) fn table(&mut self) -> &mut [i32] {
        self.slab_and_table().1
    }

    /// Returns the slab and the table.
    #[inline]
    pub(crate) fn slab_and_table(&mut self) -> (&mut [u8], &mut [i32]) {
        let (slab, table) = (self.slab.as_ptr(), self.table.as_ptr());
        // SAFETY: `data_of` has checked the type and the length, and keeps the array alive until
        // the environment ends, which drops `self`. Nothing detaches or resizes the array, since it
        // never leaves lib/. JavaScript does not run during this borrow, since `self` is borrowed
        // from the environment's state. The arrays do not overlap.
        let slab = unsafe { std::slice::from_raw_parts_mut(slab, SLAB_BYTES as usize) };
        // SAFETY: as for the slab. The memory of an Int32Array is aligned.
        let table = unsafe { std::slice::from_raw_parts_mut(table, TABLE_WORDS as usize) };
        (slab, table)
    }

    /// Returns the records of the first `count` gathered messages, and the block.
    pub(crate) fn gathered(&self, count: usize) -> (&[GatheredRecord], &[u8]) {
        let (table, block) = (self.table.as_ptr(), self.block.as_ptr());
        // SAFETY: as in `slab_and_table`, but for reading.
        let table = unsafe { std::slice::from_raw_parts(table, TABLE_WORDS as usize) };
        // SAFETY: as in `slab_and_table`, but for reading.
        let block = unsafe { std::slice::from_raw_parts(block, BLOCK_BYTES as usize) };
        let (records, _) = table[GATHERED as usize..].as_chunks();
        (&records[..count], block)
    }
}

fn data_of(
    env: sys::napi_env,
    array: Unknown<'_>,
    expected: sys::napi_typedarray_type,
    length: usize,
) -> napi::Result<ptr::NonNull<std::ffi::c_void>> {
    let value = napi::JsValue::raw(&array);
    let (mut kind, mut found, mut data) = (0, 0, ptr::null_mut());
    // SAFETY: `value` is a value of `env`. The other pointers refer to locals. The status reports
    // whether `value` is a typed array.
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
        return Err(invalid("The shared memory must be a typed array"));
    };
    if status != sys::Status::napi_ok || kind != expected || found != length {
        return Err(invalid(
            "The shared memory must have the type and length that the addon exports",
        ));
    }
    let mut reference = ptr::null_mut();
    // SAFETY: `value` is a value of `env`. The end of the environment deletes the reference.
    let status = unsafe { sys::napi_create_reference(env, value, 1, &raw mut reference) };
    if status == sys::Status::napi_ok {
        Ok(data)
    } else {
        Err(invalid("The shared memory cannot be referenced"))
    }
}

fn invalid(reason: &str) -> napi::Error {
    napi::Error::new(Status::InvalidArg, reason)
}
