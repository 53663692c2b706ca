//! An address has the same bytes at both ends.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;

use common::{TestDir, address, recv};
use fdwire_socket::{Address, AddressError, Datagram, Errno};

/// Asserts that a message from a socket with this address carries the address, and that a reply
/// reaches it.
fn assert_round_trip(name: &Address) {
    let (server_name, server) = autobound();
    let client = Datagram::new().unwrap();
    client.bind(name).unwrap();
    assert_eq!(&client.local_address().unwrap(), name);
    client.send(b"ping", &[], Some(&server_name)).unwrap();
    let ping = recv(&server);
    assert_eq!(&ping.from, name);
    assert_eq!(ping.from.as_bytes(), name.as_bytes());
    server.send(b"pong", &[], Some(&ping.from)).unwrap();
    assert_eq!(recv(&client).from, server_name);
}

fn autobound() -> (Address, Datagram) {
    let socket = Datagram::new().unwrap();
    socket.bind(&Address::UNNAMED).unwrap();
    (socket.local_address().unwrap(), socket)
}

fn unique(rest: &[u8]) -> Address {
    let name = [format!("\0fdwire-{}", std::process::id()).as_bytes(), rest].concat();
    Address::from_bytes(&name).unwrap()
}

#[test]
fn a_message_from_a_path_can_be_answered() {
    let dir = TestDir::new();
    assert_round_trip(&address(&dir.join("sock")));
    assert_round_trip(
        &Address::from_bytes(&[dir.0.as_os_str().as_encoded_bytes(), b"/\xff\xfe"].concat())
            .unwrap(),
    );
}

#[test]
fn a_path_of_108_bytes_can_be_answered_and_one_of_109_is_rejected() {
    let dir = TestDir::new();
    let of_len = |len: usize| {
        let fill = "x".repeat(len - dir.join("").as_os_str().len());
        dir.join(&fill).into_os_string().into_encoded_bytes()
    };
    for len in [107, 108] {
        let name = Address::from_bytes(&of_len(len)).unwrap();
        assert_eq!(name.as_bytes().len(), len);
        assert_round_trip(&name);
    }
    assert_eq!(
        Address::from_bytes(&of_len(109)),
        Err(AddressError::TooLong { len: 109, max: 108 })
    );
}

#[test]
fn a_message_from_an_abstract_address_can_be_answered_whatever_its_bytes() {
    assert_round_trip(&unique(b""));
    assert_round_trip(&unique(b"\0\0"));
    assert_round_trip(&unique(b"\0\xff\xfeinside\0"));
    let longest = unique(&[b'x'; 70]);
    let fill = vec![0; 108 - longest.as_bytes().len()];
    assert_round_trip(&Address::from_bytes(&[longest.as_bytes(), &fill].concat()).unwrap());
}

#[test]
fn abstract_addresses_that_differ_only_in_length_are_different() {
    let (short, long) = (unique(b"length"), unique(b"length\0"));
    assert_ne!(short, long);
    let (a, b) = (Datagram::new().unwrap(), Datagram::new().unwrap());
    a.bind(&short).unwrap();
    b.bind(&long).unwrap();
    assert_eq!(HashSet::from([short.clone(), long, short]).len(), 2);
}

#[test]
fn binding_to_the_unnamed_address_makes_the_kernel_choose_one() {
    let (name, socket) = autobound();
    assert!(name.is_abstract() && !name.is_path() && !name.is_unnamed());
    assert_eq!(name.as_bytes().len(), 6);
    assert_eq!(socket.peer_address().unwrap(), None);
}

#[test]
fn the_address_of_an_unbound_sender_replaces_the_previous_one() {
    let (name, server) = autobound();
    let mut from = name.clone();
    let client = Datagram::new().unwrap();
    client.connect(&name).unwrap();
    assert_eq!(client.peer_address().unwrap(), Some(name));
    assert!(client.local_address().unwrap().is_unnamed());
    client.send(b"x", &[], None).unwrap();
    let mut byte = [0];
    let mut into = [std::io::IoSliceMut::new(&mut byte)];
    let mut control = fdwire_socket::Control::new();
    server.recv(&mut into, &mut control, &mut Vec::new(), &mut from).unwrap();
    assert!(from.is_unnamed());
    assert_eq!(server.send(b"x", &[], Some(&from)), Err(Errno::INVAL));
    let (a, _b) = Datagram::pair().unwrap();
    assert_eq!(a.peer_address().unwrap(), Some(Address::UNNAMED));
}

#[test]
fn invalid_addresses_are_rejected_with_length_or_offset() {
    assert_eq!(Address::from_bytes(b"a\0b"), Err(AddressError::NulInPath { at: 1 }));
    assert_eq!(
        Address::from_bytes(&[0; 109]).unwrap_err().to_string(),
        "socket address of 109 bytes exceeds the limit of 108 bytes"
    );
    assert!(AddressError::NulInPath { at: 1 }.to_string().contains("at byte 1"));
    assert!(Address::from_bytes(b"").unwrap().is_unnamed());
    assert!(Address::from_bytes(b"\0").unwrap().is_abstract());
    assert!(Address::from_bytes(b"x").unwrap().is_path());
}
