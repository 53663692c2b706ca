//! Sizes of socket buffers: options set them, and giving a socket away restores them.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd};

use fdwire_socket::{
    Accepted, Address, Binding, Control, Datagram, Listener, SocketAddress, SocketSetup,
    SocketType, Stream, Unlink,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{self, AddressFamily, sockopt};

const SIZE: u32 = 20_000;

fn setup() -> SocketSetup {
    SocketSetup { send_buffer: Some(SIZE), receive_buffer: Some(SIZE), ..SocketSetup::default() }
}

fn sizes(socket: impl AsFd) -> (usize, usize) {
    let socket = socket.as_fd();
    (
        sockopt::socket_send_buffer_size(socket).unwrap(),
        sockopt::socket_recv_buffer_size(socket).unwrap(),
    )
}

fn default_sizes(family: AddressFamily, kind: SocketType) -> (usize, usize) {
    sizes(net::socket(family, kind, None).unwrap())
}

/// The kernel reports twice the size that was set.
const SET: usize = 2 * SIZE as usize;

fn wait_for(socket: BorrowedFd<'_>, flags: PollFlags) {
    poll(&mut [PollFd::from_borrowed_fd(socket, flags)], None).unwrap();
}

#[test]
fn unix_sockets_get_the_send_buffer_and_give_it_back() {
    let (default, receive) = default_sizes(AddressFamily::UNIX, SocketType::STREAM);
    let (stream, _peer) = Stream::pair().unwrap();
    stream.set_up(&setup()).unwrap();
    assert_eq!(sizes(&stream), (SET, receive), "a Unix socket has no use for a receive buffer");
    assert_eq!(sizes(stream.into_fd()), (default, receive));
    for (mut socket, _peer) in [Datagram::pair().unwrap(), Datagram::seqpacket_pair().unwrap()] {
        socket.set_up(&setup()).unwrap();
        assert_eq!(sizes(&socket).0, SET);
        assert!(socket.has_fixed_send_buffer());
        assert_eq!(sizes(socket.into_fd()).0, default);
    }
}

#[test]
fn a_size_that_an_option_determines_is_not_raised() {
    let (stream, _peer) = Stream::pair().unwrap();
    stream.set_up(&setup()).unwrap();
    stream.raise_send_buffer(512 * 1024).unwrap();
    assert_eq!(sizes(&stream).0, SET);
}

#[test]
fn sockets_that_unix_listeners_accept_get_the_send_buffer() {
    let (default, _) = default_sizes(AddressFamily::UNIX, SocketType::STREAM);
    for kind in [SocketType::STREAM, SocketType::SEQPACKET] {
        let binding = Binding { address: &Address::UNNAMED, mode: 0, unlink: Unlink::Never };
        let listener = Listener::listen_unix(&binding, kind, 9, &setup()).unwrap();
        let SocketAddress::Unix(name) = listener.local_address().unwrap() else { panic!() };
        let (accepted, fd);
        if kind == SocketType::STREAM {
            let peer = SocketAddress::Unix(name);
            let client = Stream::connect(&peer, None, &setup()).unwrap().stream;
            assert_eq!(sizes(&client).0, SET);
            let Accepted::Stream(stream) = listener.accept().unwrap() else { panic!() };
            accepted = sizes(&stream).0;
            fd = stream.into_fd();
        } else {
            let client = Datagram::connect_seqpacket(&name, None, &setup()).unwrap();
            assert_eq!(sizes(&client).0, SET);
            let Accepted::Seqpacket(socket) = listener.accept().unwrap() else { panic!() };
            accepted = sizes(&socket).0;
            fd = socket.into_fd();
        }
        assert_eq!((accepted, sizes(fd).0), (SET, default));
    }
}

#[test]
fn tcp_sockets_get_both_buffers_before_they_connect_and_listen() {
    let default = default_sizes(AddressFamily::INET, SocketType::STREAM);
    let listener = Listener::listen_tcp("127.0.0.1:0".parse().unwrap(), 9, &setup()).unwrap();
    assert_eq!(sizes(&listener), (SET, SET));
    let client =
        Stream::connect(&listener.local_address().unwrap(), None, &setup()).unwrap().stream;
    assert_eq!(sizes(&client), (SET, SET));
    wait_for(listener.as_fd(), PollFlags::IN);
    let Accepted::Stream(server) = listener.accept().unwrap() else { panic!() };
    assert_eq!(sizes(&server), (SET, SET), "inherited");
    assert_eq!(sizes(server.into_fd()), default);
    assert_eq!(sizes(client.into_fd()), default);
}

#[test]
fn tcp_adjusts_the_buffers_of_a_socket_that_was_given_back() {
    let listener = Listener::listen_tcp("127.0.0.1:0".parse().unwrap(), 9, &setup()).unwrap();
    let client =
        Stream::connect(&listener.local_address().unwrap(), None, &setup()).unwrap().stream;
    wait_for(client.as_fd(), PollFlags::OUT);
    client.finish_connect().unwrap();
    wait_for(listener.as_fd(), PollFlags::IN);
    let Accepted::Stream(server) = listener.accept().unwrap() else { panic!() };
    let client = client.into_fd();
    let before = sizes(&client).0;
    // As more is in flight, TCP enlarges a send buffer that no option has locked.
    let (bytes, mut memory) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    for _ in 0..1_000 {
        if sizes(&client).0 > before {
            return;
        }
        let _ = net::send(&client, &bytes, net::SendFlags::DONTWAIT);
        wait_for(server.as_fd(), PollFlags::IN);
        let room = &mut [IoSliceMut::new(&mut memory)];
        let _ = server.recv(room, &mut Control::new(), &mut Vec::new());
    }
    panic!("the send buffer stays at {before} bytes");
}
