//! The conversion of UTF-16 agrees with that of the standard library.

use fdwire_wire::utf16::append_utf8;

/// Converts code units to UTF-8.
///
/// # Panics
///
/// If the standard library converts them to something else.
pub(crate) fn utf16(data: &[u8]) {
    let units: Vec<u16> = data.as_chunks().0.iter().copied().map(u16::from_le_bytes).collect();
    let mut bytes = b"before".to_vec();
    append_utf8(&units, &mut bytes);
    assert_eq!(bytes, [b"before", String::from_utf16_lossy(&units).as_bytes()].concat());
}
