//! A name is the same bytes at both ends.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;

use common::{TestDir, address, recv};
use fdwire_socket::{Address, AddressError, Datagram, Errno};

/// A message from a socket with this name arrives from it, and an answer reaches it.
fn goes_both_ways(name: &Address) {
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
fn a_path_goes_both_ways() {
    let dir = TestDir::new();
    goes_both_ways(&address(&dir.join("sock")));
    goes_both_ways(
        &Address::from_bytes(&[dir.0.as_os_str().as_encoded_bytes(), b"/\xff\xfe"].concat())
            .unwrap(),
    );
}

#[test]
fn a_path_of_107_or_108_bytes_goes_both_ways_and_109_is_refused() {
    let dir = TestDir::new();
    let of_len = |len: usize| {
        let fill = "x".repeat(len - dir.join("").as_os_str().len());
        dir.join(&fill).into_os_string().into_encoded_bytes()
    };
    for len in [107, 108] {
        let name = Address::from_bytes(&of_len(len)).unwrap();
        assert_eq!(name.as_bytes().len(), len);
        goes_both_ways(&name);
    }
    assert_eq!(
        Address::from_bytes(&of_len(109)),
        Err(AddressError::TooLong { len: 109, max: 108 })
    );
}

#[test]
fn an_abstract_name_goes_both_ways_whatever_its_bytes() {
    goes_both_ways(&unique(b""));
    goes_both_ways(&unique(b"\0\0"));
    goes_both_ways(&unique(b"\0\xff\xfeinside\0"));
    let longest = unique(&[b'x'; 70]);
    let fill = vec![0; 108 - longest.as_bytes().len()];
    goes_both_ways(&Address::from_bytes(&[longest.as_bytes(), &fill].concat()).unwrap());
}

#[test]
fn names_that_differ_in_their_length_alone_are_different() {
    let (short, long) = (unique(b"length"), unique(b"length\0"));
    assert_ne!(short, long);
    let (a, b) = (Datagram::new().unwrap(), Datagram::new().unwrap());
    a.bind(&short).unwrap();
    b.bind(&long).unwrap();
    assert_eq!(HashSet::from([short.clone(), long, short]).len(), 2);
}

#[test]
fn the_kernel_chooses_a_name_for_who_binds_to_none() {
    let (name, socket) = autobound();
    assert!(name.is_abstract() && !name.is_path() && !name.is_unnamed());
    assert_eq!(name.as_bytes().len(), 6);
    assert_eq!(socket.peer_address().unwrap(), None);
}

#[test]
fn a_sender_without_name_is_unnamed_even_after_one_with_a_name() {
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
fn bytes_that_are_no_name_are_refused_with_the_place() {
    assert_eq!(Address::from_bytes(b"a\0b"), Err(AddressError::NulInPath { at: 1 }));
    assert_eq!(
        Address::from_bytes(&[0; 109]).unwrap_err().to_string(),
        "a socket's name of 109 bytes, expected at most 108"
    );
    assert!(AddressError::NulInPath { at: 1 }.to_string().contains("at byte 1"));
    assert!(Address::from_bytes(b"").unwrap().is_unnamed());
    assert!(Address::from_bytes(b"\0").unwrap().is_abstract());
    assert!(Address::from_bytes(b"x").unwrap().is_path());
}
