//! The laws of a codec, for any bytes: mostly for those that are nearly right.

use std::ops::Range;

use fdwire_wire::Protocol;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::harness::{Given, Subject, Value};

/// A piece of a stream, for every protocol.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// A good frame.
    Frame(Vec<u8>),
    /// A frame with another byte somewhere.
    Changed(Vec<u8>, Index, u8),
    /// A frame without its end.
    Cut(Vec<u8>, Index),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Bytes that mean something somewhere, and others.
fn byte() -> impl Strategy<Value = u8> {
    let signs = b"%$=:<>\r\n\r\nMSG 0123456789\x00\x00\x01\x02\x80\x81\xc0\xc2\xa9\xff";
    prop_oneof![3 => select(&signs[..]), 1 => any::<u8>()]
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

/// The pieces as bytes of a protocol; a payload that can't be framed stands there as it is.
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

/// Asserts every law of a codec over a stream; the plain body of a fuzzer.
pub(crate) fn assert_laws(subject: &Subject, stream: &[u8]) {
    let whole = subject.whole(stream);
    assert_same(subject, &subject.one_by_one(stream), &whole, stream);
    for size in [2, 3, 7, 61] {
        assert_same(subject, &subject.decode(stream.chunks(size)), &whole, stream);
    }
    let limit = subject.options.max_message;
    for value in whole.values() {
        assert!(value.bytes().len() <= limit, "{subject:?}: {value:?} is above the limit");
        assert_eq!(value.is_text(), is_text(subject, value), "{subject:?}: {value:?}");
        // An empty frame is none for the original of uds_comms, nor for who decodes the same.
        if !(subject.options.lenient && value.bytes().is_empty()) {
            let frame = subject.frame(value.bytes(), value.is_text());
            let alone = Given { items: vec![Ok(value.clone())], ..Given::default() };
            assert_eq!(subject.whole(&frame), alone, "{subject:?}");
        }
    }
    if stream.len() <= 80 {
        assert_prefixes(subject, stream, &whole);
    }
}

/// A text where the options or the message say so.
fn is_text(subject: &Subject, value: &Value) -> bool {
    match subject.protocol {
        Protocol::Stockings => value.is_text(),
        Protocol::UdsComms => true,
        _ => subject.options.text,
    }
}

/// What a stream gives up to any point is what it gives later, and nothing comes before it can.
fn assert_prefixes(subject: &Subject, stream: &[u8], whole: &Given) {
    for at in 0..=stream.len() {
        let given = subject.whole(&stream[..at]);
        // The end may make a message of what is left, which isn't one where more comes.
        let sure =
            given.items.len() - usize::from(subject.options.final_line).min(given.items.len());
        assert_eq!(given.items[..sure], whole.items[..sure], "{subject:?}: {stream:02x?} to {at}");
        if let Some(lost) = given.lost {
            assert_eq!(whole.lost, Some(lost), "{subject:?}: {stream:02x?} to {at}");
        }
        let Some(missing) = given.missing else { continue };
        let before = (at + missing - 1).min(stream.len());
        let later = subject.whole(&stream[..before]);
        let count = given.items.len();
        let early = later.items[count..].iter().find(|item| item.is_ok());
        // A frame that is cut off makes room for an earlier one.
        if later.items.len() == count || later.items[count].is_ok() {
            assert_eq!(early, None, "{subject:?}: {stream:02x?} to {at} lacks {missing}");
        }
    }
}

fn assert_same(subject: &Subject, given: &Given, whole: &Given, stream: &[u8]) {
    assert_eq!(given, whole, "{subject:?}: {stream:02x?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_stream_obeys_the_laws(pieces in pieces(), limit in limit()) {
        for subject in Subject::framed() {
            assert_laws(&subject, &assembled(&subject, &pieces));
            let limited = subject.limited(limit);
            assert_laws(&limited, &assembled(&limited, &pieces));
        }
    }

    #[test]
    fn any_bytes_obey_the_laws(bytes in vec(any::<u8>(), 0..200), limit in limit()) {
        for subject in Subject::framed() {
            assert_laws(&subject.limited(limit), &bytes);
        }
    }

    #[test]
    fn messages_arrive_as_they_were_framed_however_they_are_cut(
        payloads in vec(payload(), 0..6), cuts in vec(any::<Index>(), 0..8),
    ) {
        for subject in Subject::framed() {
            let (mut stream, mut items) = (Vec::new(), Vec::new());
            for payload in &payloads {
                let value = value_of(&subject, payload);
                let is_lost = subject.options.lenient && payload.is_empty();
                let Some(value) = value.filter(|_| !is_lost) else { continue };
                let Some(frame) = subject.try_frame(payload, value.is_text()) else { continue };
                stream.extend(frame);
                items.push(Ok(value));
            }
            let given = subject.decode(cut(&stream, &cuts));
            prop_assert_eq!(given, Given { items, ..Given::default() });
        }
    }

    #[test]
    fn a_chunk_of_raw_is_a_message_as_large_as_the_limit_allows(
        bytes in vec(any::<u8>(), 0..100), limit in 1_usize..40, cuts in vec(any::<Index>(), 0..5),
    ) {
        let raw = Subject::new(Protocol::Raw, false).limited(limit);
        let given = raw.decode(cut(&bytes, &cuts));
        let together: Vec<u8> = given.values().flat_map(|value| value.bytes().to_vec()).collect();
        prop_assert_eq!(together, bytes);
        prop_assert!(given.values().all(|value| (1..=limit).contains(&value.bytes().len())));
        prop_assert_eq!((given.lost, given.missing, given.noise), (None, None, 0));
    }
}

/// What a payload is as a message, where it is one.
fn value_of(subject: &Subject, payload: &[u8]) -> Option<Value> {
    let text = String::from_utf8(payload.to_vec()).ok();
    let as_text = match subject.protocol {
        Protocol::Stockings => text.is_some(),
        Protocol::UdsComms => true,
        _ => subject.options.text,
    };
    if as_text { text.map(Value::Text) } else { Some(Value::Bytes(payload.to_vec())) }
}

fn cut<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut borders: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    borders.extend([0, stream.len()]);
    borders.sort_unstable();
    borders
        .windows(2)
        .map(|pair| Range { start: pair[0], end: pair[1] })
        .map(|part| &stream[part])
        .collect()
}

#[test]
fn a_frame_that_is_cut_anywhere_says_what_is_missing() {
    for subject in Subject::framed() {
        for length in [0, 1, 2, 3, 4, 63, 64, 300] {
            if subject.options.lenient && length == 0 {
                continue;
            }
            let payload = vec![b'x'; length];
            let frame = subject.frame(&payload, true);
            // Behind the header the rest is known.
            let header = match subject.protocol {
                Protocol::LengthPrefixed | Protocol::MsgChannel | Protocol::Stockings => {
                    frame.len() - length
                }
                _ => frame.len(),
            };
            assert_eq!(subject.whole(&[]), Given::default());
            for at in 1..frame.len() {
                let given = subject.whole(&frame[..at]);
                if subject.options.final_line {
                    assert_eq!((given.items.len(), given.missing), (1, None));
                    continue;
                }
                if subject.protocol == Protocol::SocketProtocol && at == 1 {
                    // A colon alone may as well be noise.
                    assert_eq!(given.missing, None);
                    continue;
                }
                let missing = given.missing.expect("something is missing");
                let rest = frame.len() - at;
                assert_eq!(given.items, [], "{subject:?}: {at} of {frame:02x?}");
                assert!((1..=rest).contains(&missing), "{subject:?}: {at} of {frame:02x?}");
                assert!(at < header || missing == rest, "{subject:?}: {at} of {frame:02x?}");
            }
        }
    }
}

#[test]
fn a_large_frame_that_comes_byte_by_byte_takes_linear_time() {
    // A search from the beginning for each byte would be 10^12 steps.
    let payload = b"0123456:".repeat(1 << 17);
    for subject in Subject::framed() {
        let value = value_of(&subject, &payload).expect("ASCII is anything");
        let frame = subject.frame(&payload, value.is_text());
        let given = subject.one_by_one(&frame);
        assert!(given == Given { items: vec![Ok(value)], ..Given::default() }, "{subject:?}");
    }
}

#[test]
fn many_beginnings_and_much_noise_take_linear_time() {
    for subject in Subject::framed() {
        for unit in ["%", "$", ":", ":<", "%%%%Y", "\n", "\r\nMSG 0\r\n", "\0\0\0\0", "\0"] {
            let stream = unit.repeat(200_000 / unit.len());
            let whole = subject.whole(stream.as_bytes());
            assert!(whole == subject.one_by_one(stream.as_bytes()), "{subject:?}: {unit:?}");
        }
    }
}
