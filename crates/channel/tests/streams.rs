//! Messages on streams arrive whole and in order, however the bytes are cut.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::IoSlice;
use std::time::Duration;

use common::{Harness, Seen, TIMEOUT, framing, limits};
use fdwire_channel::{Event, Limits, SendError, Sent};
use fdwire_socket::{Errno, Stream};
use fdwire_wire::Protocol;
use fdwire_wire::codec::Lost;

const STREAMS: [Protocol; 4] =
    [Protocol::LengthPrefixed, Protocol::Lines, Protocol::MsgChannel, Protocol::Stockings];

/// Payloads of the sizes around all thresholds: of segments, of memory of its own, of the slab.
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

/// Sends bytes from a socket without a channel, while the reactor runs.
fn write_all(harness: &mut Harness, peer: &Stream, mut bytes: &[u8], got: &mut Vec<Vec<u8>>) {
    while !bytes.is_empty() {
        match peer.send(&[IoSlice::new(bytes)], &[]) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::AGAIN) => got.extend(messages(harness.run(Duration::from_millis(5)))),
            Err(errno) => panic!("{errno}"),
        }
    }
}

#[test]
fn payloads_of_every_size_arrive_whole_and_in_order() {
    for protocol in STREAMS {
        let mut harness = Harness::new();
        let (a, b) = Stream::pair().unwrap();
        let sender = harness.add_stream(a, protocol, limits());
        let receiver = harness.add_stream(b, protocol, limits());
        harness.reactor.set_reading(receiver, true);
        let payloads = payloads();
        for payload in &payloads {
            harness.try_send(sender, payload, &[], None).unwrap();
        }
        harness.reactor.flush();
        let mut got = Vec::new();
        harness.run_until(|_, seen| {
            got.extend(seen.into_iter().filter_map(|seen| match seen {
                Seen::Message { channel, bytes, .. } if channel == receiver => Some(bytes),
                Seen::Drained { .. } => None,
                other => panic!("{other:?}"),
            }));
            got.len() == payloads.len()
        });
        assert!(got == payloads, "{protocol:?}");
        assert_eq!(harness.queued(sender), (0, 0, 0));
    }
}

#[test]
fn messages_do_not_depend_on_how_the_bytes_are_cut() {
    for protocol in STREAMS {
        let whole: Vec<Vec<u8>> =
            vec![b"one".to_vec(), Vec::new(), vec![b'x'; 300], b"end".to_vec()];
        let mut wire = Vec::new();
        for payload in &whole {
            framing(protocol, &limits()).codec.encode(payload, false, &mut wire).unwrap();
        }
        for step in [1, 2, 3, 5, 64, wire.len()] {
            let mut harness = Harness::new();
            let (peer, b) = Stream::pair().unwrap();
            let receiver = harness.add_stream(b, protocol, limits());
            harness.reactor.set_reading(receiver, true);
            let mut got = Vec::new();
            for piece in wire.chunks(step) {
                write_all(&mut harness, &peer, piece, &mut got);
                got.extend(messages(harness.run(Duration::from_millis(20))));
            }
            assert_eq!(got, whole, "{protocol:?} by {step}");
        }
    }
}

#[test]
fn a_large_message_arrives_whole_from_small_pieces() {
    for protocol in STREAMS {
        let mut harness = Harness::new();
        let (peer, b) = Stream::pair().unwrap();
        let receiver = harness.add_stream(b, protocol, limits());
        harness.reactor.set_reading(receiver, true);
        let payload = vec![b'q'; 700_000];
        let mut wire = Vec::new();
        framing(protocol, &limits()).codec.encode(&payload, false, &mut wire).unwrap();
        framing(protocol, &limits()).codec.encode(b"next", false, &mut wire).unwrap();
        let mut got = Vec::new();
        for piece in wire.chunks(1_777) {
            write_all(&mut harness, &peer, piece, &mut got);
            got.extend(messages(harness.run(Duration::ZERO)));
        }
        harness.run_until(|_, seen| {
            got.extend(messages(seen));
            got.len() == 2
        });
        assert!(got[0] == payload && got[1] == b"next", "{protocol:?}");
    }
}

#[test]
fn more_messages_than_one_turn_holds_arrive_in_the_next_turns() {
    let mut harness = Harness::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = harness.add_stream(b, Protocol::Lines, limits());
    harness.reactor.set_reading(receiver, true);
    let mut got = Vec::new();
    write_all(&mut harness, &peer, &vec![b'\n'; 100_000], &mut got);
    harness.run_until(|_, seen| {
        got.extend(messages(seen));
        got.len() == 100_000
    });
    assert!(got.iter().all(Vec::is_empty));
}

#[test]
fn messages_read_ahead_wait_for_read_interest() {
    let mut harness = Harness::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = harness.add_stream(b, Protocol::Lines, limits());
    harness.reactor.set_reading(receiver, true);
    peer.send(&[IoSlice::new(&vec![b'\n'; 20_000])], &[]).unwrap();
    harness.reactor.poll(TIMEOUT).unwrap();
    // Read interest ends after one turn.
    let first = harness.turn().unwrap();
    assert!(first.len() < 20_000);
    harness.reactor.set_reading(receiver, false);
    assert!(harness.run(Duration::from_millis(20)).is_empty());
    harness.reactor.set_reading(receiver, true);
    let mut count = first.len();
    harness.run_until(|_, seen| {
        count += messages(seen).len();
        count == 20_000
    });
}

#[test]
fn the_end_follows_the_messages_and_is_reported_once() {
    let mut harness = Harness::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = harness.add_stream(b, Protocol::Lines, limits());
    peer.send(&[IoSlice::new(b"last\n")], &[]).unwrap();
    drop(peer);
    assert!(
        harness.run(Duration::from_millis(20)).is_empty(),
        "the end waits for an unread message to be read"
    );
    assert_eq!(harness.wakeups_in(Duration::from_millis(50)), 0, "and causes no wakeups");
    harness.reactor.set_reading(receiver, true);
    let mut seen = Vec::new();
    harness.run_until(|_, more| {
        seen.extend(more);
        seen.len() == 2
    });
    assert!(matches!(&seen[0], Seen::Message { bytes, .. } if bytes == b"last"));
    assert!(matches!(&seen[1], Seen::End { .. }));
    assert_eq!(harness.wakeups_in(Duration::from_millis(50)), 0);
}

#[test]
fn the_end_is_noticed_without_read_interest() {
    let mut harness = Harness::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = harness.add_stream(b, Protocol::Lines, limits());
    drop(peer);
    let seen = harness.run(TIMEOUT);
    assert!(matches!(seen[..], [Seen::End { channel }] if channel == receiver), "{seen:?}");
    assert_eq!(harness.wakeups_in(Duration::from_millis(50)), 0);
}

#[test]
fn an_end_inside_a_message_reports_the_missing_bytes() {
    let mut harness = Harness::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = harness.add_stream(b, Protocol::LengthPrefixed, limits());
    harness.reactor.set_reading(receiver, true);
    peer.send(&[IoSlice::new(&[0, 0, 0, 1, b'x', 0, 0, 0, 9, 1, 2])], &[]).unwrap();
    drop(peer);
    let mut seen = Vec::new();
    harness.run_until(|_, more| {
        seen.extend(more);
        seen.len() == 2
    });
    assert!(matches!(seen[1], Seen::Cut { missing: 7, .. }), "{seen:?}");
}

#[test]
fn nothing_is_read_after_an_invalid_header() {
    let mut harness = Harness::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = harness.add_stream(b, Protocol::MsgChannel, limits());
    harness.reactor.set_reading(receiver, true);
    peer.send(&[IoSlice::new(b"\r\nMSG 2\r\nhi\r\nMSX 2\r\nho\r\nMSG 1\r\nx")], &[]).unwrap();
    let seen = harness.run(TIMEOUT);
    assert!(matches!(&seen[0], Seen::Message { bytes, .. } if bytes == b"hi"), "{seen:?}");
    let Seen::Lost { why: Lost::BadHeader, sample, .. } = &seen[1] else { panic!("{seen:?}") };
    assert!(sample.starts_with(b"\r\nMSX"));
    assert_eq!(seen.len(), 2);
    assert_eq!(harness.wakeups_in(Duration::from_millis(50)), 0);
}

#[test]
fn a_length_above_the_limit_is_refused_at_the_header() {
    let mut harness = Harness::new();
    let (peer, b) = Stream::pair().unwrap();
    let small = Limits { max_message: 1_000, ..limits() };
    let receiver = harness.add_stream(b, Protocol::Stockings, small);
    harness.reactor.set_reading(receiver, true);
    // 2^63 bytes.
    peer.send(&[IoSlice::new(&[0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0x84])], &[]).unwrap();
    let seen = harness.run(TIMEOUT);
    assert!(matches!(seen[..], [Seen::Lost { why: Lost::TooLarge, .. }]), "{seen:?}");
}

#[test]
fn a_peer_that_never_reads_fills_the_queue_up_to_max_queued() {
    let mut harness = Harness::new();
    let (a, _peer) = Stream::pair().unwrap();
    let few = Limits { max_queued: 300_000, ..limits() };
    let sender = harness.add_stream(a, Protocol::LengthPrefixed, few);
    let payload = vec![0; 10_000];
    let mut last = Sent::Now;
    let refused = loop {
        match harness.try_send(sender, &payload, &[], None) {
            Ok(sent) => last = sent,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, SendError::QueueFull);
    assert!(matches!(last, Sent::Queued(_)), "the high-water mark was reported before");
    let (_, bytes, _) = harness.queued(sender);
    assert!(bytes <= 300_000 && bytes > 280_000, "{bytes}");
    assert_eq!(harness.wakeups_in(Duration::from_millis(50)), 0);
}

#[test]
fn an_empty_queue_takes_a_message_larger_than_max_queued() {
    let mut harness = Harness::new();
    let (a, b) = Stream::pair().unwrap();
    let few = Limits { max_queued: 1_000, ..limits() };
    let sender = harness.add_stream(a, Protocol::LengthPrefixed, few);
    let receiver = harness.add_stream(b, Protocol::LengthPrefixed, limits());
    harness.reactor.set_reading(receiver, true);
    let payload = vec![1; 5_000_000];
    harness.try_send(sender, &payload, &[], None).unwrap();
    assert_eq!(harness.try_send(sender, b"x", &[], None), Err(SendError::QueueFull));
    harness.run_until(|_, seen| {
        seen.iter().any(|seen| matches!(seen, Seen::Message { bytes, .. } if *bytes == payload))
    });
}

#[test]
fn small_messages_are_sent_together_by_the_flush() {
    let mut harness = Harness::new();
    let (a, peer) = Stream::pair().unwrap();
    let sender = harness.add_stream(a, Protocol::Lines, limits());
    for text in [&b"a"[..], b"b", b"c"] {
        assert_eq!(harness.send(sender, text, None), Sent::Now);
    }
    assert!(!peer.at_end().unwrap());
    assert_eq!(harness.queued(sender), (3, 6, 0));
    harness.reactor.flush();
    assert_eq!(harness.queued(sender), (0, 0, 0));
    let mut bytes = [0; 64];
    let got = common::read(&peer, &mut bytes);
    assert_eq!(&bytes[..got], b"a\nb\nc\n");
}

#[test]
fn drained_is_reported_once_at_half_of_the_high_water_mark() {
    let mut harness = Harness::new();
    let (a, b) = Stream::pair().unwrap();
    let sender = harness.add_stream(a, Protocol::LengthPrefixed, limits());
    let receiver = harness.add_stream(b, Protocol::LengthPrefixed, limits());
    let payload = vec![0; 1_000];
    while harness.try_send(sender, &payload, &[], None).unwrap() == Sent::Now {}
    assert!(harness.queued(sender).1 > 64 * 1024);
    harness.reactor.set_reading(receiver, true);
    let mut drained = 0;
    harness.run_until(|harness, seen| {
        drained += seen.iter().filter(|seen| matches!(seen, Seen::Drained { .. })).count();
        harness.queued(sender).1 == 0
    });
    harness.run(Duration::from_millis(20));
    assert_eq!(drained, 1);
}

#[test]
fn sending_to_a_closed_peer_fails_with_epipe() {
    let mut harness = Harness::new();
    let (a, peer) = Stream::pair().unwrap();
    let sender = harness.add_stream(a, Protocol::Lines, limits());
    drop(peer);
    harness.send(sender, b"x", None);
    harness.reactor.flush();
    let mut failed = false;
    harness.run_until(|_, seen| {
        failed |= seen.iter().any(|seen| matches!(seen, Seen::Failed(Errno::PIPE, _)));
        failed
    });
}

#[test]
fn messages_of_a_closed_peer_precede_the_error() {
    let mut harness = Harness::new();
    let (a, peer) = Stream::pair().unwrap();
    let channel = harness.add_stream(a, Protocol::Lines, limits());
    peer.send(&[IoSlice::new(b"bye\n")], &[]).unwrap();
    drop(peer);
    harness.send(channel, b"x", None);
    harness.reactor.set_reading(channel, true);
    harness.reactor.flush();
    let seen = harness.run(TIMEOUT);
    assert!(matches!(&seen[0], Seen::Message { bytes, .. } if bytes == b"bye"), "{seen:?}");
}

#[test]
fn an_external_stream_exchanges_its_bytes_with_the_caller() {
    let mut harness = Harness::new();
    let channel = harness.reactor.add_external(framing(Protocol::Lines, &limits()), limits());
    harness.reactor.set_reading(channel, true);
    harness.reactor.feed(channel, Some(b"one\ntw"));
    harness.reactor.feed(channel, Some(b"o\n"));
    assert_eq!(messages(harness.turns()), [b"one".to_vec(), b"two".to_vec()]);
    harness.send(channel, b"three", None);
    assert_eq!(harness.reactor.fetch(channel), b"three\n");
    assert_eq!(harness.queued(channel).1, 6, "fetched bytes count as queued");
    harness.reactor.set_reports_progress(channel, true);
    harness.reactor.settle_fetched(channel, 6);
    assert!(matches!(harness.turns()[..], [Seen::Progress]));
    assert_eq!(harness.queued(channel), (0, 0, 0));
    harness.reactor.feed(channel, None);
    assert!(matches!(harness.turns()[..], [Seen::End { .. }]));
}

#[test]
fn an_event_has_at_most_128_bytes() {
    // A turn has up to 4,096 of them.
    assert!(size_of::<Event>() <= 128, "{}", size_of::<Event>());
}

#[test]
fn input_after_the_end_of_a_stream_causes_no_wakeups() {
    let mut harness = Harness::new();
    let framing = common::framing(Protocol::LengthPrefixed, &limits());
    let channel = harness.reactor.add_external(framing, Limits { max_message: 10, ..limits() });
    harness.reactor.set_reading(channel, true);
    harness.reactor.feed(channel, None);
    harness.turns();
    harness.reactor.feed(channel, Some(b"more"));
    harness.turns();
    let wakeups = harness.wakeups_in(Duration::from_millis(50));
    assert!(wakeups < 10, "{wakeups}");
}
