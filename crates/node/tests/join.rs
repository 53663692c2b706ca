//! Small JSON messages of a batch become one array, and only where that is exact.
//!
//! The addon is a shared library that only Node can load, so the module is compiled into this test.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "../src/join.rs"]
mod join;

use std::io::IoSlice;
use std::time::Duration;

use fdwire_channel::{Batch, Channel, Event, Framing, Limits, NAMES, Reactor};
use fdwire_socket::{Datagram, Stream};
use fdwire_wire::Protocol;
use fdwire_wire::codec::{self, Codec};
use join::{Run, join};

/// The slab and the events of the turns that one channel has had.
struct World {
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
        max_queued_fds: 1_024,
        memfd: false,
        send_timeout: None,
    }
}

impl World {
    fn new(reactor: Reactor, channel: usize) -> Self {
        Self { reactor, channel, slab: vec![0; 512 * 1024 + NAMES] }
    }

    /// A world whose channel receives the datagrams of the socket.
    fn datagrams() -> (Self, Datagram) {
        let (socket, sender) = Datagram::pair().unwrap();
        let mut reactor = Reactor::new().unwrap();
        let channel = Channel::datagram(socket, Protocol::Jsoncomm, limits());
        let channel = reactor.add(channel.unwrap_or_else(|(errno, _)| panic!("{errno}")));
        reactor.set_reading(channel, true);
        (Self::new(reactor, channel), sender)
    }

    /// A world whose channel receives the JSON texts that the socket sends as lines.
    fn lines() -> (Self, Stream) {
        let (socket, sender) = Stream::pair().unwrap();
        let mut reactor = Reactor::new().unwrap();
        let options = codec::Options {
            max_message: 1024 * 1024,
            text: true,
            lenient: false,
            final_line: false,
        };
        let codec = Codec::new(Protocol::Lines, options).unwrap();
        let framing = Framing { codec, text: true, json: true };
        let added = reactor.add_stream(socket, false, framing, limits());
        let channel = added.unwrap_or_else(|(errno, _)| panic!("{errno}"));
        reactor.set_reading(channel, true);
        (Self::new(reactor, channel), sender)
    }

    /// Joins the messages of one turn: the runs with their arrays, and all messages as they were
    /// before.
    fn turn(&mut self) -> (Vec<(Run, String)>, Vec<String>) {
        self.reactor.poll(Duration::from_secs(20)).unwrap();
        let mut batch = Batch::new(&mut self.slab, Vec::new(), Vec::new());
        assert_eq!(self.reactor.turn(&mut batch), Some(self.channel));
        let (used, events) = (batch.used(), batch.events);
        let at = |index: usize| match &events[index] {
            Event::Message(at, _) => at.clone(),
            other => panic!("{other:?}"),
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let messages = (0..events.len()).map(|index| text(&self.slab[at(index)])).collect();
        let mut runs = Vec::new();
        join(&mut self.slab, used, &events, &mut runs);
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
    let (mut world, sender) = World::datagrams();
    for text in ["1", "[2]", "{\"a\":\"]\"}"] {
        sender.send(text.as_bytes(), &[], None).unwrap();
    }
    let (runs, _) = world.turn();
    assert_eq!(runs, [(Run { first: 0, len: 3 }, "[1,[2],{\"a\":\"]\"}]".to_owned())]);
}

#[test]
fn joins_nothing_beside_a_text_that_closes_a_bracket_of_its_neighbour() {
    let (mut world, sender) = World::datagrams();
    for text in ["1", "2]", "3"] {
        sender.send(text.as_bytes(), &[], None).unwrap();
    }
    let (runs, messages) = world.turn();
    assert!(runs.is_empty(), "{runs:?}");
    assert_eq!(messages, ["1", "2]", "3"]);
}

#[test]
fn overwrites_the_framing_between_two_messages_of_a_stream() {
    let (mut world, sender) = World::lines();
    sender.send(&[IoSlice::new(b"1\n\"two\"\n[3]\n")], &[]).unwrap();
    let (runs, _) = world.turn();
    assert_eq!(runs, [(Run { first: 0, len: 3 }, "[1,\"two\",[3]]".to_owned())]);
}

#[test]
fn joins_texts_above_0x7f_apart_from_the_others() {
    let (mut world, sender) = World::datagrams();
    for text in ["1", "2", "\"\u{e9}\"", "\"\u{e9}\"", "\"\u{e9}\"", "3", "4", "5"] {
        sender.send(text.as_bytes(), &[], None).unwrap();
    }
    let (runs, _) = world.turn();
    // The event after a run stays single.
    let expected = [
        (Run { first: 0, len: 2 }, "[1,2]".to_owned()),
        (Run { first: 3, len: 2 }, "[\"\u{e9}\",\"\u{e9}\"]".to_owned()),
        (Run { first: 6, len: 2 }, "[4,5]".to_owned()),
    ];
    assert_eq!(runs, expected);
}

#[test]
fn joins_no_messages_that_are_long_on_average() {
    let (mut world, sender) = World::datagrams();
    for _ in 0..3 {
        sender.send(format!("\"{}\"", "x".repeat(200)).as_bytes(), &[], None).unwrap();
    }
    assert!(world.turn().0.is_empty());
}
