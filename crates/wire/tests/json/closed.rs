//! `is_closed` gives what reading byte by byte gives, wherever a text lies and however long it is.

use fdwire_wire::json::is_closed;
use proptest::prelude::*;

use crate::{scalar, texts};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_the_reference_on_noise(text in texts::noise(0..300)) {
        prop_assert_eq!(is_closed(&text), scalar::is_closed(&text));
    }

    #[test]
    fn agrees_with_the_reference_on_any_bytes(text in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(is_closed(&text), scalar::is_closed(&text));
    }

    #[test]
    fn accepts_every_json_text(value in texts::value()) {
        prop_assert!(is_closed(value.to_string().as_bytes()));
        let pretty = format!("{value:#}");
        prop_assert!(is_closed(pretty.as_bytes()));
    }

    #[test]
    fn is_the_same_at_every_alignment(text in texts::noise(0..140)) {
        let expected = scalar::is_closed(&text);
        texts::at_every_alignment(&text, |text| assert_eq!(is_closed(text), expected));
    }
}

#[test]
fn sees_one_bracket_at_any_place_of_any_length() {
    for length in 0..=200 {
        let mut text = vec![b'x'; length];
        assert!(is_closed(&text), "{length}");
        for at in 0..length {
            for bracket in *b"[]{}" {
                text[at] = bracket;
                assert!(!is_closed(&text), "{} at {at} of {length}", char::from(bracket));
            }
            text[at] = b'x';
        }
    }
}

#[test]
fn takes_no_other_byte_for_one_that_matters() {
    for byte in (0..=u8::MAX).filter(|byte| !b"[]{}\"".contains(byte)) {
        assert!(is_closed(&[byte; 70]), "{byte:#x}");
    }
}

#[test]
fn counts_a_run_of_backslashes_across_every_border() {
    for before in 0..70 {
        for backslashes in 0..140 {
            let mut text = vec![b' '; before];
            text.push(b'"');
            text.resize(text.len() + backslashes, b'\\');
            text.push(b'"');
            assert_eq!(is_closed(&text), backslashes % 2 == 0, "{before} blanks, {backslashes}");
            text.extend_from_slice(b"]\"[");
            assert!(!is_closed(&text), "{before} blanks, {backslashes}");
        }
    }
}

#[test]
fn lets_a_backslash_escape_the_next_byte_and_no_later_one() {
    for backslash in 0..200 {
        for quote in backslash + 1..200 {
            let mut text = [b'x'; 200];
            text[backslash] = b'\\';
            text[quote] = b'"';
            assert_eq!(is_closed(&text), quote == backslash + 1, "{backslash}, {quote}");
        }
    }
}

#[test]
fn ignores_brackets_in_strings_of_every_length() {
    for length in 0..200 {
        let text = [b"\"".as_slice(), &vec![b'['; length], b"\""].concat();
        assert!(is_closed(&text), "{length}");
        assert!(!is_closed(&text[..=length]), "{length}");
    }
}
