//! The addon: it converts between the crates and JavaScript, and does nothing else.
//!
//! | file | contents | unsafe |
//! | --- | --- | --- |
//! | `environment.rs` | the class of which JavaScript makes one object for each thread | |
//! | `open.rs`, `open/` | its methods that make channels and listeners | |
//! | `channels.rs` | its methods that act on a channel or listener | |
//! | `queries.rs` | its methods that ask about a channel or listener | |
//! | `descriptors.rs` | its methods that act on descriptors | |
//! | `memfd.rs` | its methods that act on memory files | yes |
//! | `options.rs` | options as JavaScript passes them | |
//! | `error.rs` | errors that methods throw | |
//! | `hot.rs` | the functions that are called for each message | yes |
//! | `call.rs` | the arguments and the result of such a call | yes |
//! | `state.rs` | what an environment owns; writes the records of a turn | |
//! | `turn.rs` | runs turns in Node's event loop; the end of an environment | yes |
//! | `table.rs` | the layout of the memory that is shared with JavaScript | |
//! | `memory.rs` | that memory | yes |
//! | `record.rs` | encodes a record of the table | |
//! | `join.rs` | joins small JSON messages in the slab | |
//! | `fds.rs` | descriptors that JavaScript knows by number | yes |
//! | `codec.rs` | a codec without a channel | |
//! | `counters.rs` | the counters of a channel | |
//! | `socket_protocol.rs` | bodies of socket_protocol: JSON, numbers and a checksum | |
//!
//! # Results and errors
//!
//! - A method of `Environment` returns its result, and throws if a system call fails: an Error with
//!   `code`, `errno` and `syscall` in Node's shape, which the function `makeError` has made. It
//!   returns null or -1 only if there is nothing to return although nothing has failed, such as the
//!   address of a peer that a socket does not have.
//! - A path that cannot be bound now, because another process binds one in the same directory and
//!   holds the lock on it, is the error EAGAIN with the syscall `flock`. A listener whose backlog
//!   is full is EAGAIN with the syscall `connect`. The caller tries again after both.
//! - Hot functions do not throw. They return undefined or a positive number if they succeed; a
//!   negative number is a negated errno, or one of the codes in `table.rs`. `checkFrame` and the
//!   `encode` methods of `Codec`, which are called for each message too, return the same codes in
//!   place of a result.
//! - Every method throws after its environment has ended, and hot functions return the negated
//!   `EBADF`.

// napi exports what JavaScript uses from the public modules.
mod call;
pub mod channels;
pub mod codec;
pub mod counters;
pub mod descriptors;
pub mod environment;
mod error;
mod fds;
mod hot;
mod join;
pub mod memfd;
mod memory;
pub mod open;
pub mod options;
pub mod queries;
mod record;
pub mod socket_protocol;
mod state;
pub mod table;
mod turn;
