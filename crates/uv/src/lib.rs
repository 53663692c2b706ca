//! The parts of Node's libuv loop that fdwire uses.
//!
//! Each Node environment polls one descriptor: an epoll instance that watches all its sockets
//! (`crates/channel`). So only this crate must observe the rules of libuv's handles: there is one
//! `uv_poll_t` per descriptor, the memory of a handle must outlive its close, and each
//! `uv_poll_start` replaces the event mask.
//!
//! | file | contents | unsafe |
//! | --- | --- | --- |
//! | `handle.rs` | the memory, the data and the end of a handle | yes |
//! | `poll.rs` | readiness of one descriptor | yes |
//! | `before_wait.rs` | a function that decides whether the loop waits | yes |
//!
//! `tests/fake_loop` is a loop with the functions of libuv that this crate calls, so that its tests run
//! without Node, and under Miri.

mod before_wait;
mod handle;
mod poll;

pub use before_wait::{AboutToWait, BeforeWait};
pub use poll::Poll;
