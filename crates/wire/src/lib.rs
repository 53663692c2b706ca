//! Sans-IO codecs: bytes to messages and back, one file per protocol.
//!
//! Nothing here does IO, waits or reads a clock; the crate is `no_std`. The input of a decoder
//! comes from a peer that may be hostile: no input makes a decoder panic, and decoding takes time
//! linear in the input's length.
//!
//! | module | contents |
//! | --- | --- |
//! | `contract` | what a stream codec must do; `codec` re-exports the types |
//! | [`codec`] | the choice of a stream codec by protocol |
//! | [`content_length`] | a block of header lines before each payload |
//! | [`Protocol`] | the list of protocols |
//! | [`jsoncomm`] | one JSON text per datagram |
//! | [`length_prefixed`] | a length before each payload |
//! | [`lines`] | a delimiter after each payload |
//! | [`msg_channel`] | a header line before each payload |
//! | [`netstring`] | a length in digits before each payload, a comma after it |
//! | [`raw`] | no framing |
//! | [`socket_protocol`] | an escaped body between two delimiters, and the body's layout |
//! | [`stockings`] | a type and a length before each payload |
//! | [`uds_comms`] | base64 between two delimiters |
//! | [`varint`] | a length of 1 to 10 bytes before each payload |
//! | `delimiter`, `length_field` | the options of `lines` and `length_prefixed` |
//! | `decimal` | lengths in decimal digits |
//! | `payload` | [`Text`] and [`Malformed`]: what a payload is, or why it cannot be delivered |
//! | [`utf16`] | converts the UTF-16 of JavaScript to UTF-8 |
//! | [`json`] | joins JSON texts to one array, and splits an array into its elements |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod codec;
pub mod content_length;
mod contract;
mod decimal;
mod delimiter;
pub mod json;
pub mod jsoncomm;
mod length_field;
pub mod length_prefixed;
pub mod lines;
pub mod msg_channel;
pub mod netstring;
mod payload;
mod protocol;
pub mod raw;
pub mod socket_protocol;
pub mod stockings;
pub mod uds_comms;
pub mod utf16;
pub mod varint;

pub use payload::{Malformed, Text};
pub use protocol::Protocol;
