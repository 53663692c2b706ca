//! The laws of `contract.rs` for arbitrary bytes, most of them almost valid.

use std::ops::Range;

use fdwire_wire::Protocol;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use fdwire_fuzz::assert_laws;
use fdwire_fuzz::subject::{Decoded, Subject, Value};

/// A part of a stream, in terms that fit every protocol.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// A valid frame.
    Frame(Vec<u8>),
    /// A frame with one byte replaced.
    Changed(Vec<u8>, Index, u8),
    /// The start of a frame.
    Cut(Vec<u8>, Index),
    /// Arbitrary bytes.
    Bytes(Vec<u8>),
}

/// Mostly bytes that have a meaning in one of the protocols.
fn byte() -> impl Strategy<Value = u8> {
    let special =
        b"%$=:<>,\r\n\r\nMSG 0123456789Content-Length: \x00\x00\x01\x02\x80\x81\xc0\xc2\xa9\xff";
    prop_oneof![3 => select(&special[..]), 1 => any::<u8>()]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(byte(), 0..20),
        3 => ".{0,8}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 60..300),
        1 => "[a-z]{60,300}".prop_map(String::into_bytes),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        5 => payload().prop_map(Piece::Frame),
        2 => (payload(), any::<Index>(), byte()).prop_map(|(of, at, to)| Piece::Changed(of, at, to)),
        1 => (payload(), any::<Index>()).prop_map(|(of, at)| Piece::Cut(of, at)),
        2 => vec(byte(), 0..12).prop_map(Piece::Bytes),
    ]
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    vec(piece(), 0..6)
}

fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![1_usize..30, 60_usize..400, Just(1 << 24), Just(usize::MAX)]
}

/// Returns the bytes of the pieces in a protocol. A payload that it cannot carry is inserted
/// unframed.
fn assembled(subject: &Subject, pieces: &[Piece]) -> Vec<u8> {
    let frame = |payload: &[u8]| {
        let text = str::from_utf8(payload).is_ok();
        subject.try_frame(payload, text).unwrap_or_else(|| payload.to_vec())
    };
    let mut stream = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Frame(payload) => stream.extend(frame(payload)),
            Piece::Bytes(bytes) => stream.extend(bytes),
            Piece::Changed(payload, at, to) => {
                let mut frame = frame(payload);
                if !frame.is_empty() {
                    let at = at.index(frame.len());
                    frame[at] = *to;
                }
                stream.extend(frame);
            }
            Piece::Cut(payload, at) => {
                let frame = frame(payload);
                stream.extend(&frame[..at.index(frame.len() + 1)]);
            }
        }
    }
    stream
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn streams_of_frames_and_noise_obey_the_laws(pieces in pieces(), limit in limit()) {
        for subject in Subject::all_framed() {
            assert_laws(&subject, &assembled(&subject, &pieces));
            let limited = subject.limited(limit);
            assert_laws(&limited, &assembled(&limited, &pieces));
        }
    }

    #[test]
    fn arbitrary_bytes_obey_the_laws(bytes in vec(any::<u8>(), 0..200), limit in limit()) {
        for subject in Subject::all_framed() {
            assert_laws(&subject.limited(limit), &bytes);
        }
    }

    #[test]
    fn framed_messages_decode_to_themselves_however_they_are_split(
        payloads in vec(payload(), 0..6), cuts in vec(any::<Index>(), 0..8),
    ) {
        for subject in Subject::all_framed() {
            let (mut stream, mut items) = (Vec::new(), Vec::new());
            for payload in &payloads {
                let value = value_of(&subject, payload);
                let is_ignored = subject.options.lenient && payload.is_empty();
                let Some(value) = value.filter(|_| !is_ignored) else { continue };
                let Some(frame) = subject.try_frame(payload, value.is_text()) else { continue };
                stream.extend(frame);
                items.push(Ok(value));
            }
            let decoded = subject.decode(split(&stream, &cuts));
            prop_assert_eq!(decoded, Decoded { items, ..Decoded::default() });
        }
    }

    #[test]
    fn each_chunk_of_raw_is_split_at_the_limit(
        bytes in vec(any::<u8>(), 0..100), limit in 1_usize..40, cuts in vec(any::<Index>(), 0..5),
    ) {
        let raw = Subject::new(Protocol::Raw, false).limited(limit);
        let decoded = raw.decode(split(&bytes, &cuts));
        let joined: Vec<u8> = decoded.values().flat_map(|value| value.bytes().to_vec()).collect();
        prop_assert_eq!(joined, bytes);
        prop_assert!(decoded.values().all(|value| (1..=limit).contains(&value.bytes().len())));
        prop_assert_eq!((decoded.lost, decoded.missing, decoded.noise), (None, None, 0));
    }
}

/// Returns the message that a payload decodes to, or None if it is malformed.
fn value_of(subject: &Subject, payload: &[u8]) -> Option<Value> {
    let text = String::from_utf8(payload.to_vec()).ok();
    let as_text = match subject.protocol {
        Protocol::Stockings => text.is_some(),
        Protocol::UdsComms => true,
        _ => subject.options.text,
    };
    if as_text { text.map(Value::Text) } else { Some(Value::Bytes(payload.to_vec())) }
}

fn split<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut boundaries: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    boundaries.extend([0, stream.len()]);
    boundaries.sort_unstable();
    boundaries
        .windows(2)
        .map(|pair| Range { start: pair[0], end: pair[1] })
        .map(|part| &stream[part])
        .collect()
}

#[test]
fn a_stream_that_ends_within_a_frame_reports_the_missing_bytes() {
    for subject in Subject::all_framed() {
        for length in [0, 1, 2, 3, 4, 63, 64, 300] {
            if subject.options.lenient && length == 0 {
                continue;
            }
            let payload = vec![b'x'; length];
            let Some(frame) = subject.try_frame(&payload, true) else { continue };
            // Once these bytes have arrived, the length of the rest is known.
            let header = match subject.protocol {
                Protocol::ContentLength
                | Protocol::LengthPrefixed
                | Protocol::MsgChannel
                | Protocol::Stockings
                | Protocol::Varint => frame.len() - length,
                Protocol::Netstring => frame.len() - length - 1,
                _ => frame.len(),
            };
            assert_eq!(subject.whole(&[]), Decoded::default());
            for at in 1..frame.len() {
                let decoded = subject.whole(&frame[..at]);
                if subject.options.final_line {
                    assert_eq!((decoded.items.len(), decoded.missing), (1, None));
                    continue;
                }
                if subject.protocol == Protocol::SocketProtocol && at == 1 {
                    // A single colon may be noise.
                    assert_eq!(decoded.missing, None);
                    continue;
                }
                let missing = decoded.missing.expect("the frame is incomplete");
                let rest = frame.len() - at;
                assert_eq!(decoded.items, [], "{subject:?}: {at} of {frame:02x?}");
                assert!((1..=rest).contains(&missing), "{subject:?}: {at} of {frame:02x?}");
                assert!(at < header || missing == rest, "{subject:?}: {at} of {frame:02x?}");
            }
        }
    }
}

#[test]
fn a_large_frame_that_arrives_byte_by_byte_takes_linear_time() {
    // A search from the start of the frame for each byte would take 10^12 steps.
    let payload = b"0123456:".repeat(1 << 17);
    for subject in Subject::all_framed() {
        let value = value_of(&subject, &payload).expect("ASCII is valid in every protocol");
        let Some(frame) = subject.try_frame(&payload, value.is_text()) else { continue };
        let decoded = subject.one_by_one(&frame);
        assert!(decoded == Decoded { items: vec![Ok(value)], ..Decoded::default() }, "{subject:?}");
    }
}

#[test]
fn many_frame_starts_and_much_noise_take_linear_time() {
    for subject in Subject::all_framed() {
        for unit in UNITS {
            let stream = unit.repeat(200_000 / unit.len());
            let whole = subject.whole(stream.as_bytes());
            assert!(whole == subject.one_by_one(stream.as_bytes()), "{subject:?}: {unit:?}");
        }
    }
}

/// Starts of frames, empty frames and noise.
const UNITS: [&str; 12] = [
    "%",
    "$",
    ":",
    ":<",
    "%%%%Y",
    "\n",
    "\r\nMSG 0\r\n",
    "\0\0\0\0",
    "\0",
    "0:,",
    "A:\r\n",
    "Content-Length: 0\r\n\r\n",
];
