//! The state of an environment. It runs turns, and writes their events as records.

use std::time::Instant;

use fdwire_channel::{
    Batch, Channel, Event, MAX_EVENTS, Message, NAMES, Reactor, Sender, Span, UndeliveredReason,
};
use fdwire_socket::{Address, Errno, ForeignFd, closing};

use crate::fds::{Closing, OwnedFds};
use crate::gathered::Texts;
use crate::join::join;
use crate::memory::Memory;
use crate::open::prepared::PreparedStream;
use crate::record::{Record, deadline, loss_reason, payload_kind, refusal_reason, word};
use crate::table::{
    BATCH_BYTES, CREDENTIALS, EVICTED, FDS_IN, FROM_PEER, FROM_SAME, FROM_UNNAMED, JOINED,
    RECORD_WORDS, RECORDS, RecordKind, SPAN_KIND, SPAN_WORDS, SPANS,
};

/// The state of one environment.
pub(crate) struct State {
    pub(crate) reactor: Reactor,
    pub(crate) owned: OwnedFds,
    closing: Closing,
    pub(crate) memory: Memory,
    /// Messages of the current turn for which the slab had no room.
    large: Vec<Vec<u8>>,
    /// Memory for the text that is being sent.
    pub(crate) scratch: Vec<u8>,
    pub(crate) texts: Texts,
    /// The options of the next channels that the hot function `connect` makes.
    pub(crate) prepared: Option<PreparedStream>,
    /// The channel or listener of the current turn; None if it has been removed.
    current: Option<usize>,
    // These are empty. The next turn reuses their memory.
    events: Vec<Event>,
    spans: Vec<Span>,
    fds: Vec<ForeignFd>,
}

/// The turn of one channel or listener.
pub(crate) struct Turn {
    pub(crate) channel: usize,
    events: Vec<Event>,
    /// The number of events that have been written as records.
    recorded: usize,
    /// The number of events. Each plain message counts as one event.
    results: usize,
    began: Instant,
}

impl State {
    pub(crate) fn new(memory: Memory) -> Result<Self, Errno> {
        Ok(Self {
            reactor: Reactor::new()?,
            owned: OwnedFds::default(),
            closing: Closing::default(),
            memory,
            large: Vec::new(),
            scratch: Vec::new(),
            texts: Texts::default(),
            prepared: None,
            current: None,
            events: Vec::new(),
            spans: Vec::new(),
            fds: Vec::new(),
        })
    }

    /// Runs the turn of the next ready channel or listener, or returns None if none is ready.
    pub(crate) fn next_turn(&mut self) -> Option<Turn> {
        let events = std::mem::take(&mut self.events);
        let spans = std::mem::take(&mut self.spans);
        let fds = std::mem::take(&mut self.fds);
        let mut batch = Batch::new(&mut self.memory.slab()[..BATCH_BYTES], events, spans, fds);
        let channel = self.reactor.turn(&mut batch);
        let results = batch.results();
        let (events, spans, mut fds) = (batch.events, batch.spans, batch.fds);
        let table = self.memory.table();
        for (at, fd) in fds.drain(..).enumerate() {
            table[FDS_IN as usize + at] = self.owned.insert(fd);
        }
        self.fds = fds;
        self.large.clear();
        let Some(channel) = channel else {
            (self.events, self.spans) = (events, spans);
            return None;
        };
        self.write_spans(channel, &spans);
        self.spans = spans;
        self.current = Some(channel);
        Some(Turn { channel, events, recorded: 0, results, began: Instant::now() })
    }

    /// Writes the spans of a turn into the table, and joins small JSON messages.
    fn write_spans(&mut self, channel: usize, spans: &[Span]) {
        let words =
            self.memory.table()[SPANS as usize..].as_chunks_mut::<{ SPAN_WORDS as usize }>();
        for (words, span) in words.0.iter_mut().zip(spans) {
            let range = span.range();
            *words = [word(range.start), word(range.len()), payload_kind(span.kind) as i32];
        }
        if !self.reactor.channel(channel).is_some_and(Channel::receives_json) {
            return;
        }
        let (slab, table) = self.memory.slab_and_table();
        join(slab, spans, |run| {
            let at = SPANS + word(run.first).cast_unsigned() * SPAN_WORDS + SPAN_KIND;
            table[at as usize] += word(run.len) * JOINED;
        });
    }

    /// Takes the bytes of a `Large` record of this turn. The message is at the end of them.
    pub(crate) fn take_large(&mut self, place: u32) -> Vec<u8> {
        self.large.get_mut(place as usize).map(std::mem::take).unwrap_or_default()
    }

    /// Closes descriptors of `FdSet`s.
    ///
    /// # Errors
    ///
    /// EBADF, after all are closed, if other code of the process has closed one.
    pub(crate) fn close(&mut self, numbers: impl Iterator<Item = i32>) -> Result<(), Errno> {
        let mut result = Ok(());
        for number in numbers {
            let added = match self.owned.take(number) {
                Some(fd) => self.closing.add(fd),
                None => Err(Errno::BADF),
            };
            result = result.and(added);
        }
        self.closing.finish();
        result
    }

    /// Removes a channel.
    pub(crate) fn remove(&mut self, index: usize) -> Option<Channel> {
        self.end_turn_of(index);
        self.reactor.remove(index)
    }

    /// Drops the rest of the turn of a channel or listener that is removed, since another one may get
    /// the index.
    pub(crate) fn end_turn_of(&mut self, index: usize) {
        self.current = self.current.filter(|&current| current != index);
    }

    /// Writes the next events of a turn as records. Returns the number of records; 0 at the end.
    pub(crate) fn write_records(&mut self, turn: &mut Turn) -> i32 {
        let mut names = BATCH_BYTES;
        let mut count = 0;
        if self.current.is_none() {
            self.drop_unrecorded(turn);
        }
        while count < MAX_EVENTS && names + NAME_MAX <= BATCH_BYTES + NAMES {
            let Some(event) = turn.events.get_mut(turn.recorded) else { break };
            let record = self.record(event, &mut names);
            let at = RECORDS as usize + count * RECORD_WORDS as usize;
            self.memory.table()[at..at + RECORD_WORDS as usize].copy_from_slice(&record.words());
            turn.recorded += 1;
            count += 1;
        }
        word(count)
    }

    /// Keeps the memory of a turn for the next one.
    pub(crate) fn recycle(&mut self, turn: Turn) {
        // None if the channel was removed in this turn.
        let current = self.current.take();
        if let Some(channel) = current.filter(|_| turn.recorded > 0) {
            self.reactor.handled(channel, turn.results, turn.began.elapsed());
        }
        self.events = turn.events;
    }

    /// Drops the events that have not been written as records, and closes their descriptors.
    fn drop_unrecorded(&mut self, turn: &mut Turn) {
        let mut unused = Vec::new();
        for event in turn.events.drain(turn.recorded..) {
            let fds = match event {
                Event::Message(_, message) | Event::Large(_, _, message) => message.fds,
                Event::Connections(fds) => fds,
                _ => continue,
            };
            for at in fds {
                let number = self.memory.table()[FDS_IN as usize + at];
                unused.extend(self.owned.take(number));
            }
        }
        closing::discard(&mut unused);
    }

    /// Closes descriptors of connections that are in a sent message. Returns how many of the numbers
    /// were open.
    ///
    /// This process has accepted them and set no linger time, so close(2) does not wait.
    pub(crate) fn close_sent(&mut self, numbers: &[i32]) -> usize {
        let mut sent: Vec<_> = numbers
            .iter()
            .filter_map(|&number| Some(self.owned.take(number)?.into_owned()))
            .collect();
        let count = sent.len();
        closing::close_at_once(&mut sent);
        count
    }

    fn record(&mut self, event: &mut Event, names: &mut usize) -> Record {
        match event {
            Event::Messages(spans) => Record {
                place: word(spans.start),
                length: word(spans.len()),
                ..Record::new(RecordKind::Messages)
            },
            Event::Message(span, message) => {
                message_record(RecordKind::Message, word(*span), 1, message)
            }
            Event::Large(bytes, at, message) => {
                let place = word(self.large.len());
                let record = message_record(RecordKind::Large, place, at.len(), message);
                // JavaScript takes the last `length` bytes of the buffer.
                bytes.truncate(at.end);
                self.large.push(std::mem::take(bytes));
                record
            }
            Event::Refused(why, sample, from) => {
                let (name, name_length) = sender(from);
                Record {
                    place: word(sample.start),
                    length: word(sample.len()),
                    name,
                    name_length,
                    detail: refusal_reason(*why) as i32,
                    ..Record::new(RecordKind::Refused)
                }
            }
            Event::Drained(to) => {
                let (name, name_length) = self.name(to.as_ref(), names);
                Record { name, name_length, ..Record::new(RecordKind::Drained) }
            }
            Event::Undelivered(message) => {
                let (name, name_length) = self.name(message.to.as_ref(), names);
                let place = match message.reason {
                    UndeliveredReason::Refused(errno) => errno.raw_os_error(),
                    UndeliveredReason::Expired => 0,
                    UndeliveredReason::Evicted => EVICTED,
                };
                let detail = low_31_bits(message.seq);
                let record = Record::new(RecordKind::Undelivered);
                Record { place, name, name_length, detail, ..record }
            }
            Event::Progress => Record::new(RecordKind::Progress),
            Event::FdsHeld => Record::new(RecordKind::FdsHeld),
            Event::Connected => Record::new(RecordKind::Connected),
            Event::Accepted(channel) => {
                Record { place: word(*channel), ..Record::new(RecordKind::Accepted) }
            }
            Event::Connections(fds) => Record {
                first_fd: word(fds.start),
                fds: word(fds.len()),
                ..Record::new(RecordKind::Connections)
            },
            Event::Readable(ended) => {
                Record { place: i32::from(*ended), ..Record::new(RecordKind::Readable) }
            }
            Event::End => Record::new(RecordKind::End),
            Event::Cut(missing) => Record { place: word(*missing), ..Record::new(RecordKind::Cut) },
            Event::Lost(why, sample) => Record {
                place: word(sample.start),
                length: word(sample.len()),
                detail: loss_reason(*why) as i32,
                ..Record::new(RecordKind::Lost)
            },
            Event::HungUp => Record::new(RecordKind::HungUp),
            Event::Late(passed) => {
                Record { detail: deadline(*passed) as i32, ..Record::new(RecordKind::Late) }
            }
            Event::Failed(errno, syscall) => {
                let (name, name_length) = self.keep(syscall.as_bytes(), names);
                let place = errno.raw_os_error();
                Record { place, name, name_length, ..Record::new(RecordKind::Failed) }
            }
        }
    }

    /// Writes the address of a destination into the slab, and returns its offset and length.
    fn name(&mut self, to: Option<&Address>, names: &mut usize) -> (i32, i32) {
        match to {
            None => (FROM_PEER, 0),
            Some(to) => self.keep(to.as_bytes(), names),
        }
    }

    /// Writes a name into the slab at `names`, and returns its offset and length.
    fn keep(&mut self, bytes: &[u8], names: &mut usize) -> (i32, i32) {
        let at = *names..*names + bytes.len();
        *names = at.end;
        let place = (word(at.start), word(bytes.len()));
        self.memory.slab()[at].copy_from_slice(bytes);
        place
    }
}

/// Length in bytes of the longest name: the address of a destination, or a system call.
const NAME_MAX: usize = Address::MAX_LEN;

/// Returns the bits of a sequence number that fit in a record. They identify the queued message.
pub(crate) fn low_31_bits(seq: u64) -> i32 {
    i32::try_from(seq & 0x7fff_ffff).unwrap_or(0)
}

fn message_record(kind: RecordKind, place: i32, len: usize, message: &Message) -> Record {
    let (name, name_length) = sender(&message.from);
    let credentials = message.credentials.map_or(0, |place| word(place.get() as usize));
    Record {
        kind,
        place,
        length: word(len),
        first_fd: word(message.fds.start),
        fds: word(message.fds.len()),
        name,
        name_length: name_length + credentials * CREDENTIALS,
        detail: payload_kind(message.kind) as i32,
    }
}

fn sender(from: &Sender) -> (i32, i32) {
    match from {
        Sender::Peer => (FROM_PEER, 0),
        Sender::Unnamed => (FROM_UNNAMED, 0),
        Sender::Same => (FROM_SAME, 0),
        Sender::Address(at) => (word(at.start), word(at.len())),
    }
}
