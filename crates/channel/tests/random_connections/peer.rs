//! The other end of a connection, without a channel.

use std::io::{IoSlice, IoSliceMut};

use fdwire_socket::{Address, Control, Datagram, Errno, MemoryFile, Stream};
use fdwire_wire::jsoncomm;

use super::common::{bound, name};

/// The transports of the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Datagram,
    Seqpacket,
    /// Seqpacket with messages in memfds.
    Memfd,
    Stream,
}

/// A received message.
pub struct Received {
    pub number: usize,
    pub fds: usize,
}

/// The socket at the other end.
pub enum Peer {
    Packets(Datagram),
    /// A stream, and the bytes that are no whole message yet, with the number of their descriptors.
    Bytes(Stream, Vec<u8>, usize),
    /// It has closed.
    Closed,
}

/// The end of a connection that a channel gets.
pub enum End {
    Packets(Datagram),
    Bytes(Stream),
}

/// Makes a connection.
pub fn connection(kind: Kind) -> (End, Peer) {
    match kind {
        Kind::Datagram => {
            let name = name();
            let (socket, peer) = (Datagram::new().unwrap(), bound(&name));
            socket.connect(&name).unwrap();
            (End::Packets(socket), Peer::Packets(peer))
        }
        Kind::Seqpacket | Kind::Memfd => {
            let (socket, peer) = Datagram::seqpacket_pair().unwrap();
            (End::Packets(socket), Peer::Packets(peer))
        }
        Kind::Stream => {
            let (socket, peer) = Stream::pair().unwrap();
            (End::Bytes(socket), Peer::Bytes(peer, Vec::new(), 0))
        }
    }
}

impl Peer {
    /// Receives at most `at_most` messages, or receives as often from a stream.
    pub fn read(&mut self, at_most: usize) -> Vec<Received> {
        let mut all = Vec::new();
        for _ in 0..at_most {
            let more = match self {
                Self::Packets(socket) => receive_packet(socket, &mut all),
                Self::Bytes(stream, rest, fds) => receive_bytes(stream, rest, fds, &mut all),
                Self::Closed => false,
            };
            if !more {
                break;
            }
        }
        all
    }

    /// Sends a message to the channel, if there is room.
    pub fn send(&self) {
        self.send_bytes(b"\0\0\0\x02{}");
    }

    /// Sends the start of a message to the channel, if that is a stream.
    pub fn send_part(&self) {
        if let Self::Bytes(..) = self {
            self.send_bytes(b"\0\0\0\x09{");
        }
    }

    pub fn close(&mut self) {
        *self = Self::Closed;
    }

    fn send_bytes(&self, bytes: &[u8]) {
        let sent = match self {
            Self::Packets(socket) => socket.send(bytes, &[], None),
            Self::Bytes(stream, ..) => stream.send(&[IoSlice::new(bytes)], &[]).map(drop),
            Self::Closed => return,
        };
        // A datagram socket without a peer cannot send.
        let allowed = [Errno::AGAIN, Errno::NOTCONN, Errno::PIPE, Errno::CONNRESET];
        assert!(sent.is_ok() || sent.is_err_and(|errno| allowed.contains(&errno)), "{sent:?}");
    }
}

fn receive_packet(socket: &Datagram, all: &mut Vec<Received>) -> bool {
    let (mut buffer, mut fds, mut from) = (vec![0; 300_000], Vec::new(), Address::UNNAMED);
    let into = &mut [IoSliceMut::new(&mut buffer)];
    let mut bytes = match socket.recv(into, &mut Control::new(), &mut fds, &mut from) {
        Ok(received) if received.end => return false,
        Ok(received) => buffer[..received.len].to_vec(),
        // The channel has closed its end with unread input. What it has sent follows.
        Err(Errno::CONNRESET) => return true,
        Err(Errno::AGAIN) => return false,
        Err(errno) => panic!("{errno}"),
    };
    let mut count = fds.len();
    if bytes == jsoncomm::MARKER {
        bytes = MemoryFile::from_offset(&fds[0]).unwrap().read().unwrap();
        count -= 1;
    }
    all.push(Received { number: number_of(&bytes), fds: count });
    true
}

fn receive_bytes(
    stream: &Stream,
    rest: &mut Vec<u8>,
    fds: &mut usize,
    all: &mut Vec<Received>,
) -> bool {
    let (mut buffer, mut received) = (vec![0; 64 * 1024], Vec::new());
    let into = &mut [IoSliceMut::new(&mut buffer)];
    let len = match stream.recv(into, &mut Control::new(), &mut received) {
        Ok(read) => read.len,
        Err(Errno::CONNRESET) => return true,
        Err(Errno::AGAIN) => 0,
        Err(errno) => panic!("{errno}"),
    };
    rest.extend_from_slice(&buffer[..len]);
    let before = all.len();
    while let Some((head, tail)) = rest.split_first_chunk::<4>()
        && let Some(payload) = tail.get(..u32::from_be_bytes(*head) as usize)
    {
        let (number, end) = (number_of(payload), 4 + payload.len());
        all.push(Received { number, fds: std::mem::take(fds) });
        rest.drain(..end);
    }
    // The descriptors of a receive are those of the message that has the last byte.
    match all[before..].last_mut() {
        Some(last) if rest.is_empty() => last.fds += received.len(),
        _ => *fds += received.len(),
    }
    len > 0
}

/// Returns the bytes of a message: JSON, so that every protocol carries them.
pub fn message(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = format!("[{number},\"").into_bytes();
    bytes.resize(bytes.len().max(len.saturating_sub(2)), b'x');
    bytes.extend_from_slice(b"\"]");
    bytes
}

fn number_of(bytes: &[u8]) -> usize {
    let text = std::str::from_utf8(bytes).unwrap();
    text[1..text.find(',').unwrap()].parse().unwrap()
}
