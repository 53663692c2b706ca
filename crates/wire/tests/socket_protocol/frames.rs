//! The frames of the original's documentation, and what becomes of streams.

use fdwire_wire::codec::{Codec, End, Lost, Options, Step};
use fdwire_wire::{Malformed, Protocol};
use serde_json::Value;

use crate::{rows, unhex};

/// What a stream gives: messages, dropped frames, and how it ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) items: Vec<Result<Vec<u8>, Malformed>>,
    pub(crate) end: Result<End, Lost>,
}

pub(crate) fn codec(max_message: usize) -> Codec {
    let options = Options { max_message, text: false, lenient: false, final_line: false };
    Codec::new(Protocol::SocketProtocol, options).expect("a protocol for streams")
}

pub(crate) fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    codec(usize::MAX).encode(payload, false, &mut frame).expect("any bytes can be framed");
    frame
}

/// Decodes chunks as a channel does: what wasn't consumed stays, with the next chunk behind it.
pub(crate) fn decode<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Given {
    let mut codec = codec(limit);
    let (mut input, mut items) = (Vec::new(), Vec::new());
    for chunk in chunks {
        input.extend_from_slice(chunk);
        while !input.is_empty() {
            let consumed = match codec.decode(&mut input) {
                Ok(Step::Incomplete { frame }) => {
                    assert!(frame > input.len(), "more than there is");
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
                Err(lost) => return Given { items, end: Err(lost) },
            };
            assert!(0 < consumed && consumed <= input.len(), "{consumed} of {}", input.len());
            input.drain(..consumed);
        }
    }
    let end = codec.end(&mut input);
    Given { items, end: Ok(end) }
}

fn vectors() -> Value {
    let text = include_str!("../../../../vectors/socket_protocol_framing.json");
    serde_json::from_str(text).expect("the vectors are JSON")
}

#[test]
fn a_frame_is_what_the_vectors_say() {
    let vectors = vectors();
    assert!(rows(&vectors, "frames").iter().any(|row| row["proven"] == true));
    for row in rows(&vectors, "frames") {
        let payload = unhex(&row["payload"]);
        assert_eq!(framed(&payload), unhex(&row["frame"]), "{row}");
        let given = decode(payload.len(), [&unhex(&row["frame"])[..]]);
        assert_eq!(given, Given { items: vec![Ok(payload)], end: Ok(End::Clean) }, "{row}");
    }
}

#[test]
fn a_stream_gives_what_the_vectors_say_whole_cut_anywhere_and_byte_by_byte() {
    for row in rows(&vectors(), "streams") {
        let bytes = unhex(&row["bytes"]);
        let items =
            row["gives"].as_array().expect("an array").iter().map(|item| {
                if item == "bad" { Err(Malformed::BadEscape) } else { Ok(unhex(item)) }
            });
        let missing = row["missing"].as_u64().map(|missing| missing.try_into().expect("small"));
        let end = missing.map_or(End::Clean, |missing| End::Cut { missing });
        let expected = Given { items: items.collect(), end: Ok(end) };
        assert_eq!(decode(1000, [&bytes[..]]), expected, "{row}");
        assert_eq!(decode(1000, bytes.chunks(1)), expected, "{row}");
        for at in 0..bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(decode(1000, [head, tail]), expected, "{row} cut at {at}");
        }
    }
}

#[test]
fn a_frame_that_is_too_large_is_told_with_the_first_byte_too_many() {
    let fits = framed(b"12:4");
    assert_eq!(decode(4, [&fits[..]]).items, [Ok(b"12:4".to_vec())]);
    assert_eq!(decode(3, [&fits[..]]).end, Err(Lost::TooLarge));
    // Neither the end nor the second byte of an escape is waited for.
    assert_eq!(decode(3, [&b":<1234"[..]]).end, Err(Lost::TooLarge));
    assert_eq!(decode(3, [&b":<12:="[..]]).end, Ok(End::Cut { missing: 2 }));
    assert_eq!(decode(3, [&b":<123:"[..]]).end, Ok(End::Cut { missing: 1 }));
    assert_eq!(decode(3, [&b":<123:="[..]]).end, Err(Lost::TooLarge));
    // What is before it comes, and what is wrong behind it doesn't matter.
    let given = decode(3, [&b":<1:>:<1234:x:<1:>"[..]]);
    assert_eq!(given, Given { items: vec![Ok(b"1".to_vec())], end: Err(Lost::TooLarge) });
}

#[test]
fn noise_is_never_kept() {
    let mut codec = codec(10);
    let mut noise = vec![b'x'; 100_000];
    assert_eq!(codec.decode(&mut noise), Ok(Step::Noise { consumed: 100_000 }));
    noise.push(b':');
    assert_eq!(codec.decode(&mut noise), Ok(Step::Noise { consumed: 100_000 }));
    assert!(matches!(codec.decode(&mut [b':']), Ok(Step::Incomplete { .. })));
}
