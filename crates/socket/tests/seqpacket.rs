//! Seqpacket sockets: records, and the end of the connection.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::IoSliceMut;
use std::os::fd::AsFd;

use fdwire_socket::{
    Accepted, Address, Binding, Control, Datagram, Errno, ForeignFd, Listener, SocketSetup,
    SocketType, Unlink,
};
use rustix::net::sockopt;

/// Receives a record. Returns its length, its number of descriptors, and whether it is the end
/// instead.
fn recv(socket: &Datagram) -> Result<(usize, usize, bool), Errno> {
    let (mut bytes, mut fds, mut from) = ([0; 100], Vec::<ForeignFd>::new(), Address::UNNAMED);
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
    let received: Vec<_> = (0..4).map(|_| recv(&b).unwrap()).collect();
    assert_eq!(received, [(0, 0, false), (0, 1, false), (1, 0, false), (0, 0, true)]);
}

#[test]
fn records_sent_before_a_reset_can_still_be_received() {
    let (a, b) = Datagram::seqpacket_pair().unwrap();
    b.send(b"never received", &[], None).unwrap();
    a.send(b"last", &[], None).unwrap();
    drop(a);
    assert_eq!(recv(&b), Err(Errno::CONNRESET));
    assert_eq!(recv(&b), Ok((4, 0, false)));
    assert_eq!(recv(&b), Ok((0, 0, true)));
}

#[test]
fn into_fd_restores_so_passcred() {
    for passcred in [false, true] {
        let (a, _b) = Datagram::seqpacket_pair().unwrap();
        let fd = a.into_fd();
        assert!(!sockopt::socket_passcred(&fd).unwrap());
        sockopt::set_socket_passcred(&fd, passcred).unwrap();
        let adopted = Datagram::adopt(fd).unwrap();
        assert!(adopted.is_seqpacket());
        assert_eq!(sockopt::socket_passcred(&adopted), Ok(passcred), "until the first receive");
        adopted.prepare_to_receive(false);
        assert_eq!(sockopt::socket_passcred(&adopted), Ok(true));
        assert_eq!(sockopt::socket_passcred(adopted.into_fd()), Ok(passcred));
    }
}

#[test]
fn a_connected_socket_is_unbound_and_its_peer_is_accepted_as_seqpacket() {
    let text = format!("\0fdw-seqpacket-{}", std::process::id());
    let name = Address::from_bytes(text.as_bytes()).unwrap();
    let setup = SocketSetup::default();
    let binding = Binding { address: &name, mode: 0, unlink: Unlink::Never };
    let listener = Listener::listen_unix(&binding, SocketType::SEQPACKET, 9, &setup).unwrap();
    let client = Datagram::connect_seqpacket(&name, None, &setup).unwrap();
    assert!(client.local_address().unwrap().is_unnamed());
    let Ok(Accepted::Seqpacket(server)) = listener.accept() else {
        panic!("not a seqpacket socket")
    };
    client.send(b"hello", &[], None).unwrap();
    assert_eq!(recv(&server), Ok((5, 0, false)));
    assert_eq!(recv(&server), Err(Errno::AGAIN));
}
