//! Readiness of one descriptor in Node's libuv loop.
//!
//! Each Node environment polls one descriptor: an epoll instance that watches all its sockets
//! (`crates/channel`). So only this crate must observe the rules of `uv_poll_t`: there is one
//! handle per descriptor, its memory must outlive the close, and each `uv_poll_start` replaces the
//! event mask. `poll.rs` contains all code, and `unsafe`.

mod poll;

pub use poll::Poll;
