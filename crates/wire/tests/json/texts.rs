//! Texts to try: noise made of JSON's own bytes, valid values, and blanks in between.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Bytes that mean something to JSON and a few that don't: most short texts of them are nearly JSON.
pub(crate) fn noise(
    length: impl Into<prop::collection::SizeRange>,
) -> impl Strategy<Value = Vec<u8>> {
    vec(prop::sample::select(b"[]{}\",\\:1a \0\x7f\xc3\xa9".as_slice()), length)
}

/// Any value, with strings that are full of quotes, brackets and backslashes.
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

/// Runs `check` on `text` where it begins at each place of a 64-byte line.
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
