//! Readiness of one descriptor in Node's libuv loop.
//!
//! Each Node environment polls one descriptor: an epoll instance that watches all its sockets
//! (`crates/channel`). So only this crate has to observe the rules of `uv_poll_t`: one handle per
//! descriptor, memory that outlives the close, an event mask that each `uv_poll_start` replaces.

mod poll;

pub use poll::Poll;
