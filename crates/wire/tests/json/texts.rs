//! Generators of test texts: noise that consists mostly of JSON's own bytes, and valid values.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Bytes that have a meaning in JSON and a few others. Most short texts of them are almost JSON.
pub(crate) fn noise(
    length: impl Into<prop::collection::SizeRange>,
) -> impl Strategy<Value = Vec<u8>> {
    vec(prop::sample::select(b"[]{}\",\\:1a \0\x7f\xc3\xa9".as_slice()), length)
}

/// Arbitrary values, with many quotes, brackets and backslashes in their strings.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let string = "[\\[\\]{}\",\\\\:a\u{e9}\u{1f600}\n]{0,24}";
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        string.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(string, inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Runs `check` on copies of `text` that start at each offset from a 64-byte boundary.
pub(crate) fn at_every_alignment(text: &[u8], mut check: impl FnMut(&[u8])) {
    let mut slab = vec![b'"'; 64 + text.len() + 64];
    let line = slab.as_ptr().align_offset(64);
    for at in 0..64 {
        let start = (line + at) % 64;
        slab.fill(b'"');
        slab[start..start + text.len()].copy_from_slice(text);
        check(&slab[start..start + text.len()]);
    }
}
