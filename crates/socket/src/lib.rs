//! Unix and TCP sockets that pass file descriptors along with bytes.
//!
//! The crate provides the sockets ([`Datagram`], [`Stream`], [`Listener`]), their addresses
//! ([`Address`], [`Name`]), safe binding to a path ([`bind_path`]), files in memory ([`memfd()`],
//! [`Mapping`]), and the classification of received descriptors ([`Kind`]).
//!
//! Sends and receives never block, because each passes `MSG_DONTWAIT`. They do not depend on
//! `O_NONBLOCK` and do not change it: the flag belongs to the open file description, which other
//! processes may share. The exception is a listening socket, because accept4(2) has no such flag:
//! [`Listener::adopt`] sets `O_NONBLOCK`.
//!
//! `unsafe` is confined to `sys.rs` and `mapping.rs`.

mod address;
mod bind;
mod control;
mod datagram;
mod error;
mod kind;
mod listener;
mod mapping;
mod memfd;
mod name;
mod passpidfd;
mod peer;
mod receive;
mod setup;
mod stream;
mod sys;

pub use address::{Address, AddressError};
pub use bind::{Binding, Bound, Unlink, bind_path};
pub use control::{Control, MAX_FDS};
pub use datagram::Datagram;
pub use error::SyscallError;
pub use kind::{Description, Kind, describe, on_network_or_fuse};
pub use listener::{Accepted, Listener};
pub use mapping::Mapping;
pub use memfd::{MemoryFile, memfd, memfd_of, seal};
pub use name::Name;
pub use peer::{Credentials, peer_credentials, peer_pidfd};
pub use receive::Received;
pub use rustix::io::Errno;
pub use rustix::net::{AddressFamily, SocketType};
pub use setup::SocketSetup;
pub use stream::{Connect, Stream};
