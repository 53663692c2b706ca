//! `is_balanced` agrees with a byte-by-byte reference for texts of any length and alignment.

use fdwire_wire::json::is_balanced;
use proptest::prelude::*;

use fdwire_fuzz::scalar_json as scalar;

use crate::texts;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_the_reference_on_noise(text in texts::noise(0..300)) {
        prop_assert_eq!(is_balanced(&text), scalar::is_balanced(&text));
    }

    #[test]
    fn agrees_with_the_reference_on_any_bytes(text in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(is_balanced(&text), scalar::is_balanced(&text));
    }

    #[test]
    fn accepts_every_json_text(value in texts::value()) {
        prop_assert!(is_balanced(value.to_string().as_bytes()));
        let pretty = format!("{value:#}");
        prop_assert!(is_balanced(pretty.as_bytes()));
    }

    #[test]
    fn gives_the_same_result_at_every_alignment(text in texts::noise(0..140)) {
        let expected = scalar::is_balanced(&text);
        texts::at_every_alignment(&text, |text| assert_eq!(is_balanced(text), expected));
    }
}

#[test]
fn detects_a_bracket_at_every_position_of_every_length() {
    for length in 0..=200 {
        let mut text = vec![b'x'; length];
        assert!(is_balanced(&text), "{length}");
        for at in 0..length {
            for bracket in *b"[]{}" {
                text[at] = bracket;
                assert!(!is_balanced(&text), "{} at {at} of {length}", char::from(bracket));
            }
            text[at] = b'x';
        }
    }
}

#[test]
fn ignores_all_bytes_except_brackets_and_quotes() {
    for byte in (0..=u8::MAX).filter(|byte| !b"[]{}\"".contains(byte)) {
        assert!(is_balanced(&[byte; 70]), "{byte:#x}");
    }
}

#[test]
fn counts_a_run_of_backslashes_across_every_block_boundary() {
    for before in 0..70 {
        for backslashes in 0..140 {
            let mut text = vec![b' '; before];
            text.push(b'"');
            text.resize(text.len() + backslashes, b'\\');
            text.push(b'"');
            assert_eq!(is_balanced(&text), backslashes % 2 == 0, "{before} blanks, {backslashes}");
            text.extend_from_slice(b"]\"[");
            assert!(!is_balanced(&text), "{before} blanks, {backslashes}");
        }
    }
}

#[test]
fn lets_a_backslash_escape_only_the_next_byte() {
    for backslash in 0..200 {
        for quote in backslash + 1..200 {
            let mut text = [b'x'; 200];
            text[backslash] = b'\\';
            text[quote] = b'"';
            assert_eq!(is_balanced(&text), quote == backslash + 1, "{backslash}, {quote}");
        }
    }
}

#[test]
fn ignores_brackets_in_strings_of_every_length() {
    for length in 0..200 {
        let text = [b"\"".as_slice(), &vec![b'['; length], b"\""].concat();
        assert!(is_balanced(&text), "{length}");
        assert!(!is_balanced(&text[..=length]), "{length}");
    }
}
