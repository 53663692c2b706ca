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
//! | [`Protocol`] | the list of protocols |
//! | [`jsoncomm`] | one JSON text per datagram |
//! | [`length_prefixed`] | a length before each payload |
//! | [`lines`] | a line feed after each payload |
//! | [`msg_channel`] | a header line before each payload |
//! | [`raw`] | no framing |
//! | [`socket_protocol`] | an escaped body between two delimiters, and the body's layout |
//! | [`stockings`] | a type and a length before each payload |
//! | [`uds_comms`] | base64 between two delimiters |
//! | `payload` | [`Text`] and [`Malformed`]: what a payload is, or why it cannot be delivered |
//! | [`utf16`] | converts the UTF-16 of JavaScript to UTF-8 |
//! | [`json`] | joins JSON texts to one array, and splits an array into its elements |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod codec;
mod contract;
pub mod json;
pub mod jsoncomm;
pub mod length_prefixed;
pub mod lines;
pub mod msg_channel;
mod payload;
mod protocol;
pub mod raw;
pub mod socket_protocol;
pub mod stockings;
pub mod uds_comms;
pub mod utf16;

pub use payload::{Malformed, Text};
pub use protocol::Protocol;
