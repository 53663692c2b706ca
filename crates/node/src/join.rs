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

use fdwire_channel::{PayloadKind, Span};
use fdwire_wire::json;

/// Average length in bytes above which joining the messages of a batch gains nothing.
const JOIN_BELOW: usize = 128;

/// Consecutive messages that are one JSON array in the slab: from the byte before the first to the
/// byte after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The index of the span of the first message.
    pub(crate) first: usize,
    /// The number of messages, at least 2.
    pub(crate) len: usize,
}

/// Joins messages of a batch of JSON texts, as far as the result is exact, and calls `joined` with
/// each run.
///
/// A text that closes all its strings and brackets cannot change the meaning of its neighbours. So
/// if the array parses and has as many elements as the run has messages, each message is its own
/// element; see [`json::is_balanced`].
pub(crate) fn join(slab: &mut [u8], spans: &[Span], mut joined: impl FnMut(Run)) {
    let [begin, .., end] = spans else { return };
    if (end.end - begin.start) as usize > spans.len() * JOIN_BELOW {
        return;
    }
    let mut first = 0;
    while first < spans.len() {
        let len = joinable(slab, &spans[first..]);
        if len >= 2 {
            write_array(slab, &spans[first..first + len]);
            joined(Run { first, len });
        }
        // The message after a run stays single: two adjacent arrays need two bytes between them.
        first += len + 1;
    }
}

/// Returns the number of messages at the start of `spans` that can be joined: balanced texts of one
/// kind.
fn joinable(slab: &[u8], spans: &[Span]) -> usize {
    let Some(Span { kind, .. }) = spans.first() else { return 0 };
    if *kind == PayloadKind::Bytes {
        return 0;
    }
    let is_joinable = |span: &&Span| span.kind == *kind && json::is_balanced(&slab[span.range()]);
    spans.iter().take_while(is_joinable).count()
}

fn write_array(slab: &mut [u8], run: &[Span]) {
    let (mut end, mut separator) = (None, b'[');
    for at in run.iter().map(Span::range) {
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
