//! The laws of one message, beside its descriptors.

mod common;

use common::{recv, recv_into};
use fdwire_socket::{Datagram, Errno};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

#[test]
fn a_message_fills_the_buffers_in_order() {
    let (a, b) = Datagram::pair().unwrap();
    a.send(b"0123456789", &[], None).unwrap();
    let message = recv_into(&b, 4, 6).unwrap();
    assert_eq!(message.bytes, b"0123456789");
    assert!(!message.received.truncated);
}

#[test]
fn a_message_longer_than_the_buffers_is_flagged_and_the_next_is_whole() {
    let (a, b) = Datagram::pair().unwrap();
    a.send(b"0123456789", &[], None).unwrap();
    a.send(b"next", &[], None).unwrap();
    let message = recv_into(&b, 4, 5).unwrap();
    assert_eq!((&message.bytes[..], message.received.truncated), (&b"012345678"[..], true));
    assert_eq!(recv(&b).bytes, b"next");
}

#[test]
fn nothing_blocks_though_the_socket_does_and_its_flags_stay() {
    let (a, b) = Datagram::pair().unwrap();
    for flags in [OFlags::empty(), OFlags::NONBLOCK] {
        fcntl_setfl(&a, flags).unwrap();
        let was = fcntl_getfl(&a).unwrap();
        assert_eq!(recv_into(&a, 1, 1).err(), Some(Errno::AGAIN));
        while a.send(b"fill", &[], None).is_ok() {}
        assert_eq!(a.send(b"fill", &[], None), Err(Errno::AGAIN));
        assert_eq!(fcntl_getfl(&a).unwrap(), was);
        while recv_into(&b, 8, 0).is_ok() {}
    }
}

#[test]
fn a_dead_peer_is_an_error_and_no_signal() {
    let (a, b) = Datagram::pair().unwrap();
    drop(b);
    assert_eq!(a.send(b"x", &[], None), Err(Errno::CONNREFUSED));
    assert_eq!(Datagram::new().unwrap().send(b"x", &[], None), Err(Errno::NOTCONN));
}

#[test]
fn the_send_buffer_is_told_and_set_in_the_same_bytes() {
    let (a, _b) = Datagram::pair().unwrap();
    let half = a.send_buffer().unwrap() / 2;
    a.set_send_buffer(half).unwrap();
    assert_eq!(a.send_buffer().unwrap(), half);
    a.set_send_buffer(0).unwrap();
    let least = a.send_buffer().unwrap();
    assert!(least > 0 && least < half);
    a.set_send_buffer(usize::MAX).unwrap();
    assert!(a.send_buffer().unwrap() >= half);
}

#[test]
fn a_message_is_unsent_until_it_is_received() {
    let (a, b) = Datagram::pair().unwrap();
    assert_eq!(a.unsent().unwrap(), 0);
    a.send(&[0; 100], &[], None).unwrap();
    let one = a.unsent().unwrap();
    assert!(one >= 100);
    a.send(&[0; 100], &[], None).unwrap();
    assert_eq!(a.unsent().unwrap(), 2 * one);
    recv(&b);
    recv(&b);
    assert_eq!(a.unsent().unwrap(), 0);
}

#[test]
fn the_largest_message_is_the_send_buffer_less_32_bytes() {
    let (a, b) = Datagram::pair().unwrap();
    let most = a.send_buffer().unwrap() - 32;
    assert_eq!(a.send(&vec![7; most + 1], &[], None), Err(Errno::MSGSIZE));
    a.send(&vec![7; most], &[], None).unwrap();
    assert_eq!(recv_into(&b, most, 0).unwrap().bytes, vec![7; most]);
}
