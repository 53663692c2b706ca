//! What clients that never read cost the other clients of one bound socket: the tables of
//! docs/stopped-clients.md.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::{Harness, TIMEOUT, bound, client_of, limits, name, recv};
use fdwire_socket::{Datagram, SocketSetup};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

const PAGE: &str = include_str!("../../../docs/stopped-clients.md");

/// The number of replies to each client that never reads.
const REPLIES: usize = 14;

/// How long the stopped clients are retried before the others get their replies.
const RETRIED: Duration = Duration::from_millis(200);

/// How long a reply must stay undelivered to count as never delivered.
const NEVER: Duration = Duration::from_millis(200);

/// A row of a table: the number of stopped clients, the size of their replies in bytes, and the
/// replies to another client: their sizes, and whether they arrive.
type Row = (usize, usize, Vec<(usize, bool)>);

/// Returns the rows of the table that follows a heading of the page.
fn table(heading: &str) -> Vec<Row> {
    let section = PAGE.split(heading).nth(1).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let mut rows = rows
        .take_while(|line| line.starts_with('|'))
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let sizes: Vec<usize> = rows.next().unwrap()[2..].iter().map(|cell| number(cell)).collect();
    rows.skip(1)
        .map(|row| {
            let arrives = row[2..].iter().map(|&cell| match cell {
                "yes" => true,
                "no" => false,
                _ => panic!("{cell}"),
            });
            (number(row[0]), number(row[1]), sizes.iter().copied().zip(arrives).collect())
        })
        .collect()
}

fn number(text: &str) -> usize {
    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

fn check(heading: &str, server: impl Fn(&fdwire_socket::Address) -> Datagram) {
    let rows = table(heading);
    assert!(rows.len() >= 5);
    for (stopped, len, replies) in rows {
        let server_name = name();
        let mut harness = Harness::new();
        let channel = harness.add(server(&server_name), limits());
        let mut clients = Vec::new();
        for _ in 0..stopped {
            let (socket, name) = client_of(&server_name);
            for _ in 0..REPLIES {
                harness.send(channel, &vec![0; len], Some(&name));
            }
            clients.push(socket);
        }
        let end = Instant::now() + RETRIED;
        while Instant::now() < end {
            harness.run(Duration::from_millis(1));
        }
        for (reply, arrives) in replies {
            let (live, name) = client_of(&server_name);
            harness.send(channel, &vec![1; reply], Some(&name));
            let end = Instant::now() + if arrives { TIMEOUT } else { NEVER };
            let mut arrived = None;
            while arrived.is_none() && Instant::now() < end {
                harness.run(Duration::from_millis(1));
                arrived = recv(&live).map(|(bytes, _)| bytes.len());
            }
            let expected = arrives.then_some(reply);
            assert_eq!(arrived, expected, "{heading}: {reply} B beside {stopped} with {len} B");
        }
    }
}

#[test]
fn replies_arrive_beside_stopped_clients_as_documented_for_the_default_buffer() {
    // The kernel doubles this value, which is its default for net.core.wmem_max.
    let setup = SocketSetup { send_buffer: Some(212_992), ..SocketSetup::default() };
    check("### With the default send buffer", |name| {
        let mut socket = bound(name);
        socket.set_up(&setup).unwrap();
        assert_eq!(socket.send_buffer(), Ok(425_984));
        socket
    });
}

#[test]
fn replies_arrive_beside_stopped_clients_as_documented_for_the_largest_buffer() {
    const BUFFER: usize = 8 * 1024 * 1024;
    let socket = Datagram::new().unwrap();
    socket.raise_send_buffer(BUFFER).unwrap();
    if socket.send_buffer() == Ok(BUFFER) {
        // A channel raises the buffer of its socket to this size.
        check("### With a send buffer of 8 MiB", bound);
    } else {
        println!("not checked: needs CAP_NET_ADMIN, or net.core.wmem_max of at least 4 MiB");
    }
}

#[test]
fn the_send_buffer_is_raised_as_far_as_the_kernel_permits() {
    let wmem_max = std::fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap();
    let permitted = 2 * number(&wmem_max);
    let raised = |bytes| {
        let socket = Datagram::new().unwrap();
        let before = socket.send_buffer().unwrap();
        socket.raise_send_buffer(bytes).unwrap();
        (before, socket.send_buffer().unwrap())
    };
    let mut sets = capabilities(None).unwrap();
    if sets.effective.contains(CapabilitySet::NET_ADMIN) {
        assert_eq!(raised(2 * permitted).1, 2 * permitted);
    }
    // Only of this thread.
    sets.effective.remove(CapabilitySet::NET_ADMIN);
    set_capabilities(None, sets).unwrap();
    let (before, after) = raised(2 * permitted);
    assert_eq!(after, before.max(permitted));
    let (before, after) = raised(5_000);
    assert_eq!(after, before, "never lowered");
}
