//! The state machine of a channel: received bytes become messages in a slab, messages that cannot
//! be sent at once are queued, and every limit is enforced.
//!
//! The crate knows sockets and codecs, but neither Node nor JavaScript: `cargo test` runs all of
//! it.
//!
//! | file | contents |
//! | --- | --- |
//! | `reactor.rs`, `reactor/` | all channels of an environment, and their turns |
//! | `channel.rs`, `channel/` | one channel: limits, counters, read interest, deadlines |
//! | `transport.rs` | the two kinds of transport of a channel |
//! | `datagram.rs`, `datagram/` | datagrams and records, in both directions |
//! | `stream.rs`, `stream/` | byte streams, in both directions |
//! | `listener.rs` | a socket that accepts connections |
//! | `send.rs` | the outcome of sending |
//! | `limits.rs` | the limits and counters of a channel |
//! | `singles.rs` | skips the last system call of a turn, which usually finds nothing |
//! | `busy_poll.rs` | when to poll for the next message of a channel |
//! | `batch.rs` | the result of one turn |
//! | `interest.rs` | the readiness for which a descriptor is registered with epoll |
//! | `poll.rs` | the epoll instances and the timer |

#![forbid(unsafe_code)]

mod batch;
mod busy_poll;
mod channel;
mod datagram;
mod interest;
mod limits;
mod listener;
mod pace;
mod poll;
mod reactor;
mod send;
mod singles;
mod stream;
mod transport;

use fdwire_socket::{Address, Control, Errno, ForeignFd, zeroed};

pub use batch::{
    Batch, Deadline, Event, MAX_EVENTS, MAX_FDS, Message, NAMES, ROOM, Refusal, SAMPLE, Sender,
    Span, Undelivered, UndeliveredReason,
};
pub use channel::Channel;
pub use datagram::ENTRY as QUEUE_ENTRY;
pub use limits::{Counters, Limits};
pub use listener::{Connection, Listening};
pub use reactor::Reactor;
pub use send::{Queued, SendError, Sent};
pub use stream::{DIRECT, EXPANSION, FLUSH, Framing, OVERHEAD, Payload};

/// What a payload is: ASCII text, other text in UTF-8, or bytes.
pub use fdwire_wire::codec::Kind as PayloadKind;

/// Memory that the channels of a reactor share while they read.
struct Shared {
    control: Control,
    /// The descriptors of the last receiving call.
    received: Vec<ForeignFd>,
    /// The sender of the last receiving call.
    from: Address,
    scratch: Scratch,
}

/// Memory for bytes that do not go into the slab.
#[derive(Default)]
struct Scratch(Vec<u8>);

impl Scratch {
    /// Returns at least `len` bytes. Zeroed pages take no memory until they are touched.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn at_least(&mut self, len: usize) -> Result<&mut [u8], Errno> {
        if self.0.len() < len {
            self.0 = zeroed(len)?;
        }
        Ok(&mut self.0)
    }

    /// Frees the memory.
    fn free(&mut self) {
        self.0 = Vec::new();
    }
}

/// Appends bytes whose number a peer decides.
///
/// # Errors
///
/// `ENOMEM`. `to` is unchanged then.
fn append(to: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Errno> {
    to.try_reserve(bytes.len()).map_err(|_| Errno::NOMEM)?;
    to.extend_from_slice(bytes);
    Ok(())
}

/// Copies bytes whose number a peer decides.
///
/// # Errors
///
/// `ENOMEM`.
fn copied(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| Errno::NOMEM)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// What a channel registers with: the poller, and its index in the reactor.
#[derive(Clone, Copy)]
struct Site<'a> {
    poller: &'a poll::Poller,
    index: usize,
}

/// What a channel uses during its turn.
struct Turn<'a, 'slab> {
    site: Site<'a>,
    shared: &'a mut Shared,
    batch: &'a mut Batch<'slab>,
}
