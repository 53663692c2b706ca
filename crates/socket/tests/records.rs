//! seqpacket: records, and an end that is none.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::IoSliceMut;
use std::os::fd::{AsFd, OwnedFd};

use fdwire_socket::{
    Accepted, Address, Control, Datagram, Errno, Listener, Name, SocketType, TcpOptions,
};
use rustix::net::sockopt;

/// The next record: its length, how many descriptors, and whether it is the end instead.
fn recv(socket: &Datagram) -> Result<(usize, usize, bool), Errno> {
    let (mut bytes, mut fds, mut from) = ([0; 100], Vec::<OwnedFd>::new(), Address::UNNAMED);
    let into = &mut [IoSliceMut::new(&mut bytes)];
    let received = socket.recv(into, &mut Control::new(), &mut fds, &mut from)?;
    Ok((received.len, fds.len(), received.end))
}

#[test]
fn an_empty_record_is_not_the_end() {
    let (a, b) = Datagram::seqpacket_pair().unwrap();
    a.send(b"", &[], None).unwrap();
    a.send(b"", &[b.as_fd()], None).unwrap();
    a.send(b"x", &[], None).unwrap();
    a.shutdown_send().unwrap();
    let got: Vec<_> = (0..4).map(|_| recv(&b).unwrap()).collect();
    assert_eq!(got, [(0, 0, false), (0, 1, false), (1, 0, false), (0, 0, true)]);
}

#[test]
fn what_was_sent_before_a_reset_can_still_be_read() {
    let (a, b) = Datagram::seqpacket_pair().unwrap();
    b.send(b"nobody reads this", &[], None).unwrap();
    a.send(b"last", &[], None).unwrap();
    drop(a);
    assert_eq!(recv(&b), Err(Errno::CONNRESET));
    assert_eq!(recv(&b), Ok((4, 0, false)));
    assert_eq!(recv(&b), Ok((0, 0, true)));
}

#[test]
fn what_was_asked_of_the_socket_is_as_it_was_found() {
    for passcred in [false, true] {
        let (a, _b) = Datagram::seqpacket_pair().unwrap();
        let fd = a.into_fd();
        assert!(!sockopt::socket_passcred(&fd).unwrap());
        sockopt::set_socket_passcred(&fd, passcred).unwrap();
        let again = Datagram::adopt(fd).unwrap();
        assert!(again.is_seqpacket() && sockopt::socket_passcred(&again).unwrap());
        assert_eq!(sockopt::socket_passcred(again.into_fd()), Ok(passcred));
    }
}

#[test]
fn a_connected_socket_has_no_name_and_is_accepted_as_what_it_is() {
    let text = format!("\0fdw-records-{}", std::process::id());
    let name = Address::from_bytes(text.as_bytes()).unwrap();
    let options = TcpOptions::default();
    let listener =
        Listener::listen(&Name::Unix(name.clone()), SocketType::SEQPACKET, 9, &options).unwrap();
    let client = Datagram::connect_seqpacket(&name, None).unwrap();
    assert!(client.local_address().unwrap().is_unnamed());
    let Ok(Accepted::Seqpacket(server)) = listener.accept() else { panic!("a seqpacket socket") };
    client.send(b"hello", &[], None).unwrap();
    assert_eq!(recv(&server), Ok((5, 0, false)));
    assert_eq!(recv(&server), Err(Errno::AGAIN));
}
