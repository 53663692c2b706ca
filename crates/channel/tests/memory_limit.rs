//! A peer that makes memory run out ends its channel, not the process.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

use common::{Harness, Seen, limits};
use fdwire_socket::{Errno, Stream};
use fdwire_wire::Protocol;

/// The address space of a child (KiB).
const ADDRESS_SPACE: u32 = 500_000;

/// The header of a frame of almost 16 MiB, with its first byte.
const PROMISE: [u8; 5] = [0, 255, 255, 250, 1];

/// Runs a test of this file in a process whose address space is limited. Returns whether this is
/// that process.
fn is_limited(test: &str) -> bool {
    if std::env::var_os("FDWIRE_LIMITED").is_some() {
        return true;
    }
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -v {ADDRESS_SPACE} && exec \"$0\" --exact {test}")])
        .arg(std::env::current_exe().unwrap())
        .env("FDWIRE_LIMITED", "1")
        .output()
        .unwrap();
    let has_run = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(output.status.success() && has_run, "{output:?}");
    false
}

fn connect(harness: &mut Harness) -> (usize, Stream) {
    let (socket, peer) = Stream::pair().unwrap();
    let channel = harness.add_stream(socket, Protocol::LengthPrefixed, limits());
    harness.reactor.set_reading(channel, true);
    peer.send(&[IoSlice::new(&PROMISE)], &[]).unwrap();
    (channel, peer)
}

#[test]
fn promised_bytes_take_no_memory() {
    if !is_limited("promised_bytes_take_no_memory") {
        return;
    }
    let mut harness = Harness::new();
    let connections: Vec<_> = (0..400).map(|_| connect(&mut harness)).collect();
    let mut seen = Vec::new();
    harness.run_until(|harness, more| {
        seen.extend(more);
        let buffered = |&(channel, _): &(usize, Stream)| {
            harness.reactor.channel(channel).is_some_and(|it| it.buffered_input() == PROMISE.len())
        };
        connections.iter().all(buffered)
    });
    assert!(seen.is_empty(), "{seen:?}");
}

#[test]
fn a_channel_ends_with_enomem_where_memory_runs_out() {
    if !is_limited("a_channel_ends_with_enomem_where_memory_runs_out") {
        return;
    }
    let mut harness = Harness::new();
    let connections: Vec<_> = (0..100).map(|_| connect(&mut harness)).collect();
    let (piece, mut failed): (Vec<u8>, Option<usize>) = (vec![1; 64 * 1024], None);
    // Each frame lacks its last bytes, so all of them are kept.
    for _ in 0..200 {
        for (_, peer) in &connections {
            match peer.send(&[IoSlice::new(&piece)], &[]) {
                Ok(_) | Err(Errno::AGAIN | Errno::PIPE | Errno::CONNRESET) => {}
                Err(errno) => panic!("{errno}"),
            }
        }
        for turn in std::iter::from_fn(|| {
            harness.reactor.poll(Duration::ZERO).unwrap();
            harness.turn()
        }) {
            for event in turn {
                assert!(matches!(event, Seen::Failed(Errno::NOMEM, "recvmsg")), "{event:?}");
                failed = Some(failed.unwrap_or(0) + 1);
            }
        }
        if failed.is_some() {
            break;
        }
    }
    assert!(failed.is_some(), "the memory has not run out");
    let fds: Vec<OwnedFd> = connections
        .iter()
        .filter_map(|&(channel, _)| harness.reactor.remove(channel)?.into_fd())
        .collect();
    assert_eq!(fds.len(), connections.len());
    // There is memory for others again.
    let (channel, _peer) = connect(&mut harness);
    harness.run_until(|harness, _| {
        harness.reactor.channel(channel).is_some_and(|it| it.buffered_input() == PROMISE.len())
    });
}
