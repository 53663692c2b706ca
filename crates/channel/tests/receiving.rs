//! A message arrives whole, or is refused and all of its descriptors are closed.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::os::fd::AsFd;

use common::{Harness, Seen, bound, first_open_fds, limits, name, wait_for_open_fds};
use fdwire_channel::{Limits, Refusal};
use fdwire_socket::Datagram;
use fdwire_wire::Malformed;

fn letter(number: usize) -> u8 {
    b'a' + u8::try_from(number % 26).unwrap()
}

/// Sends messages with this many descriptors each, and returns the events of the receiver.
fn receive(limits: Limits, messages: &[(&[u8], usize)]) -> Vec<Seen> {
    let (socket, sender) = Datagram::pair().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add_json(socket, limits);
    for (bytes, fds) in messages {
        sender.send(bytes, &vec![sender.as_fd(); *fds], None).unwrap();
    }
    harness.reactor.set_reading(channel, true);
    let mut all = Vec::new();
    harness.run_until(|_, seen| {
        all.extend(seen);
        all.len() == messages.len()
    });
    let counters = harness.counters(channel);
    assert_eq!(counters.received + counters.refused, messages.len() as u64);
    let taken: usize = all
        .iter()
        .map(|seen| match seen {
            Seen::Message { fds, .. } => fds.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(harness.reactor.channel(channel).unwrap().open_fds(), taken);
    all
}

// It counts the descriptors of the process, so it is the only test of this binary.
#[test]
fn a_refused_message_has_a_reason_and_a_sample_and_leaves_no_descriptor_open() {
    let before = first_open_fds();
    let long = [b'7'; 101];
    let all = receive(
        Limits { max_message: 100, max_fds: 2, ..limits() },
        &[
            (b"1", 1),
            (b"", 1),
            (b"\"\xff\"", 2),
            (&long, 1),
            (b"[2]", 3),
            (&long[..100], 2),
            ("\"\u{e9}\"".as_bytes(), 0),
        ],
    );
    let refused: Vec<_> = all
        .iter()
        .filter_map(|seen| match seen {
            Seen::Refused { why, sample, .. } => Some((*why, sample.len())),
            _ => None,
        })
        .collect();
    assert_eq!(
        refused,
        [
            (Refusal::Malformed(Malformed::Empty), 0),
            (Refusal::Malformed(Malformed::NotUtf8), 3),
            (Refusal::TooLarge, 32),
            (Refusal::TooManyFds, 3),
        ]
    );
    assert_eq!(all.iter().filter(|seen| matches!(seen, Seen::Message { .. })).count(), 3);
    drop(all);
    wait_for_open_fds(before);

    // 1,000 texts of many sizes, more than the slab holds, and one of them too large for it.
    let name = name();
    let socket = bound(&name);
    let sender = Datagram::new().unwrap();
    sender.set_send_buffer(4 * 1024 * 1024).unwrap();
    let largest = (sender.send_buffer().unwrap() - 32).min(1_500_000);
    sender.connect(&name).unwrap();
    let mut harness = Harness::new();
    let channel = harness.add_json(socket, limits());
    harness.reactor.set_reading(channel, true);
    let sizes: Vec<usize> =
        (0..1_000).map(|n| if n == 700 { largest } else { 3 + n * 7_919 % 9_001 }).collect();
    let (mut sent, mut got) = (0, 0);
    harness.run_until(|_, seen| {
        for seen in seen {
            let Seen::Message { bytes, from: None, .. } = seen else { panic!("{seen:?}") };
            assert_eq!(bytes.len(), sizes[got]);
            assert!(bytes[1..bytes.len() - 1].iter().all(|&byte| byte == letter(got)));
            got += 1;
        }
        while sent < sizes.len() {
            let mut text = vec![letter(sent); sizes[sent]];
            text[0] = b'"';
            text[sizes[sent] - 1] = b'"';
            if sender.send(&text, &[], None).is_err() {
                break;
            }
            sent += 1;
        }
        got == sizes.len()
    });
}
