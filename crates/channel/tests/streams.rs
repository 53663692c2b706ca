//! Streams: what is sent arrives, whole and in order, however the bytes are cut.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::IoSlice;
use std::time::Duration;

use common::{PATIENCE, Seen, World, framing, limits};
use fdwire_channel::{Event, Limits, SendError, Sent};
use fdwire_socket::{Errno, Stream};
use fdwire_wire::Protocol;
use fdwire_wire::codec::Lost;

const STREAMS: [Protocol; 4] =
    [Protocol::LengthPrefixed, Protocol::Lines, Protocol::MsgChannel, Protocol::Stockings];

/// Payloads of all the sizes at which something changes: segments, memory of its own, the slab.
fn payloads() -> Vec<Vec<u8>> {
    let around = |size: usize| [size - 1, size, size + 1];
    let sizes = [0, 1, 2, 63, 64, 127, 128, 4_095, 4_096, 8_191, 8_192].into_iter();
    let sizes = sizes.chain(around(32 * 1024)).chain(around(64 * 1024)).chain(around(128 * 1024));
    let sizes = sizes.chain(around(213_000)).chain(around(524_288)).chain([3_000_000, 5, 0, 7]);
    sizes.enumerate().map(|(at, size)| vec![b'a' + u8::try_from(at % 26).unwrap(); size]).collect()
}

fn messages(seen: Vec<Seen>) -> Vec<Vec<u8>> {
    seen.into_iter()
        .map(|seen| match seen {
            Seen::Message { bytes, .. } => bytes,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Sends by hand, as a peer without a channel, while the world works.
fn write_all(world: &mut World, peer: &Stream, mut bytes: &[u8], got: &mut Vec<Vec<u8>>) {
    while !bytes.is_empty() {
        match peer.send(&[IoSlice::new(bytes)], &[]) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::AGAIN) => got.extend(messages(world.work(Duration::from_millis(5)))),
            Err(errno) => panic!("{errno}"),
        }
    }
}

#[test]
fn payloads_of_every_size_arrive_whole_and_in_order() {
    for protocol in STREAMS {
        let mut world = World::new();
        let (a, b) = Stream::pair().unwrap();
        let sender = world.add_stream(a, protocol, limits());
        let receiver = world.add_stream(b, protocol, limits());
        world.reactor.set_reading(receiver, true).unwrap();
        let payloads = payloads();
        for payload in &payloads {
            world.try_send(sender, payload, &[], None).unwrap();
        }
        world.reactor.flush();
        let mut got = Vec::new();
        world.work_until(|_, seen| {
            got.extend(seen.into_iter().filter_map(|seen| match seen {
                Seen::Message { channel, bytes, .. } if channel == receiver => Some(bytes),
                Seen::Drained { .. } => None,
                other => panic!("{other:?}"),
            }));
            got.len() == payloads.len()
        });
        assert!(got == payloads, "{protocol:?}");
        assert_eq!(world.queued(sender), (0, 0, 0));
    }
}

#[test]
fn the_cut_makes_no_difference() {
    for protocol in STREAMS {
        let whole: Vec<Vec<u8>> =
            vec![b"one".to_vec(), Vec::new(), vec![b'x'; 300], b"end".to_vec()];
        let mut wire = Vec::new();
        for payload in &whole {
            framing(protocol, &limits()).codec.encode(payload, false, &mut wire).unwrap();
        }
        for step in [1, 2, 3, 5, 64, wire.len()] {
            let mut world = World::new();
            let (peer, b) = Stream::pair().unwrap();
            let receiver = world.add_stream(b, protocol, limits());
            world.reactor.set_reading(receiver, true).unwrap();
            let mut got = Vec::new();
            for piece in wire.chunks(step) {
                write_all(&mut world, &peer, piece, &mut got);
                got.extend(messages(world.work(Duration::from_millis(20))));
            }
            assert_eq!(got, whole, "{protocol:?} by {step}");
        }
    }
}

#[test]
fn a_large_message_in_small_pieces_is_put_together_once() {
    for protocol in STREAMS {
        let mut world = World::new();
        let (peer, b) = Stream::pair().unwrap();
        let receiver = world.add_stream(b, protocol, limits());
        world.reactor.set_reading(receiver, true).unwrap();
        let payload = vec![b'q'; 700_000];
        let mut wire = Vec::new();
        framing(protocol, &limits()).codec.encode(&payload, false, &mut wire).unwrap();
        framing(protocol, &limits()).codec.encode(b"behind", false, &mut wire).unwrap();
        let mut got = Vec::new();
        for piece in wire.chunks(1_777) {
            write_all(&mut world, &peer, piece, &mut got);
            got.extend(messages(world.work(Duration::ZERO)));
        }
        world.work_until(|_, seen| {
            got.extend(messages(seen));
            got.len() == 2
        });
        assert!(got[0] == payload && got[1] == b"behind", "{protocol:?}");
    }
}

#[test]
fn more_messages_than_a_turn_holds_come_in_the_next_turns() {
    let mut world = World::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = world.add_stream(b, Protocol::Lines, limits());
    world.reactor.set_reading(receiver, true).unwrap();
    let mut got = Vec::new();
    write_all(&mut world, &peer, &vec![b'\n'; 100_000], &mut got);
    world.work_until(|_, seen| {
        got.extend(messages(seen));
        got.len() == 100_000
    });
    assert!(got.iter().all(Vec::is_empty));
}

#[test]
fn what_was_read_when_nobody_wants_it_any_more_waits() {
    let mut world = World::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = world.add_stream(b, Protocol::Lines, limits());
    world.reactor.set_reading(receiver, true).unwrap();
    peer.send(&[IoSlice::new(&vec![b'\n'; 20_000])], &[]).unwrap();
    world.reactor.poll(PATIENCE).unwrap();
    // One turn, and then nobody wants messages.
    let first = world.turn().unwrap();
    assert!(first.len() < 20_000);
    world.reactor.set_reading(receiver, false).unwrap();
    assert!(world.work(Duration::from_millis(20)).is_empty());
    world.reactor.set_reading(receiver, true).unwrap();
    let mut count = first.len();
    world.work_until(|_, seen| {
        count += messages(seen).len();
        count == 20_000
    });
}

#[test]
fn the_end_comes_behind_the_messages_and_once() {
    let mut world = World::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = world.add_stream(b, Protocol::Lines, limits());
    peer.send(&[IoSlice::new(b"last\n")], &[]).unwrap();
    drop(peer);
    assert!(world.work(Duration::from_millis(20)).is_empty(), "it waits behind an unread message");
    assert_eq!(world.wakeups_in(Duration::from_millis(50)), 0, "and costs nothing");
    world.reactor.set_reading(receiver, true).unwrap();
    let mut seen = Vec::new();
    world.work_until(|_, more| {
        seen.extend(more);
        seen.len() == 2
    });
    assert!(matches!(&seen[0], Seen::Message { bytes, .. } if bytes == b"last"));
    assert!(matches!(&seen[1], Seen::End { .. }));
    assert_eq!(world.wakeups_in(Duration::from_millis(50)), 0);
}

#[test]
fn the_end_is_noticed_though_nobody_reads() {
    let mut world = World::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = world.add_stream(b, Protocol::Lines, limits());
    drop(peer);
    let seen = world.work(PATIENCE);
    assert!(matches!(seen[..], [Seen::End { channel }] if channel == receiver), "{seen:?}");
    assert_eq!(world.wakeups_in(Duration::from_millis(50)), 0);
}

#[test]
fn an_end_inside_of_a_message_says_how_much_is_missing() {
    let mut world = World::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = world.add_stream(b, Protocol::LengthPrefixed, limits());
    world.reactor.set_reading(receiver, true).unwrap();
    peer.send(&[IoSlice::new(&[0, 0, 0, 1, b'x', 0, 0, 0, 9, 1, 2])], &[]).unwrap();
    drop(peer);
    let mut seen = Vec::new();
    world.work_until(|_, more| {
        seen.extend(more);
        seen.len() == 2
    });
    assert!(matches!(seen[1], Seen::Cut { missing: 7, .. }), "{seen:?}");
}

#[test]
fn behind_what_cannot_be_understood_nothing_is_read() {
    let mut world = World::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = world.add_stream(b, Protocol::MsgChannel, limits());
    world.reactor.set_reading(receiver, true).unwrap();
    peer.send(&[IoSlice::new(b"\r\nMSG 2\r\nhi\r\nMSX 2\r\nho\r\nMSG 1\r\nx")], &[]).unwrap();
    let seen = world.work(PATIENCE);
    assert!(matches!(&seen[0], Seen::Message { bytes, .. } if bytes == b"hi"), "{seen:?}");
    let Seen::Lost { why: Lost::BadHeader, sample, .. } = &seen[1] else { panic!("{seen:?}") };
    assert!(sample.starts_with(b"\r\nMSX"));
    assert_eq!(seen.len(), 2);
    assert_eq!(world.wakeups_in(Duration::from_millis(50)), 0);
}

#[test]
fn a_length_over_the_limit_reserves_nothing() {
    let mut world = World::new();
    let (peer, b) = Stream::pair().unwrap();
    let small = Limits { max_message: 1_000, ..limits() };
    let receiver = world.add_stream(b, Protocol::Stockings, small);
    world.reactor.set_reading(receiver, true).unwrap();
    // 2^63 bytes.
    peer.send(&[IoSlice::new(&[0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0x84])], &[]).unwrap();
    let seen = world.work(PATIENCE);
    assert!(matches!(seen[..], [Seen::Lost { why: Lost::TooLarge, .. }]), "{seen:?}");
}

#[test]
fn a_peer_that_never_reads_fills_the_queue_and_no_more() {
    let mut world = World::new();
    let (a, _peer) = Stream::pair().unwrap();
    let few = Limits { max_queued: 300_000, ..limits() };
    let sender = world.add_stream(a, Protocol::LengthPrefixed, few);
    let payload = vec![0; 10_000];
    let mut last = Sent::Now;
    let refused = loop {
        match world.try_send(sender, &payload, &[], None) {
            Ok(sent) => last = sent,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, SendError::QueueFull);
    assert!(matches!(last, Sent::Queued(_)), "it was told before");
    let (_, bytes, _) = world.queued(sender);
    assert!(bytes <= 300_000 && bytes > 280_000, "{bytes}");
    assert_eq!(world.wakeups_in(Duration::from_millis(50)), 0);
}

#[test]
fn a_message_larger_than_the_queue_is_taken_into_an_empty_one() {
    let mut world = World::new();
    let (a, b) = Stream::pair().unwrap();
    let few = Limits { max_queued: 1_000, ..limits() };
    let sender = world.add_stream(a, Protocol::LengthPrefixed, few);
    let receiver = world.add_stream(b, Protocol::LengthPrefixed, limits());
    world.reactor.set_reading(receiver, true).unwrap();
    let payload = vec![1; 5_000_000];
    world.try_send(sender, &payload, &[], None).unwrap();
    assert_eq!(world.try_send(sender, b"x", &[], None), Err(SendError::QueueFull));
    world.work_until(|_, seen| {
        seen.iter().any(|seen| matches!(seen, Seen::Message { bytes, .. } if *bytes == payload))
    });
}

#[test]
fn small_messages_wait_for_the_flush_and_go_out_together() {
    let mut world = World::new();
    let (a, peer) = Stream::pair().unwrap();
    let sender = world.add_stream(a, Protocol::Lines, limits());
    for text in [&b"a"[..], b"b", b"c"] {
        assert_eq!(world.send(sender, text, None), Sent::Now);
    }
    assert!(!peer.at_end().unwrap());
    assert_eq!(world.queued(sender), (3, 6, 0));
    world.reactor.flush();
    assert_eq!(world.queued(sender), (0, 0, 0));
    let mut bytes = [0; 64];
    let got = common::read(&peer, &mut bytes);
    assert_eq!(&bytes[..got], b"a\nb\nc\n");
}

#[test]
fn who_was_told_to_wait_hears_once_when_half_of_the_mark_is_left() {
    let mut world = World::new();
    let (a, b) = Stream::pair().unwrap();
    let sender = world.add_stream(a, Protocol::LengthPrefixed, limits());
    let receiver = world.add_stream(b, Protocol::LengthPrefixed, limits());
    let payload = vec![0; 1_000];
    while world.try_send(sender, &payload, &[], None).unwrap() == Sent::Now {}
    assert!(world.queued(sender).1 > 64 * 1024);
    world.reactor.set_reading(receiver, true).unwrap();
    let mut drained = 0;
    world.work_until(|world, seen| {
        drained += seen.iter().filter(|seen| matches!(seen, Seen::Drained { .. })).count();
        world.queued(sender).1 == 0
    });
    world.work(Duration::from_millis(20));
    assert_eq!(drained, 1);
}

#[test]
fn a_peer_that_is_gone_is_an_error_of_who_sends() {
    let mut world = World::new();
    let (a, peer) = Stream::pair().unwrap();
    let sender = world.add_stream(a, Protocol::Lines, limits());
    drop(peer);
    world.send(sender, b"x", None);
    world.reactor.flush();
    let mut failed = false;
    world.work_until(|_, seen| {
        failed |= seen.iter().any(|seen| matches!(seen, Seen::Failed(Errno::PIPE, _)));
        failed
    });
}

#[test]
fn what_the_peer_sent_before_it_went_comes_before_the_error() {
    let mut world = World::new();
    let (a, peer) = Stream::pair().unwrap();
    let channel = world.add_stream(a, Protocol::Lines, limits());
    peer.send(&[IoSlice::new(b"bye\n")], &[]).unwrap();
    drop(peer);
    world.send(channel, b"x", None);
    world.reactor.set_reading(channel, true).unwrap();
    world.reactor.flush();
    let seen = world.work(PATIENCE);
    assert!(matches!(&seen[0], Seen::Message { bytes, .. } if bytes == b"bye"), "{seen:?}");
}

#[test]
fn carried_bytes_come_and_go_without_a_socket() {
    let mut world = World::new();
    let channel = world.reactor.add_external(framing(Protocol::Lines, &limits()), limits());
    world.reactor.set_reading(channel, true).unwrap();
    world.reactor.feed(channel, Some(b"one\ntw"));
    world.reactor.feed(channel, Some(b"o\n"));
    assert_eq!(messages(world.turns()), [b"one".to_vec(), b"two".to_vec()]);
    world.send(channel, b"three", None);
    assert_eq!(world.reactor.fetch(channel), b"three\n");
    assert_eq!(world.queued(channel).1, 6, "it is not taken yet");
    world.reactor.set_reports_progress(channel, true);
    world.reactor.settle_fetched(channel, 6);
    assert!(matches!(world.turns()[..], [Seen::Progress]));
    assert_eq!(world.queued(channel), (0, 0, 0));
    world.reactor.feed(channel, None);
    assert!(matches!(world.turns()[..], [Seen::End { .. }]));
}

#[test]
fn an_event_is_no_larger_than_it_was() {
    // A turn has thousands of them.
    assert!(size_of::<Event>() <= 128, "{}", size_of::<Event>());
}
