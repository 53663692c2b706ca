//! Queues the small messages that JavaScript has gathered for streams.
//!
//! ```text
//! table  | channel, length, kind | channel, length, kind | channel, length, kind | …
//! block  | bytes of message 0 | bytes of message 2 | …
//! texts  | text of message 1 | …                          one string for all texts
//! ```
//!
//! One call takes a batch, because a call costs as much as copying some hundred bytes. The string is
//! read as UTF-16, which V8 only has to copy. One text that is not ASCII makes V8 store the whole
//! string in two bytes a character, and converting that is much slower there than here.

use fdwire_channel::{Reactor, SendError};
use fdwire_wire::utf16::append_utf8;

use crate::memory::{GatheredRecord, Memory};
use crate::table::GATHERED_LENGTH;

/// Memory for the gathered texts.
#[derive(Default)]
pub(crate) struct Texts {
    /// The string of all texts.
    pub(crate) units: Vec<u16>,
    /// The texts, in UTF-8.
    bytes: Vec<u8>,
    /// The length of each text in bytes.
    lengths: Vec<usize>,
}

/// Queues the first `count` gathered messages. The first `units` code units of `texts` are those
/// that are text.
///
/// # Errors
///
/// The error of the first message that was not accepted. The messages after it, which another
/// channel may have sent, are not queued either.
pub(crate) fn queue(
    reactor: &mut Reactor,
    memory: &Memory,
    count: usize,
    texts: &mut Texts,
    units: usize,
) -> Result<(), SendError> {
    let (records, mut block) = memory.gathered(count);
    texts.convert(records, units);
    let (mut bytes, mut lengths) = (&texts.bytes[..], texts.lengths.iter());
    for run in records.chunk_by(|one, next| one[0] == next[0]) {
        let messages = run.iter().map(|record| {
            let text = is_text(record);
            let (from, len) = if text {
                (&mut bytes, lengths.next().copied().unwrap_or(0))
            } else {
                (&mut block, length(record))
            };
            let (payload, rest) = from.split_at(len.min(from.len()));
            *from = rest;
            (payload, text)
        });
        reactor.gather(usize::try_from(run[0][0]).unwrap_or(usize::MAX), messages)?;
    }
    Ok(())
}

impl Texts {
    /// Converts the first `units` code units to UTF-8.
    fn convert(&mut self, records: &[GatheredRecord], units: usize) {
        self.bytes.clear();
        self.lengths.clear();
        let mut left = &self.units[..units];
        for record in records.iter().filter(|record| is_text(record)) {
            let (text, rest) = left.split_at(length(record).min(left.len()));
            left = rest;
            let before = self.bytes.len();
            append_utf8(text, &mut self.bytes);
            self.lengths.push(self.bytes.len() - before);
        }
    }
}

fn is_text(record: &GatheredRecord) -> bool {
    record[1] % GATHERED_LENGTH != 0
}

fn length(record: &GatheredRecord) -> usize {
    usize::try_from(record[1] / GATHERED_LENGTH).unwrap_or(0)
}
