//! The stream codecs against their vectors, and the laws of `contract.rs` for arbitrary bytes.

mod base64;
mod delimiters;
mod headers;
mod laws;
mod limits;
mod vectors;
