//! Unix and TCP sockets that pass file descriptors along with bytes.
//!
//! The crate provides the sockets ([`Datagram`], [`Stream`], [`Listener`]), their addresses
//! ([`Address`], [`SocketAddress`]), safe binding to a path ([`bind_path`]), files in memory
//! ([`memfd()`], [`Mapping`]), and the classification of received descriptors ([`Kind`]).
//!
//! Sends and receives never block, because each passes `MSG_DONTWAIT`. They do not depend on
//! `O_NONBLOCK` and do not change it: the flag belongs to the open file description, which other
//! processes may share. The exception is a listening socket, because accept4(2) has no such flag:
//! [`Listener::adopt`] sets `O_NONBLOCK`.
//!
//! | file | contents | unsafe |
//! | --- | --- | --- |
//! | `datagram.rs`, `datagram/` | datagram and seqpacket sockets | |
//! | `stream.rs` | stream sockets | |
//! | `unread.rs` | looks at connections that another process reads from | |
//! | `listener.rs` | listening sockets | |
//! | `receive.rs` | receiving from sockets of all types | |
//! | `control.rs` | the buffer that receives control messages | |
//! | `setup.rs` | options of sockets | |
//! | `buffers.rs` | sizes of buffers, and what they were before | |
//! | `passpidfd.rs` | turns `SO_PASSPIDFD` off while this crate owns a socket | |
//! | `passrights.rs` | turns `SO_PASSRIGHTS` off on a socket that accepts no descriptors | |
//! | `address.rs` | addresses of Unix sockets | |
//! | `socket_address.rs` | addresses of Unix and TCP sockets | |
//! | `bind.rs` | binds a socket to a path, and removes the path | |
//! | `peer.rs` | the process at the other end of a socket | |
//! | `kind.rs` | the type of a descriptor | |
//! | `file_system.rs` | whether a file is on a local file system | |
//! | `pipe.rs` | opens a pipe again | |
//! | `memfd.rs` | creates, seals and reads files in memory | |
//! | `mapping.rs` | maps files in memory | yes |
//! | `socket_fd.rs` | the descriptor of a socket that this crate reads from | |
//! | `foreign_fd.rs` | a descriptor that may not be closed just anywhere | |
//! | `closing.rs`, `closing/` | closes such descriptors without waiting | |
//! | `error.rs` | the error of a failed system call | |
//! | `sys.rs` | system calls and conversions that rustix lacks | yes |

mod address;
mod bind;
mod buffers;
pub mod closing;
mod control;
mod datagram;
mod error;
mod file_system;
mod foreign_fd;
mod kind;
mod listener;
mod mapping;
mod memfd;
mod passpidfd;
mod passrights;
mod peer;
mod pipe;
mod receive;
mod setup;
mod socket_address;
mod socket_fd;
mod stream;
mod sys;
mod unread;

pub use address::{Address, AddressError};
pub use bind::{Binding, Bound, Unlink, bind_path};
pub use control::{Control, MAX_FDS, Part, parts};
pub use datagram::Datagram;
pub use error::{SyscallError, syscall_error};
pub use file_system::is_on_local_disk;
pub use foreign_fd::ForeignFd;
pub use kind::{Description, Kind, describe};
pub use listener::{Accepted, Listener};
pub use mapping::Mapping;
pub use memfd::{MemoryFile, memfd, memfd_of, seal};
pub use peer::{Credentials, peer_credentials, peer_pidfd};
pub use pipe::reopen_pipe;
pub use receive::Received;
pub use rustix::io::Errno;
pub use rustix::net::{AddressFamily, SocketType};
pub use setup::SocketSetup;
pub use socket_address::SocketAddress;
pub use stream::{Connect, Stream};
pub use sys::zeroed;
pub use unread::{is_tcp, peek};
