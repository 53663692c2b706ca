//! The scan of JSON texts agrees with a reference that reads one byte at a time.

use fdwire_wire::json::{elements, is_balanced};

use crate::scalar_json;

/// Checks a text, and the array around it.
///
/// # Panics
///
/// If the results differ.
pub(crate) fn json(data: &[u8]) {
    assert_eq!(is_balanced(data), scalar_json::is_balanced(data));
    let array = [b"[", data, b"]"].concat();
    let found: Vec<&[u8]> = elements(&array).collect();
    assert_eq!(found, scalar_json::elements(&array));
}
