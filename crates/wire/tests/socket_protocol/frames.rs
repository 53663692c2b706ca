//! Frames and streams against the vectors, some of which are from the original's documentation.

use fdwire_wire::codec::{Codec, End, Lost, Options, Step};
use fdwire_wire::{Malformed, Protocol};
use serde_json::Value;

use crate::{rows, unhex};

/// The result of decoding a stream: its messages and malformed frames, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) items: Vec<Result<Vec<u8>, Malformed>>,
    pub(crate) end: Result<End, Lost>,
}

pub(crate) fn codec(max_message: usize) -> Codec {
    let options = Options::new(max_message, false);
    Codec::new(Protocol::SocketProtocol, options).expect("a protocol for streams")
}

pub(crate) fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    codec(usize::MAX).encode(payload, false, &mut frame).expect("any bytes can be framed");
    frame
}

/// Decodes chunks as a channel does: each chunk is appended to the bytes that are not consumed yet.
pub(crate) fn decode<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut codec = codec(limit);
    let (mut input, mut items) = (Vec::new(), Vec::new());
    for chunk in chunks {
        input.extend_from_slice(chunk);
        while !input.is_empty() {
            let consumed = match codec.decode(&mut input) {
                Ok(Step::Incomplete { frame }) => {
                    assert!(frame > input.len(), "the frame ends after the input");
                    break;
                }
                Ok(Step::Message { consumed, payload, .. }) => {
                    assert!(payload.end <= consumed);
                    items.push(Ok(input[payload].to_vec()));
                    consumed
                }
                Ok(Step::Malformed { consumed, why }) => {
                    items.push(Err(why));
                    consumed
                }
                Ok(Step::Noise { consumed }) => consumed,
                Err(lost) => return Decoded { items, end: Err(lost) },
            };
            assert!(0 < consumed && consumed <= input.len(), "{consumed} of {}", input.len());
            input.drain(..consumed);
        }
    }
    let end = codec.end(&mut input);
    Decoded { items, end: Ok(end) }
}

fn vectors() -> Value {
    let text = include_str!("../../../../vectors/socket_protocol_framing.json");
    serde_json::from_str(text).expect("the vectors are JSON")
}

#[test]
fn frames_equal_the_vectors_and_decode_to_their_payloads() {
    let vectors = vectors();
    assert!(rows(&vectors, "frames").iter().any(|row| row["proven"] == true));
    for row in rows(&vectors, "frames") {
        let payload = unhex(&row["payload"]);
        assert_eq!(framed(&payload), unhex(&row["frame"]), "{row}");
        let decoded = decode(payload.len(), [&unhex(&row["frame"])[..]]);
        assert_eq!(decoded, Decoded { items: vec![Ok(payload)], end: Ok(End::Clean) }, "{row}");
    }
}

#[test]
fn streams_decode_as_in_the_vectors_whole_split_anywhere_and_byte_by_byte() {
    for row in rows(&vectors(), "streams") {
        let bytes = unhex(&row["bytes"]);
        let items =
            row["gives"].as_array().expect("an array").iter().map(|item| {
                if item == "bad" { Err(Malformed::BadEscape) } else { Ok(unhex(item)) }
            });
        let missing = row["missing"].as_u64().map(|missing| missing.try_into().expect("small"));
        let end = missing.map_or(End::Clean, |missing| End::Cut { missing });
        let expected = Decoded { items: items.collect(), end: Ok(end) };
        assert_eq!(decode(1000, [&bytes[..]]), expected, "{row}");
        assert_eq!(decode(1000, bytes.chunks(1)), expected, "{row}");
        for at in 0..bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(decode(1000, [head, tail]), expected, "{row} split at {at}");
        }
    }
}

#[test]
fn the_first_byte_above_the_limit_ends_decoding() {
    let fits = framed(b"12:4");
    assert_eq!(decode(4, [&fits[..]]).items, [Ok(b"12:4".to_vec())]);
    assert_eq!(decode(3, [&fits[..]]).end, Err(Lost::TooLarge));
    // The decoder waits neither for the end of the frame nor for the second byte of an escape.
    assert_eq!(decode(3, [&b":<1234"[..]]).end, Err(Lost::TooLarge));
    assert_eq!(decode(3, [&b":<12:="[..]]).end, Ok(End::Cut { missing: 2 }));
    assert_eq!(decode(3, [&b":<123:"[..]]).end, Ok(End::Cut { missing: 1 }));
    assert_eq!(decode(3, [&b":<123:="[..]]).end, Err(Lost::TooLarge));
    // Frames before it are decoded, and faults after it have no effect.
    let decoded = decode(3, [&b":<1:>:<1234:x:<1:>"[..]]);
    assert_eq!(decoded, Decoded { items: vec![Ok(b"1".to_vec())], end: Err(Lost::TooLarge) });
}

#[test]
fn noise_is_consumed_at_once() {
    let mut codec = codec(10);
    let mut noise = vec![b'x'; 100_000];
    assert_eq!(codec.decode(&mut noise), Ok(Step::Noise { consumed: 100_000 }));
    noise.push(b':');
    assert_eq!(codec.decode(&mut noise), Ok(Step::Noise { consumed: 100_000 }));
    assert!(matches!(codec.decode(&mut [b':']), Ok(Step::Incomplete { .. })));
}
