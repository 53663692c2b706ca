//! `lines` with delimiters that overlap with themselves or with a message.

use fdwire_wire::codec::{Delimiter, Unframeable};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use fdwire_fuzz::subject::{Decoded, Subject, Value};

/// Bytes with few different values, so that delimiters overlap.
fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(select(&b"ab\xc3"[..]), length)
}

#[test]
fn a_delimiter_has_1_to_16_bytes() {
    for length in 0..40 {
        let delimiter = Delimiter::new(&vec![b'x'; length]);
        assert_eq!(delimiter.is_some(), (1..=16).contains(&length), "{length}");
    }
}

#[test]
fn the_last_line_may_end_with_the_start_of_a_delimiter_that_no_message_could() {
    let mut subject = Subject::delimited(b"aa", false);
    assert_eq!(subject.try_frame(b"ba", false), None);
    subject.options.final_line = true;
    let items = vec![Ok(Value::Bytes(b"ba".to_vec()))];
    assert_eq!(subject.whole(b"ba"), Decoded { items, ..Decoded::default() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn exactly_a_message_in_whose_frame_a_delimiter_begins_earlier_is_refused(
        delimiter in bytes(1..6), payload in bytes(0..12),
    ) {
        let subject = Subject::delimited(&delimiter, false);
        let frame = [&payload[..], &delimiter].concat();
        let first = frame.windows(delimiter.len()).position(|window| window == delimiter);
        let mut out = Vec::new();
        let encoded = subject.codec().encode(&payload, false, &mut out);
        if first == Some(payload.len()) {
            prop_assert_eq!(encoded, Ok(()));
            prop_assert_eq!(out, frame);
        } else {
            prop_assert_eq!(encoded, Err(Unframeable::Delimiter));
        }
    }

    #[test]
    fn a_stream_is_split_at_each_first_delimiter_however_it_arrives(
        delimiter in bytes(1..6), stream in bytes(0..60), size in 1_usize..9,
    ) {
        let subject = Subject::delimited(&delimiter, false);
        let (mut rest, mut items) = (&stream[..], Vec::new());
        while let Some(at) = rest.windows(delimiter.len()).position(|window| window == delimiter) {
            items.push(Ok(Value::Bytes(rest[..at].to_vec())));
            rest = &rest[at + delimiter.len()..];
        }
        // The fewest bytes after which the rest ends with a delimiter.
        let begun = (0..delimiter.len()).rev().find(|&len| rest.ends_with(&delimiter[..len]));
        let missing = (!rest.is_empty()).then(|| delimiter.len() - begun.unwrap_or(0));
        let expected = Decoded { items, missing, ..Decoded::default() };
        prop_assert_eq!(subject.decode(stream.chunks(size)), expected);
    }
}
