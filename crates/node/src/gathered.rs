//! Queues the small messages that JavaScript has gathered for streams.
//!
//! ```text
//! table  | channel, length, kind | channel, length, kind | channel, length, kind | …
//! block  | bytes of message 0 | bytes of message 2 | …
//! texts  | text of message 1 | …                          one string for all texts
//! ```
//!
//! One call takes a batch, because a call costs as much as copying some hundred bytes. Most texts
//! are ASCII, and so is the whole string then: it has as many bytes as UTF-16 code units.

use fdwire_channel::{Reactor, SendError};
use fdwire_wire::utf16::utf8_len;

use crate::memory::{GatheredRecord, Memory};
use crate::table::GATHERED_LENGTH;

/// Queues the first `count` gathered messages. `texts` holds those that are text, in UTF-8.
///
/// # Errors
///
/// The error of the first message that was not accepted. The messages after it, which another
/// channel may have sent, are not queued either.
pub(crate) fn queue(
    reactor: &mut Reactor,
    memory: &Memory,
    count: usize,
    texts: &[u8],
) -> Result<(), SendError> {
    let (records, mut block) = memory.gathered(count);
    let units: usize = records.iter().filter(|it| is_text(it)).map(length).sum();
    let is_ascii = units == texts.len();
    let mut texts = texts;
    for run in records.chunk_by(|one, next| one[0] == next[0]) {
        let messages = run.iter().map(|record| {
            let text = is_text(record);
            let from = if text { &mut texts } else { &mut block };
            let len = length(record);
            let len = if text && !is_ascii { utf8_len(from, len) } else { len };
            let (payload, rest) = from.split_at(len.min(from.len()));
            *from = rest;
            (payload, text)
        });
        reactor.gather(usize::try_from(run[0][0]).unwrap_or(usize::MAX), messages)?;
    }
    Ok(())
}

fn is_text(record: &GatheredRecord) -> bool {
    record[1] % GATHERED_LENGTH != 0
}

fn length(record: &GatheredRecord) -> usize {
    usize::try_from(record[1] / GATHERED_LENGTH).unwrap_or(0)
}
