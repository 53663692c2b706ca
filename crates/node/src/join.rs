//! Joins runs of small JSON messages into JSON arrays, in place, so that JavaScript parses each run
//! with one call.
//!
//! ```text
//! slab   | [ | message 0 | , | message 1 | , | message 2 | ] | . | message 3 | . |
//!        '---------------------- one run ----------------------'
//! ```
//!
//! The owner of the slab may overwrite the bytes between the messages of a
//! [`Batch`](fdwire_channel::Batch), the byte before the first and the byte after the last. The
//! brackets and commas go there.

use fdwire_channel::{Event, Message, PayloadKind};
use fdwire_wire::json;

/// Average length in bytes above which joining the messages of a batch gains nothing.
const JOIN_BELOW: usize = 128;

/// Consecutive messages that are one JSON array in the slab: from the byte before the first to the
/// byte after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The index of the first message among the events of the batch.
    pub(crate) first: usize,
    /// The number of messages, at least 2.
    pub(crate) len: usize,
}

/// Joins messages of a batch of JSON texts, as far as the result is exact, and appends the runs to
/// `runs`. `used` is the number of bytes of the slab that the batch uses.
///
/// A text that closes all its strings and brackets cannot change the meaning of its neighbours. So
/// if the array parses and has as many elements as the run has messages, each message is its own
/// element; see [`json::is_balanced`].
pub(crate) fn join(slab: &mut [u8], used: usize, events: &[Event], runs: &mut Vec<Run>) {
    if events.len() < 2 || used > events.len() * JOIN_BELOW {
        return;
    }
    let mut first = 0;
    while first < events.len() {
        let len = joinable(slab, &events[first..]);
        if len >= 2 {
            write_array(slab, &events[first..first + len]);
            runs.push(Run { first, len });
        }
        // The event after a run stays single: two adjacent arrays need two bytes between them.
        first += len + 1;
    }
}

/// Returns the number of events at the start of `events` that can be joined: balanced texts of one
/// kind.
fn joinable(slab: &[u8], events: &[Event]) -> usize {
    let mut run_kind = None;
    let is_joinable = |event: &&Event| match event {
        Event::Message(at, Message { kind, .. }) => {
            *run_kind.get_or_insert(*kind) == *kind
                && *kind != PayloadKind::Bytes
                && json::is_balanced(&slab[at.clone()])
        }
        _ => false,
    };
    events.iter().take_while(is_joinable).count()
}

fn write_array(slab: &mut [u8], run: &[Event]) {
    let (mut end, mut separator) = (None, b'[');
    for event in run {
        let Event::Message(at, _) = event else { continue };
        // The framing between two messages of a stream may be longer than a comma.
        let gap = end.unwrap_or(at.start - 1)..at.start;
        slab[gap.clone()].fill(b' ');
        slab[gap.start] = separator;
        (end, separator) = (Some(at.end), b',');
    }
    if let Some(end) = end {
        slab[end] = b']';
    }
}
