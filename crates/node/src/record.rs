//! Encodes an event of a turn, or a result of a codec, as a record of 32-bit words.

use fdwire_channel::Refusal;
use fdwire_wire::codec::{Kind, Lost};
use fdwire_wire::{Malformed, Text};

use crate::table::{
    Deadline, FROM_PEER, LossReason, PayloadKind, RECORD_DETAIL, RECORD_FDS, RECORD_FIRST_FD,
    RECORD_KIND, RECORD_LENGTH, RECORD_NAME, RECORD_NAME_LENGTH, RECORD_PLACE, RECORD_WORDS,
    RecordKind, RefusalReason,
};

/// The fields of a record; see the `RECORD_` constants for what they mean.
pub(crate) struct Record {
    pub(crate) kind: RecordKind,
    pub(crate) place: i32,
    pub(crate) length: i32,
    pub(crate) first_fd: i32,
    pub(crate) fds: i32,
    pub(crate) name: i32,
    pub(crate) name_length: i32,
    pub(crate) detail: i32,
}

impl Record {
    /// Creates a record whose name is that of the peer. All other fields are 0.
    pub(crate) fn new(kind: RecordKind) -> Self {
        Self {
            kind,
            place: 0,
            length: 0,
            first_fd: 0,
            fds: 0,
            name: FROM_PEER,
            name_length: 0,
            detail: 0,
        }
    }

    /// Returns the words of the record.
    #[inline]
    pub(crate) fn words(&self) -> [i32; RECORD_WORDS as usize] {
        let mut words = [0; RECORD_WORDS as usize];
        words[RECORD_KIND as usize] = self.kind as i32;
        words[RECORD_PLACE as usize] = self.place;
        words[RECORD_LENGTH as usize] = self.length;
        words[RECORD_FIRST_FD as usize] = self.first_fd;
        words[RECORD_FDS as usize] = self.fds;
        words[RECORD_NAME as usize] = self.name;
        words[RECORD_NAME_LENGTH as usize] = self.name_length;
        words[RECORD_DETAIL as usize] = self.detail;
        words
    }
}

/// Converts an offset, a length or a count to a word. All are below 2^31: the length of a large
/// message because `lib/` accepts only a `maxMessage` below 2^31.
pub(crate) fn word(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Returns how JavaScript reads a payload.
pub(crate) fn payload_kind(kind: Kind) -> PayloadKind {
    match kind {
        Kind::Text(Text::Ascii) => PayloadKind::Ascii,
        Kind::Text(Text::Utf8) => PayloadKind::Utf8,
        Kind::Bytes => PayloadKind::Bytes,
    }
}

/// Returns why a channel refused a message.
pub(crate) fn refusal_reason(why: Refusal) -> RefusalReason {
    match why {
        Refusal::Malformed(why) => malformed_reason(why),
        Refusal::TooLarge => RefusalReason::TooLarge,
        Refusal::TooManyFds => RefusalReason::TooManyFds,
        Refusal::FdsTruncated => RefusalReason::FdsTruncated,
        Refusal::NoMemoryFile => RefusalReason::NoMemoryFile,
    }
}

/// Returns why a codec refused a message.
pub(crate) fn malformed_reason(why: Malformed) -> RefusalReason {
    match why {
        Malformed::Empty => RefusalReason::Empty,
        Malformed::NotUtf8 => RefusalReason::NotUtf8,
        Malformed::NotBase64 => RefusalReason::NotBase64,
        Malformed::CutOff => RefusalReason::CutOff,
        Malformed::BadEscape => RefusalReason::BadEscape,
    }
}

/// Returns the deadline that has passed.
pub(crate) fn deadline(passed: fdwire_channel::Deadline) -> Deadline {
    match passed {
        fdwire_channel::Deadline::Idle => Deadline::Idle,
        fdwire_channel::Deadline::Message => Deadline::Message,
    }
}

/// Returns why a codec cannot decode the rest of a stream.
pub(crate) fn loss_reason(why: Lost) -> LossReason {
    match why {
        Lost::TooLarge => LossReason::TooLarge,
        Lost::BadHeader => LossReason::BadHeader,
    }
}
