//! Readiness of one descriptor in the libuv loop of Node.
//!
//! An environment needs no more than one: its descriptor is an epoll instance with all the sockets
//! in it (`crates/channel`). So the rules of uv_poll (one handle for a descriptor, memory that must
//! outlive the close, a mask that is replaced) are kept here once.

mod poll;

pub use poll::Poll;
