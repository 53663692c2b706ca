//! Streams and listeners: chunks, ends, and calls that never block.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::fmt::Debug;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fdwire_socket::{
    Accepted, Address, Binding, Connect, Control, Datagram, Errno, ForeignFd, Listener, Received,
    SocketAddress, SocketSetup, SocketType, Stream, SyscallError, Unlink, peer_credentials,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::sockopt;

fn recv(stream: &Stream, len: usize) -> Result<(Vec<u8>, Vec<ForeignFd>, Received), Errno> {
    let (mut bytes, mut fds) = (vec![0; len], Vec::new());
    let into = &mut [IoSliceMut::new(&mut bytes)];
    let received = stream.recv(into, &mut Control::new(), &mut fds)?;
    bytes.truncate(received.len);
    Ok((bytes, fds, received))
}

fn send(stream: &Stream, bytes: &[u8]) {
    assert_eq!(stream.send(&[IoSlice::new(bytes)], &[]).unwrap(), bytes.len());
}

fn abstract_name(what: &str) -> Address {
    let name = format!("\0fdw-streams-{}-{what}", std::process::id());
    Address::from_bytes(name.as_bytes()).unwrap()
}

fn listen(address: &Address, backlog: i32) -> Listener {
    let binding = Binding { address, mode: 0, unlink: Unlink::Never };
    Listener::listen_unix(&binding, SocketType::STREAM, backlog, &SocketSetup::default()).unwrap()
}

fn wait_until(socket: &Stream, flags: PollFlags) {
    poll(&mut [PollFd::new(socket, flags)], None).unwrap();
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
    let listener = listen(&name, 1);
    assert_eq!(listener.accept().unwrap_err(), Errno::AGAIN);
    let mut connected = Vec::new();
    let error = loop {
        match Stream::connect(&SocketAddress::Unix(name.clone()), None, &SocketSetup::default()) {
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
fn an_adopted_listener_does_not_block_while_other_threads_accept_its_connections() {
    let name = abstract_name("blocking");
    let fd = listen(&name, 64).into_fd();
    fcntl_setfl(&fd, fcntl_getfl(&fd).unwrap() - OFlags::NONBLOCK).unwrap();
    let shared: Vec<_> = (0..4).map(|_| fd.try_clone().unwrap()).collect();
    let listener = Listener::adopt(fd, &SocketSetup::default()).unwrap();
    assert!(fcntl_getfl(listener.as_fd()).unwrap().contains(OFlags::NONBLOCK));
    assert_eq!(listener.accept().unwrap_err(), Errno::AGAIN);
    // Each thread polls before it accepts, so several of them see the same connection.
    let (accepted, most) = (AtomicUsize::new(0), 200);
    thread::scope(|scope| {
        for fd in shared {
            let listener = Listener::adopt(fd, &SocketSetup::default()).unwrap();
            let accepted = &accepted;
            scope.spawn(move || {
                while accepted.load(Ordering::Relaxed) < most {
                    let wait = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
                    poll(&mut [PollFd::new(&listener, PollFlags::IN)], Some(&wait)).unwrap();
                    match listener.accept() {
                        Ok(_) => drop(accepted.fetch_add(1, Ordering::Relaxed)),
                        Err(errno) => assert_eq!(errno, Errno::AGAIN),
                    }
                }
            });
        }
        for _ in 0..most {
            while let Err(error) =
                Stream::connect(&SocketAddress::Unix(name.clone()), None, &SocketSetup::default())
            {
                assert_eq!(error.errno, Errno::AGAIN, "the backlog is full");
                thread::yield_now();
            }
        }
    });
    assert_eq!(accepted.into_inner(), most);
}

#[test]
fn tcp_connects_over_both_families_with_its_options() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let setup = SocketSetup {
            no_delay: true,
            keep_alive: Some(Duration::from_secs(7)),
            reuse_port: true,
            ..SocketSetup::default()
        };
        let listener = Listener::listen_tcp(host.parse().unwrap(), 9, &setup).unwrap();
        let to = listener.local_address().unwrap();
        let SocketAddress::Inet(address) = to else { panic!("not a TCP socket") };
        let _second = Listener::listen_tcp(address, 9, &setup).unwrap();
        drop(_second);
        let client = Stream::connect(&to, None, &setup).unwrap();
        wait_until(&client.stream, PollFlags::OUT);
        client.stream.take_error().unwrap();
        client.stream.finish_connect().unwrap();
        let server = accept(&listener);
        assert!(client.stream.is_tcp() && server.is_tcp());
        assert!(sockopt::tcp_nodelay(&server).unwrap(), "inherited");
        assert!(sockopt::socket_keepalive(&server).unwrap());
        assert_eq!(server.peer_address(), client.stream.local_address());
        send(&client.stream, b"hello");
        wait_until(&server, PollFlags::IN);
        assert_eq!(recv(&server, 100).unwrap().0, b"hello");
    }
}

#[test]
fn accepted_sockets_of_an_adopted_tcp_listener_get_the_options_that_it_lacks() {
    let listener =
        Listener::listen_tcp("127.0.0.1:0".parse().unwrap(), 9, &SocketSetup::default()).unwrap();
    let setup = SocketSetup {
        no_delay: true,
        keep_alive: Some(Duration::from_secs(7)),
        ..SocketSetup::default()
    };
    let listener = Listener::adopt(listener.into_fd(), &setup).unwrap();
    let client =
        Stream::connect(&listener.local_address().unwrap(), None, &SocketSetup::default()).unwrap();
    wait_until(&client.stream, PollFlags::OUT);
    let server = accept(&listener);
    assert!(sockopt::tcp_nodelay(&server).unwrap());
    assert!(sockopt::socket_keepalive(&server).unwrap());
    assert_eq!(sockopt::tcp_keepidle(&server).unwrap(), Duration::from_secs(7));
    assert!(!sockopt::tcp_nodelay(listener.as_fd()).unwrap());
    assert!(!sockopt::socket_keepalive(listener.as_fd()).unwrap());
}

#[test]
fn listening_replaces_a_stale_socket_but_not_one_in_use() {
    let dir = common::TestDir::new();
    let path = common::address(&dir.join("s"));
    let binding = Binding { address: &path, mode: 0o640, unlink: Unlink::Stale };
    let listen = || Listener::listen_unix(&binding, SocketType::STREAM, 9, &SocketSetup::default());
    let first = listen().unwrap();
    assert_eq!(listen().unwrap_err().errno, Errno::ADDRINUSE);
    // The check for a stale socket has not connected to it.
    assert_eq!(first.accept().unwrap_err(), Errno::AGAIN);
    drop(first.into_fd());
    let second = listen().unwrap();
    let mode = rustix::fs::stat(dir.join("s")).unwrap().st_mode;
    assert_eq!(mode & 0o777, 0o640);
    Stream::connect(&SocketAddress::Unix(path.clone()), None, &SocketSetup::default()).unwrap();
    accept(&second);
}

#[test]
fn the_path_of_a_client_has_its_mode_and_is_removed_with_the_client() {
    for kind in [SocketType::STREAM, SocketType::SEQPACKET] {
        let dir = common::TestDir::new();
        let (server, own) = (common::address(&dir.join("s")), common::address(&dir.join("c")));
        let at_server = Binding { address: &server, mode: 0o600, unlink: Unlink::Stale };
        let local = Binding { address: &own, mode: 0o640, unlink: Unlink::Stale };
        let connect = || connect_from(&local, &server, kind);
        assert_eq!(connect().unwrap_err().errno, Errno::NOENT);
        assert!(!dir.join("c").exists(), "a failed connect leaves no file");
        let _listener =
            Listener::listen_unix(&at_server, kind, 9, &SocketSetup::default()).unwrap();
        let client = connect().unwrap();
        let mode = rustix::fs::stat(dir.join("c")).unwrap().st_mode;
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(connect().unwrap_err().errno, Errno::ADDRINUSE);
        drop(client);
        assert!(!dir.join("c").exists());
        drop(UnixDatagram::bind(dir.join("c")).unwrap());
        drop(connect().unwrap());
    }
}

/// Connects a socket that is bound to `local`, and returns it.
fn connect_from(
    local: &Binding<'_>,
    peer: &Address,
    kind: SocketType,
) -> Result<Box<dyn Debug>, SyscallError> {
    if kind == SocketType::SEQPACKET {
        let client = Datagram::connect_seqpacket(peer, Some(local), &SocketSetup::default())?;
        return Ok(Box::new(client));
    }
    let client =
        Stream::connect(&SocketAddress::Unix(peer.clone()), Some(local), &SocketSetup::default())?;
    Ok(Box::new(client.stream))
}
