//! The state machine of a channel: what is received becomes messages in a slab, what can't be sent
//! at once is queued, and every limit is kept. It knows sockets and codecs, but neither Node nor
//! JavaScript: `cargo test` runs all of it.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `reactor.rs` | all channels of an environment, and the turns in which they work |
//! | `reactor/` | what it does with streams and listeners besides |
//! | `channel.rs` | one channel: what is wanted of it, and the socket that it works on |
//! | `datagram.rs` | a datagram socket with its two directions |
//! | `stream.rs` | a stream with its two directions |
//! | `listener.rs` | a socket that accepts connections |
//! | `send.rs` | what becomes of a message that is sent |
//! | `limits.rs` | what a channel allows, and what it counts |
//! | `batch.rs` | what one turn hands over |
//! | `interest.rs` | what the poller has been asked for on one descriptor |
//! | `poll.rs` | epoll and the timer |

#![forbid(unsafe_code)]

mod batch;
mod channel;
mod datagram;
mod interest;
mod limits;
mod listener;
mod poll;
mod reactor;
mod send;
mod stream;

use std::os::fd::OwnedFd;

use fdwire_socket::Control;

pub use batch::{
    Batch, Event, MAX_EVENTS, MAX_FDS, Message, NAMES, ROOM, Refusal, Sender, Undelivered,
    UndeliveredReason,
};
pub use channel::Channel;
pub use limits::{Counters, Limits};
pub use listener::{Connection, Listening};
pub use reactor::Reactor;
pub use send::{SendError, Sent};
pub use stream::{DIRECT, Framing, Payload};

/// What a payload is: text, ASCII or not, or bytes.
pub use fdwire_wire::codec::Kind as PayloadKind;

/// Memory that the channels of an environment share while they read.
struct Shared {
    control: Control,
    /// Where the rest of a datagram goes that is larger than the slab has room.
    overflow: Vec<u8>,
    received: Vec<OwnedFd>,
}

/// Where a channel is.
#[derive(Clone, Copy)]
struct Site<'a> {
    poller: &'a poll::Poller,
    index: usize,
}
