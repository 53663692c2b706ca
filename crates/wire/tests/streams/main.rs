//! The codecs for streams: their vectors, and the laws that `codec.rs` says, for any bytes.

mod base64;
mod corpus;
mod harness;
mod headers;
mod laws;
mod limits;
mod vectors;
