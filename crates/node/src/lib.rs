//! The addon: it converts between the crates and JavaScript, and does nothing else.
//!
//! | file | contents | unsafe |
//! | --- | --- | --- |
//! | `environment.rs` | the class `Environment`: one object for each thread | |
//! | `open.rs`, `open/` | its methods that create channels and listeners | |
//! | `channels.rs` | its methods that act on a channel or listener | |
//! | `queries.rs` | its methods that return information about a channel or listener | |
//! | `descriptors.rs` | its methods that act on descriptors | |
//! | `unread.rs` | its methods that look at accepted connections | |
//! | `memfd.rs` | its methods that act on memfds | yes |
//! | `options.rs` | options as JavaScript passes them | |
//! | `error.rs` | errors that methods throw | |
//! | `hot.rs`, `hot/` | the functions that are called for each message | yes |
//! | `call.rs` | the arguments and the result of a call of such a function | yes |
//! | `sending.rs` | what those functions do that send | |
//! | `gathered.rs` | queues the small messages that JavaScript has gathered | |
//! | `state.rs` | what an environment owns; writes the records of a turn | |
//! | `turn.rs` | runs turns in Node's event loop, and ends the environment | yes |
//! | `busy_poll.rs` | polls for messages before the loop waits | |
//! | `table.rs` | the layout of the memory that is shared with JavaScript | |
//! | `memory.rs` | that memory: three typed arrays | yes |
//! | `record.rs` | encodes a record of the table | |
//! | `join.rs` | joins small JSON messages in the slab | |
//! | `fds.rs` | descriptors that JavaScript knows by number | yes |
//! | `codec.rs` | a codec without a channel | |
//! | `counters.rs` | the counters of a channel | |
//! | `socket_protocol.rs` | bodies of socket_protocol: JSON, numbers and a checksum | |
//!
//! # Results and errors
//!
//! - A method of `Environment` returns its result. If a system call fails, the method throws what
//!   the JavaScript function `makeError` returns: an Error with `code`, `errno` and `syscall`, as
//!   Node's own. The method returns null or -1 only if no call has failed and there is no result,
//!   such as the peer's address of a socket without a peer.
//! - If a socket file must be removed before binding, and another process holds the lock on its
//!   directory, the error is EAGAIN with the syscall `flock`. If the backlog of a listener is full,
//!   the error is EAGAIN with the syscall `connect`. In both cases the caller retries later.
//! - Hot functions do not throw. They return undefined or a positive number if they succeed; a
//!   negative number is a negated errno, or one of the codes in `table.rs`. `checkFrame` and the
//!   `encode` methods of `Codec`, which are also called for each message, return the same codes
//!   instead of a result.
//! - Every method throws after its environment has ended, and hot functions return the negated
//!   `EBADF`.

// napi exports what JavaScript uses from the public modules.
mod busy_poll;
mod call;
pub mod channels;
pub mod codec;
pub mod counters;
pub mod descriptors;
pub mod environment;
mod error;
mod fds;
mod gathered;
mod hot;
mod join;
pub mod memfd;
mod memory;
pub mod open;
pub mod options;
pub mod queries;
mod record;
mod sending;
pub mod socket_protocol;
mod state;
pub mod table;
mod turn;
pub mod unread;

/// The version of the addon, which must be that of the package that loads it.
#[napi_derive::napi]
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
