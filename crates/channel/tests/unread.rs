//! Connections are accepted, and watched, without being read.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use common::{Harness, Seen};
use fdwire_channel::{Connection, Limits, Listening};
use fdwire_socket::{ForeignFd, Listener, SocketAddress, SocketSetup, Stream, peek};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{SendFlags, Shutdown, send, shutdown};

fn listening() -> (Listening, SocketAddress) {
    let setup = SocketSetup::default();
    let listener = Listener::listen_tcp(SocketAddr::from(([127, 0, 0, 1], 0)), 64, &setup).unwrap();
    let address = listener.local_address().unwrap();
    (Listening::new(listener, Connection::Unread, Limits::default()), address)
}

fn connected(address: &SocketAddress) -> Stream {
    let client = Stream::connect(address, None, &SocketSetup::default()).unwrap().stream;
    poll(&mut [PollFd::new(&client, PollFlags::OUT)], None).unwrap();
    client
}

/// Accepts until `count` connections have arrived.
fn accepted(harness: &mut Harness, count: usize) -> Vec<ForeignFd> {
    let mut all = Vec::new();
    harness.run_until(|_, seen| {
        for event in seen {
            let Seen::Connections { fds, .. } = event else { panic!("{event:?}") };
            all.extend(fds);
        }
        all.len() >= count
    });
    all
}

#[test]
fn a_listener_accepts_as_many_unread_connections_as_it_may() {
    let mut harness = Harness::new();
    let (listening, address) = listening();
    let listener = harness.reactor.add_listener(listening);
    let clients: Vec<_> = (0..10).map(|_| connected(&address)).collect();
    send(&clients[0], b"first bytes", SendFlags::empty()).unwrap();
    assert!(harness.run(Duration::ZERO).is_empty(), "it may accept none");
    harness.reactor.allow(listener, 4);
    let first = accepted(&mut harness, 4);
    assert_eq!(first.len(), 4);
    harness.reactor.allow(listener, 64);
    assert_eq!(accepted(&mut harness, 6).len(), 6);

    let mut bytes = [0; 64];
    poll(&mut [PollFd::new(&first[0], PollFlags::IN)], None).unwrap();
    for _ in 0..2 {
        assert_eq!(peek(first[0].as_fd(), &mut bytes), Ok(11), "the bytes stay in the socket");
        assert_eq!(&bytes[..11], b"first bytes");
    }
}

#[test]
fn a_watched_descriptor_reports_each_arrival_and_the_end_and_causes_no_other_wakeups() {
    let mut harness = Harness::new();
    let (client, server) = Stream::pair().unwrap();
    let server = ForeignFd::from(server.into_fd());
    let number = server.as_raw_fd();
    let watched = harness.reactor.watch(server).unwrap();
    assert!(harness.reactor.has_fd(number));
    for _ in 0..3 {
        send(&client, b"more", SendFlags::empty()).unwrap();
        wait(&mut harness, watched, false);
        harness.turns();
        assert!(harness.wakeups_in(Duration::from_millis(50)) <= 1, "it reports changes only");
    }
    shutdown(&client, Shutdown::Write).unwrap();
    wait(&mut harness, watched, true);

    let server = harness.reactor.unwatch(watched).unwrap();
    assert_eq!(server.as_raw_fd(), number);
    assert!(harness.reactor.unwatch(watched).is_none());
    // While another process has the socket, only unwatch ends the registration.
    let shared = server.as_fd().try_clone_to_owned().unwrap();
    drop((server, client));
    assert_eq!(harness.wakeups_in(Duration::from_millis(50)), 0);
    drop(shared);
}

fn wait(harness: &mut Harness, expected: usize, end: bool) {
    harness.run_until(|_, seen| {
        seen.iter().any(|event| match event {
            Seen::Readable { watched, ended } => *watched == expected && *ended == end,
            _ => panic!("{event:?}"),
        })
    });
}
