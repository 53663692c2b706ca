//! Streams and listeners: chunks, ends, and calls that never block.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use fdwire_socket::{
    Accepted, Address, Connect, Control, Errno, ListenOutcome, Listener, Name, Received,
    SocketType, Stream, SyscallError, TcpOptions, Unlink, peer_credentials,
};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

fn recv(stream: &Stream, len: usize) -> Result<(Vec<u8>, Vec<OwnedFd>, Received), Errno> {
    let (mut bytes, mut fds) = (vec![0; len], Vec::new());
    let into = &mut [IoSliceMut::new(&mut bytes)];
    let received = stream.recv(into, &mut Control::new(), &mut fds)?;
    bytes.truncate(received.len);
    Ok((bytes, fds, received))
}

fn send(stream: &Stream, bytes: &[u8]) {
    assert_eq!(stream.send(&[IoSlice::new(bytes)], &[]).unwrap(), bytes.len());
}

fn abstract_name(what: &str) -> Name {
    let name = format!("\0fdw-streams-{}-{what}", std::process::id());
    Name::Unix(Address::from_bytes(name.as_bytes()).unwrap())
}

fn accept(listener: &Listener) -> Stream {
    match listener.accept().unwrap() {
        Accepted::Stream(stream) => stream,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_chunk_ends_after_the_bytes_that_carried_descriptors() {
    let (a, b) = Stream::pair().unwrap();
    let (file, _) = Stream::pair().unwrap();
    send(&a, b"before ");
    a.send(&[IoSlice::new(b"with")], &[file.as_fd()]).unwrap();
    send(&a, b"after");
    let (bytes, fds, _) = recv(&b, 100).unwrap();
    assert_eq!((bytes.as_slice(), fds.len()), (&b"before with"[..], 1));
    let (bytes, fds, _) = recv(&b, 100).unwrap();
    assert_eq!((bytes.as_slice(), fds.len()), (&b"after"[..], 0));
    assert_eq!(recv(&b, 100).unwrap_err(), Errno::AGAIN);
}

#[test]
fn at_end_detects_the_end_without_receiving_anything() {
    let (a, b) = Stream::pair().unwrap();
    let (file, _) = Stream::pair().unwrap();
    assert_eq!(b.at_end(), Ok(false));
    a.send(&[IoSlice::new(b"x")], &[file.as_fd()]).unwrap();
    drop(a);
    assert_eq!(b.at_end(), Ok(false));
    assert_eq!(recv(&b, 9).unwrap().1.len(), 1, "at_end has not received the descriptor");
    assert_eq!(b.at_end(), Ok(true));
    assert_eq!(recv(&b, 9).unwrap().2.len, 0);
}

#[test]
fn several_buffers_are_sent_in_order() {
    let (a, b) = Stream::pair().unwrap();
    let parts = [&b"one "[..], b"", b"two"].map(IoSlice::new);
    assert_eq!(a.send(&parts, &[]).unwrap(), 7);
    assert_eq!(recv(&b, 100).unwrap().0, b"one two");
}

#[test]
fn a_full_backlog_fails_at_once_and_connected_sockets_lack_o_nonblock() {
    let name = abstract_name("backlog");
    let listener = Listener::listen(&name, SocketType::STREAM, 1, &TcpOptions::default()).unwrap();
    assert_eq!(listener.accept().unwrap_err(), Errno::AGAIN);
    let mut connected = Vec::new();
    let error = loop {
        match Stream::connect(&name, None, &TcpOptions::default()) {
            Ok(Connect { stream, connecting }) => {
                assert!(!connecting);
                connected.push(stream);
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error, SyscallError { errno: Errno::AGAIN, syscall: "connect" });
    assert!(!fcntl_getfl(&connected[0]).unwrap().contains(OFlags::NONBLOCK));
    let accepted = accept(&listener);
    assert!(!fcntl_getfl(&accepted).unwrap().contains(OFlags::NONBLOCK));
    let peer = peer_credentials(accepted.as_fd()).unwrap();
    assert_eq!(u32::try_from(peer.pid).unwrap(), std::process::id());
}

#[test]
fn an_adopted_blocking_listener_does_not_block_and_stays_in_blocking_mode() {
    let name = abstract_name("blocking");
    let listener = Listener::listen(&name, SocketType::STREAM, 9, &TcpOptions::default()).unwrap();
    let fd = listener.into_fd();
    fcntl_setfl(&fd, fcntl_getfl(&fd).unwrap() - OFlags::NONBLOCK).unwrap();
    let listener = Listener::adopt(fd).unwrap();
    assert_eq!(listener.accept().unwrap_err(), Errno::AGAIN);
    let _client = Stream::connect(&name, None, &TcpOptions::default()).unwrap();
    accept(&listener);
    assert_eq!(listener.accept().unwrap_err(), Errno::AGAIN);
    assert!(!fcntl_getfl(listener.as_fd()).unwrap().contains(OFlags::NONBLOCK));
}

#[test]
fn tcp_connects_over_both_families_with_its_options() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let name = Name::Inet(host.parse::<SocketAddr>().unwrap());
        let options = TcpOptions {
            no_delay: true,
            keep_alive: Some(Duration::from_secs(7)),
            reuse_port: true,
        };
        let listener = Listener::listen(&name, SocketType::STREAM, 9, &options).unwrap();
        let to = listener.local_name().unwrap();
        let _second = Listener::listen(&to, SocketType::STREAM, 9, &options).unwrap();
        drop(_second);
        let client = Stream::connect(&to, None, &options).unwrap();
        rustix::event::poll(
            &mut [rustix::event::PollFd::new(&client.stream, rustix::event::PollFlags::OUT)],
            None,
        )
        .unwrap();
        client.stream.take_error().unwrap();
        client.stream.finish_connect().unwrap();
        let server = accept(&listener);
        assert!(client.stream.is_tcp() && server.is_tcp());
        assert!(rustix::net::sockopt::tcp_nodelay(&server).unwrap(), "inherited");
        assert!(rustix::net::sockopt::socket_keepalive(&server).unwrap());
        assert_eq!(server.peer_name(), client.stream.local_name());
        send(&client.stream, b"hello");
        let wait = &mut [rustix::event::PollFd::new(&server, rustix::event::PollFlags::IN)];
        rustix::event::poll(wait, None).unwrap();
        assert_eq!(recv(&server, 100).unwrap().0, b"hello");
    }
}

#[test]
fn listening_replaces_a_stale_socket_but_not_one_in_use() {
    let dir = common::TestDir::new();
    let path = common::address(&dir.join("s"));
    let listen = || Listener::listen_path(&path, SocketType::STREAM, 0o640, Unlink::Stale, 9);
    let Ok(ListenOutcome::Listening(first, bound)) = listen() else { panic!("the path is free") };
    assert_eq!(listen().unwrap_err().errno, Errno::ADDRINUSE);
    // The check for a stale socket has not connected to it.
    assert_eq!(first.accept().unwrap_err(), Errno::AGAIN);
    bound.keep();
    drop(first);
    let Ok(ListenOutcome::Listening(second, _bound)) = listen() else {
        panic!("the socket is stale")
    };
    let mode = rustix::fs::stat(dir.join("s")).unwrap().st_mode;
    assert_eq!(mode & 0o777, 0o640);
    Stream::connect(&Name::Unix(path.clone()), None, &TcpOptions::default()).unwrap();
    accept(&second);
}
