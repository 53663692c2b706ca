//! Unix sockets with descriptors beside the bytes.
//!
//! What is here: the sockets ([`Datagram`]), their names ([`Address`]), binding a name so that nobody
//! is robbed and nothing is left behind ([`bind_path`]), and what a received descriptor is ([`Kind`]).
//! Nothing here waits: every send and every receive says `MSG_DONTWAIT`, whatever `O_NONBLOCK` says,
//! since that flag belongs to the open file description and so to others too.
//!
//! `unsafe` stands in `sys.rs` and `mapping.rs`, and nowhere else.

mod address;
mod bind;
mod control;
mod datagram;
mod kind;
mod listener;
mod mapping;
mod memfd;
mod name;
mod pass;
mod peer;
mod stream;
mod sys;

pub use address::{Address, AddressError};
pub use bind::{BindError, BindOutcome, Bound, Unlink, bind_path};
pub use control::Control;
pub use datagram::{Datagram, MAX_FDS, Received};
pub use kind::{Description, Kind, describe, on_network_or_fuse};
pub use listener::{Accepted, ListenOutcome, Listener};
pub use mapping::Mapping;
pub use memfd::{MemoryFile, memfd, memfd_of, seal};
pub use name::Name;
pub use peer::{Credentials, peer_credentials, peer_pidfd};
pub use rustix::io::Errno;
pub use rustix::net::{AddressFamily, SocketType};
pub use stream::{Connect, Stream, TcpOptions};
