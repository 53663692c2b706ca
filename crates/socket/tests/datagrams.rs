//! Properties of single messages, except those of their descriptors.

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
fn a_message_longer_than_the_buffers_is_flagged_and_the_next_one_is_complete() {
    let (a, b) = Datagram::pair().unwrap();
    a.send(b"0123456789", &[], None).unwrap();
    a.send(b"next", &[], None).unwrap();
    let message = recv_into(&b, 4, 5).unwrap();
    assert_eq!((&message.bytes[..], message.received.truncated), (&b"012345678"[..], true));
    assert_eq!(recv(&b).bytes, b"next");
}

#[test]
fn calls_never_block_and_leave_o_nonblock_unchanged() {
    let (a, b) = Datagram::pair().unwrap();
    for flags in [OFlags::empty(), OFlags::NONBLOCK] {
        fcntl_setfl(&a, flags).unwrap();
        let before = fcntl_getfl(&a).unwrap();
        assert_eq!(recv_into(&a, 1, 1).err(), Some(Errno::AGAIN));
        while a.send(b"fill", &[], None).is_ok() {}
        assert_eq!(a.send(b"fill", &[], None), Err(Errno::AGAIN));
        assert_eq!(fcntl_getfl(&a).unwrap(), before);
        while recv_into(&b, 8, 0).is_ok() {}
    }
}

#[test]
fn sending_to_a_closed_peer_fails_without_a_signal() {
    let (a, b) = Datagram::pair().unwrap();
    drop(b);
    assert_eq!(a.send(b"x", &[], None), Err(Errno::CONNREFUSED));
    assert_eq!(Datagram::new().unwrap().send(b"x", &[], None), Err(Errno::NOTCONN));
}

#[test]
fn the_send_buffer_is_reported_and_set_in_the_same_unit() {
    let (a, _b) = Datagram::pair().unwrap();
    let half = a.send_buffer().unwrap() / 2;
    a.set_send_buffer(half).unwrap();
    assert_eq!(a.send_buffer().unwrap(), half);
    a.set_send_buffer(0).unwrap();
    let minimum = a.send_buffer().unwrap();
    assert!(minimum > 0 && minimum < half);
    a.set_send_buffer(usize::MAX).unwrap();
    assert!(a.send_buffer().unwrap() >= half);
}

#[test]
fn a_message_occupies_the_send_buffer_until_it_is_received() {
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
fn the_largest_message_is_32_bytes_shorter_than_the_send_buffer() {
    let (a, b) = Datagram::pair().unwrap();
    let longest = a.send_buffer().unwrap() - 32;
    assert_eq!(a.max_message().unwrap(), longest);
    assert_eq!(a.send(&vec![7; longest + 1], &[], None), Err(Errno::MSGSIZE));
    a.send(&vec![7; longest], &[], None).unwrap();
    assert_eq!(recv_into(&b, longest, 0).unwrap().bytes, vec![7; longest]);
}
