//! The state machine of a channel: what is received becomes messages in a slab, what can't be sent
//! at once is queued, and every limit is kept. It knows sockets and codecs, but neither Node nor
//! JavaScript: `cargo test` runs all of it.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `reactor.rs` | all channels of an environment, and the turns in which they work |
//! | `channel.rs` | one channel: its socket and its two directions |
//! | `limits.rs` | what a channel allows, and what it counts |
//! | `batch.rs` | what one turn hands over |
//! | `inbox.rs` | datagrams become messages, or are refused |
//! | `outbox.rs` | the queues of a channel, one for each destination |
//! | `lane.rs` | one of these queues, and what it waits for |
//! | `attempt.rs` | one message, handed to the kernel |
//! | `share.rs` | how much of our send buffer each destination may hold |
//! | `flight.rs` | who the datagrams in flight have been sent to |
//! | `poll.rs` | epoll and the timer |

#![forbid(unsafe_code)]

mod attempt;
mod batch;
mod channel;
mod flight;
mod inbox;
mod lane;
mod limits;
mod outbox;
mod poll;
mod reactor;
mod share;

pub use batch::{
    Arrival, Batch, Event, GivenUp, MAX_EVENTS, MAX_FDS, NAMES, Payload, ROOM, Refusal, Sender,
    Undelivered,
};
pub use channel::Channel;
pub use limits::{Counters, Limits};
pub use outbox::{SendError, Sent};
pub use reactor::Reactor;
