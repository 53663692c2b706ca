//! The addon: conversion between the crates and JavaScript, and nothing else.
//!
//! | file | what is in it | unsafe |
//! | --- | --- | --- |
//! | `environment.rs` | the class that JavaScript makes once a thread; everything that isn't hot | |
//! | `outcome.rs` | how results and options cross | |
//! | `state.rs` | what an environment owns; the records of a turn | |
//! | `fds.rs` | descriptors that JavaScript knows by number | yes |
//! | `table.rs` | the layout of the memory that is shared with JavaScript | |
//! | `memory.rs` | that memory | yes |
//! | `hot.rs` | the functions that are called for each message | yes |
//! | `turn.rs` | the way from the loop into JavaScript, and the environment's end | yes |

// Public are the modules that say something to JavaScript: napi exports from them.
pub mod environment;
mod fds;
mod hot;
mod memory;
pub mod outcome;
mod state;
pub mod table;
mod turn;
