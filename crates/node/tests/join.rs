//! Small JSON messages of a batch become one array, but only if that is exact.
//!
//! The addon is a shared library that only Node can load, so the module is compiled into this test.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "../src/join.rs"]
mod join;

use std::io::IoSlice;
use std::time::Duration;

use fdwire_channel::{Batch, Channel, Framing, Limits, NAMES, Reactor};
use fdwire_socket::{Datagram, Stream};
use fdwire_wire::Protocol;
use fdwire_wire::codec::{self, Codec};
use join::{Run, join};

/// A reactor with one channel, and its slab.
struct Fixture {
    reactor: Reactor,
    channel: usize,
    slab: Vec<u8>,
}

fn limits() -> Limits {
    Limits {
        max_message: 1024 * 1024,
        max_fds: 0,
        max_open_fds: 256,
        high_water_mark: 64 * 1024,
        max_queued: 1024 * 1024,
        max_queued_total: usize::MAX,
        max_queued_fds: 1_024,
        memfd: false,
        send_timeout: None,
        idle_timeout: None,
        message_timeout: None,
        busy_poll: std::time::Duration::ZERO,
    }
}

impl Fixture {
    fn new(reactor: Reactor, channel: usize) -> Self {
        Self { reactor, channel, slab: vec![0; 512 * 1024 + NAMES] }
    }

    /// Returns a fixture whose channel receives the datagrams of the returned socket.
    fn datagrams() -> (Self, Datagram) {
        let (socket, sender) = Datagram::pair().unwrap();
        let mut reactor = Reactor::new().unwrap();
        let channel = Channel::datagram(socket, Protocol::Jsoncomm, limits());
        let channel = reactor.add(channel.unwrap_or_else(|(errno, _)| panic!("{errno}")));
        reactor.set_reading(channel, true);
        (Self::new(reactor, channel), sender)
    }

    /// Returns a fixture whose channel receives the JSON texts that the returned socket sends as
    /// lines.
    fn lines() -> (Self, Stream) {
        let (socket, sender) = Stream::pair().unwrap();
        let mut reactor = Reactor::new().unwrap();
        let options = codec::Options::new(1024 * 1024, true);
        let codec = Codec::new(Protocol::Lines, options).unwrap();
        let framing = Framing { codec, text: true, json: true };
        let added = reactor.add_stream(socket, false, framing, limits());
        let channel = added.unwrap_or_else(|(errno, _)| panic!("{errno}"));
        reactor.set_reading(channel, true);
        (Self::new(reactor, channel), sender)
    }

    /// Runs one turn and joins its messages. Returns the runs with their arrays, and all messages
    /// as received.
    fn turn(&mut self) -> (Vec<(Run, String)>, Vec<String>) {
        self.reactor.poll(Duration::from_secs(20)).unwrap();
        let mut batch = Batch::new(&mut self.slab, Vec::new(), Vec::new(), Vec::new());
        assert_eq!(self.reactor.turn(&mut batch), Some(self.channel));
        let spans = batch.spans;
        let at = |index: usize| spans[index].range();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let messages = (0..spans.len()).map(|index| text(&self.slab[at(index)])).collect();
        let mut runs = Vec::new();
        join(&mut self.slab, &spans, |run| runs.push(run));
        let array = |run: Run| {
            let place = at(run.first).start - 1..at(run.first + run.len - 1).end + 1;
            (run, text(&self.slab[place]))
        };
        for (index, message) in Vec::clone(&messages).into_iter().enumerate() {
            assert_eq!(text(&self.slab[at(index)]), message, "joining changes no message");
        }
        (runs.into_iter().map(array).collect(), messages)
    }
}

#[test]
fn joins_small_datagrams_into_one_array() {
    let (mut fixture, sender) = Fixture::datagrams();
    for text in ["1", "[2]", "{\"a\":\"]\"}"] {
        sender.send(text.as_bytes(), &[], None).unwrap();
    }
    let (runs, _) = fixture.turn();
    assert_eq!(runs, [(Run { first: 0, len: 3 }, "[1,[2],{\"a\":\"]\"}]".to_owned())]);
}

#[test]
fn joins_nothing_if_a_text_closes_a_bracket_of_its_neighbour() {
    let (mut fixture, sender) = Fixture::datagrams();
    for text in ["1", "2]", "3"] {
        sender.send(text.as_bytes(), &[], None).unwrap();
    }
    let (runs, messages) = fixture.turn();
    assert!(runs.is_empty(), "{runs:?}");
    assert_eq!(messages, ["1", "2]", "3"]);
}

#[test]
fn overwrites_the_framing_between_two_messages_of_a_stream() {
    let (mut fixture, sender) = Fixture::lines();
    sender.send(&[IoSlice::new(b"1\n\"two\"\n[3]\n")], &[]).unwrap();
    let (runs, _) = fixture.turn();
    assert_eq!(runs, [(Run { first: 0, len: 3 }, "[1,\"two\",[3]]".to_owned())]);
}

#[test]
fn joins_texts_with_bytes_above_0x7f_separately() {
    let (mut fixture, sender) = Fixture::datagrams();
    for text in ["1", "2", "\"\u{e9}\"", "\"\u{e9}\"", "\"\u{e9}\"", "3", "4", "5"] {
        sender.send(text.as_bytes(), &[], None).unwrap();
    }
    let (runs, _) = fixture.turn();
    // The message after a run stays single.
    let expected = [
        (Run { first: 0, len: 2 }, "[1,2]".to_owned()),
        (Run { first: 3, len: 2 }, "[\"\u{e9}\",\"\u{e9}\"]".to_owned()),
        (Run { first: 6, len: 2 }, "[4,5]".to_owned()),
    ];
    assert_eq!(runs, expected);
}

#[test]
fn joins_no_messages_that_are_long_on_average() {
    let (mut fixture, sender) = Fixture::datagrams();
    for _ in 0..3 {
        sender.send(format!("\"{}\"", "x".repeat(200)).as_bytes(), &[], None).unwrap();
    }
    assert!(fixture.turn().0.is_empty());
}
