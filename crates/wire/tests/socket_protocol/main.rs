//! socket_protocol against its vectors, and its properties for arbitrary bytes.

mod bodies;
mod frames;
mod laws;

use serde_json::Value;

/// Returns the bytes that a vector states in hex.
fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("hex is a string").as_bytes();
    let pairs = digits.chunks(2).map(|pair| str::from_utf8(pair).expect("hex is ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
}

/// Returns the rows of a section, which must not be empty.
fn rows<'a>(vectors: &'a Value, section: &str) -> &'a [Value] {
    let rows = vectors[section].as_array().expect("a section is an array");
    assert!(!rows.is_empty(), "{section}");
    rows
}
