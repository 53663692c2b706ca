//! What an environment owns, and how a turn becomes records.

use std::os::fd::OwnedFd;

use fdwire_channel::{
    Batch, Channel, Event, MAX_EVENTS, Message, NAMES, Reactor, Refusal, Sender, UndeliveredReason,
};
use fdwire_socket::{Address, Errno};
use fdwire_wire::codec::{Kind, Lost};
use fdwire_wire::{Malformed, Text};

use crate::fds::OwnedFds;
use crate::join::{Run, join};
use crate::memory::Memory;
use crate::table::{
    BATCH_BYTES, CREDENTIALS, FDS_IN, FROM_PEER, FROM_SAME, FROM_UNNAMED, JOINED, LossReason,
    PayloadKind, RECORD_WORDS, RECORDS, RecordKind, RefusalReason,
};

/// The state of one environment.
pub(crate) struct State {
    pub(crate) reactor: Reactor,
    pub(crate) owned: OwnedFds,
    pub(crate) memory: Memory,
    /// Messages of this turn that the slab was too small for.
    pub(crate) large: Vec<Vec<u8>>,
    /// Where strings are written on their way to the kernel.
    pub(crate) scratch: Vec<u8>,
    events: Vec<Event>,
    fds: Vec<OwnedFd>,
    /// The memory of a turn's runs, between two turns.
    runs: Vec<Run>,
    /// The channel whose turn is being told, until it closes.
    telling: Option<usize>,
}

/// One channel's turn, as far as it has been told to JavaScript.
pub(crate) struct Turn {
    pub(crate) channel: usize,
    events: Vec<Event>,
    told: usize,
    /// The messages that were joined, last run first.
    runs: Vec<Run>,
}

/// A record, as words: see `table.rs`.
type Record = [i32; RECORD_WORDS as usize];

impl State {
    pub(crate) fn new(memory: Memory) -> Result<Self, Errno> {
        Ok(Self {
            reactor: Reactor::new()?,
            owned: OwnedFds::default(),
            memory,
            large: Vec::new(),
            scratch: Vec::new(),
            events: Vec::new(),
            fds: Vec::new(),
            runs: Vec::new(),
            telling: None,
        })
    }

    /// Lets the next ready channel work.
    pub(crate) fn turn(&mut self) -> Option<Turn> {
        let events = std::mem::take(&mut self.events);
        let fds = std::mem::take(&mut self.fds);
        let mut batch = Batch::new(&mut self.memory.slab()[..BATCH_BYTES], events, fds);
        let channel = self.reactor.turn(&mut batch);
        let used = batch.used();
        let (events, mut fds) = (batch.events, batch.fds);
        let table = self.memory.table();
        for (at, fd) in fds.drain(..).enumerate() {
            table[FDS_IN as usize + at] = self.owned.insert(fd);
        }
        self.fds = fds;
        self.large.clear();
        let Some(channel) = channel else {
            self.events = events;
            return None;
        };
        let mut runs = std::mem::take(&mut self.runs);
        if self.reactor.channel(channel).is_some_and(Channel::receives_json) {
            join(self.memory.slab(), used, &events, &mut runs);
            runs.reverse();
        }
        self.telling = Some(channel);
        Some(Turn { channel, events, told: 0, runs })
    }

    /// Takes a channel out. What is left of its turn goes to nobody: the index may be another's soon.
    pub(crate) fn remove(&mut self, index: usize) -> Option<Channel> {
        self.telling = self.telling.filter(|&telling| telling != index);
        self.reactor.remove(index)
    }

    /// Writes the next records of a turn; how many, 0 when all are told.
    pub(crate) fn tell(&mut self, turn: &mut Turn) -> i32 {
        let mut names = BATCH_BYTES;
        let mut count = 0;
        if self.telling.is_none() {
            self.close_untold(turn);
        }
        while count < MAX_EVENTS && names + NAME_MAX <= BATCH_BYTES + NAMES {
            let Some(event) = turn.events.get_mut(turn.told) else { break };
            let joined = joined_at(turn.told, &mut turn.runs);
            let record = self.record(event, joined, &mut names);
            let at = RECORDS as usize + count * RECORD_WORDS as usize;
            self.memory.table()[at..at + RECORD_WORDS as usize].copy_from_slice(&record);
            turn.told += 1;
            count += 1;
        }
        word(count)
    }

    /// Takes the turn's memory back, for the next one.
    pub(crate) fn recycle(&mut self, turn: Turn) {
        self.telling = None;
        self.events = turn.events;
        self.runs = turn.runs;
        self.runs.clear();
    }

    fn close_untold(&mut self, turn: &mut Turn) {
        for event in turn.events.drain(turn.told..) {
            if let Event::Message(_, message) | Event::Large(_, _, message) = event {
                for at in message.fds {
                    let number = self.memory.table()[FDS_IN as usize + at];
                    drop(self.owned.take(number));
                }
            }
        }
    }

    fn record(&mut self, event: &mut Event, joined: usize, names: &mut usize) -> Record {
        match event {
            Event::Message(at, message) => {
                message_record(RecordKind::Message, word(at.start), at.len(), message, joined)
            }
            Event::Large(bytes, at, message) => {
                let place = word(self.large.len());
                let record = message_record(RecordKind::Large, place, at.len(), message, 0);
                // The message is what stands at its end.
                bytes.truncate(at.end);
                self.large.push(std::mem::take(bytes));
                record
            }
            Event::Refused(why, sample, from) => {
                let (name, name_len) = sender(from);
                let reason = reason(*why) as i32;
                let kind = RecordKind::Refused as i32;
                [kind, word(sample.start), word(sample.len()), 0, 0, name, name_len, reason]
            }
            Event::Drained(to) => {
                let (name, name_len) = self.name(to.as_ref(), names);
                [RecordKind::Drained as i32, 0, 0, 0, 0, name, name_len, 0]
            }
            Event::Undelivered(message) => {
                let (name, name_len) = self.name(message.to.as_ref(), names);
                let errno = match message.reason {
                    UndeliveredReason::Refused(errno) => errno.raw_os_error(),
                    UndeliveredReason::Expired => 0,
                };
                let seq = low_31_bits(message.seq);
                [RecordKind::Undelivered as i32, errno, 0, 0, 0, name, name_len, seq]
            }
            Event::Progress => [RecordKind::Progress as i32, 0, 0, 0, 0, 0, 0, 0],
            Event::FdsHeld => [RecordKind::FdsHeld as i32, 0, 0, 0, 0, 0, 0, 0],
            Event::Connected => [RecordKind::Connected as i32, 0, 0, 0, 0, 0, 0, 0],
            Event::Accepted(channel) => {
                [RecordKind::Accepted as i32, word(*channel), 0, 0, 0, 0, 0, 0]
            }
            Event::End => [RecordKind::End as i32, 0, 0, 0, 0, 0, 0, 0],
            Event::Cut(missing) => [RecordKind::Cut as i32, word(*missing), 0, 0, 0, 0, 0, 0],
            Event::Lost(why, sample) => {
                let (place, len) = (word(sample.start), word(sample.len()));
                [RecordKind::Lost as i32, place, len, 0, 0, 0, 0, loss_reason(*why) as i32]
            }
            Event::Failed(errno, syscall) => {
                let (name, name_len) = self.keep(syscall.as_bytes(), names);
                let errno = errno.raw_os_error();
                [RecordKind::Failed as i32, errno, 0, 0, 0, name, name_len, 0]
            }
        }
    }

    fn name(&mut self, to: Option<&Address>, names: &mut usize) -> (i32, i32) {
        match to {
            None => (FROM_PEER, 0),
            Some(to) => self.keep(to.as_bytes(), names),
        }
    }

    fn keep(&mut self, bytes: &[u8], names: &mut usize) -> (i32, i32) {
        let at = *names..*names + bytes.len();
        *names = at.end;
        let place = (word(at.start), word(bytes.len()));
        self.memory.slab()[at].copy_from_slice(bytes);
        place
    }
}

/// The longest name of a destination or system call (bytes).
const NAME_MAX: usize = 108;

/// The low bits of a queued message's number, by which JavaScript knows it again.
pub(crate) fn low_31_bits(seq: u64) -> i32 {
    i32::try_from(seq & 0x7fff_ffff).unwrap_or(0)
}

/// The number of messages that are joined from the event at `index` on; 0 for none.
#[inline]
fn joined_at(index: usize, runs: &mut Vec<Run>) -> usize {
    runs.pop_if(|run| run.first == index).map_or(0, |run| run.len)
}

fn message_record(
    kind: RecordKind,
    place: i32,
    len: usize,
    message: &Message,
    joined: usize,
) -> Record {
    let (name, name_len) = sender(&message.from);
    let (first, fds) = (word(message.fds.start), word(message.fds.len()));
    let detail = payload_kind(message.kind) as i32 + word(joined) * JOINED;
    let credentials = message.credentials.map_or(0, |place| word(place.get() as usize));
    let name_len = name_len + credentials * CREDENTIALS;
    [kind as i32, place, word(len), first, fds, name, name_len, detail]
}

fn sender(from: &Sender) -> (i32, i32) {
    match from {
        Sender::Peer => (FROM_PEER, 0),
        Sender::Unnamed => (FROM_UNNAMED, 0),
        Sender::Same => (FROM_SAME, 0),
        Sender::Name(at) => (word(at.start), word(at.len())),
    }
}

fn reason(why: Refusal) -> RefusalReason {
    match why {
        Refusal::Malformed(why) => malformed_reason(why),
        Refusal::TooLarge => RefusalReason::TooLarge,
        Refusal::TooManyFds => RefusalReason::TooManyFds,
        Refusal::FdsTruncated => RefusalReason::FdsTruncated,
        Refusal::NoMemoryFile => RefusalReason::NoMemoryFile,
    }
}

/// The number by which JavaScript knows what a payload is.
pub(crate) fn payload_kind(kind: Kind) -> PayloadKind {
    match kind {
        Kind::Text(Text::Ascii) => PayloadKind::Ascii,
        Kind::Text(Text::Utf8) => PayloadKind::Utf8,
        Kind::Bytes => PayloadKind::Bytes,
    }
}

/// Why a stream is lost.
pub(crate) fn loss_reason(why: Lost) -> LossReason {
    match why {
        Lost::TooLarge => LossReason::TooLarge,
        Lost::BadHeader => LossReason::BadHeader,
    }
}

/// Why a message is malformed.
pub(crate) fn malformed_reason(why: Malformed) -> RefusalReason {
    match why {
        Malformed::Empty => RefusalReason::Empty,
        Malformed::NotUtf8 => RefusalReason::NotUtf8,
        Malformed::NotBase64 => RefusalReason::NotBase64,
        Malformed::CutOff => RefusalReason::CutOff,
        Malformed::BadEscape => RefusalReason::BadEscape,
    }
}

/// A place or length in the slab, or a count of records: all far below 2^31. A large message's
/// length is bounded by `maxMessage`, which lib/ keeps below 2^31.
fn word(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
