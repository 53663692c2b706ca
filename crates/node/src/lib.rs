//! The addon: conversion between the crates and JavaScript, and nothing else.
//!
//! | file | what is in it | unsafe |
//! | --- | --- | --- |
//! | `environment.rs` | the class that JavaScript makes once a thread; everything that isn't hot | |
//! | `opening.rs` | how channels and listeners are made | |
//! | `streams.rs` | what is done with streams and listeners beside sending and receiving | |
//! | `codec.rs` | a codec alone: bytes to messages, without a channel | |
//! | `socket_protocol.rs` | bodies of socket_protocol: JSON, numbers and a checksum | |
//! | `outcome.rs` | how results and options cross | |
//! | `state.rs` | what an environment owns; the records of a turn | |
//! | `record.rs` | encodes a record of the table | |
//! | `join.rs` | joins small JSON messages in the slab | |
//! | `memfd.rs` | files in memory | yes |
//! | `fds.rs` | descriptors that JavaScript knows by number | yes |
//! | `table.rs` | the layout of the memory that is shared with JavaScript | |
//! | `memory.rs` | that memory | yes |
//! | `hot.rs` | the functions that are called for each message | yes |
//! | `turn.rs` | the way from the loop into JavaScript, and the environment's end | yes |

// Public are the modules that say something to JavaScript: napi exports from them.
pub mod codec;
pub mod environment;
mod fds;
mod hot;
mod join;
pub mod memfd;
mod memory;
pub mod opening;
pub mod outcome;
mod record;
pub mod socket_protocol;
mod state;
pub mod streams;
pub mod table;
mod turn;
