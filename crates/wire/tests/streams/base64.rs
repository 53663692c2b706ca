//! Base64 in uds_comms frames: the strict decoder accepts only what the encoder produces, and the
//! lenient one what Python decodes.

use fdwire_wire::codec::Step;
use fdwire_wire::{Malformed, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;

use crate::vectors::unhex;
use fdwire_fuzz::subject::{Decoded, Subject, Value};

const VECTORS: &str = include_str!("../../../../vectors/uds_comms.json");
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn strict() -> Subject {
    Subject::new(Protocol::UdsComms, true)
}

fn lenient() -> Subject {
    let mut subject = strict();
    subject.options.lenient = true;
    subject
}

/// Decodes canonical base64 as specified in RFC 4648; returns None for any other text.
fn canonical(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = &text[..text.len() - padding];
    if !text.len().is_multiple_of(4) || padding != (4 - digits.len() % 4) % 4 || padding > 2 {
        return None;
    }
    let (mut bytes, mut left, mut bits) = (Vec::new(), 0_usize, 0);
    for digit in digits {
        left = left << 6 | ALPHABET.iter().position(|other| other == digit)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(left >> bits).expect("eight bits"));
            left &= (1 << bits) - 1;
        }
    }
    (left == 0).then_some(bytes)
}

fn framed(text: &[u8]) -> Vec<u8> {
    [b"%", text, b"$"].concat()
}

/// Returns the expected result for a frame whose base64 decodes to these bytes, or is invalid.
fn expected(decoded: Option<Vec<u8>>) -> Decoded {
    let item = decoded.ok_or(Malformed::NotBase64).and_then(|bytes| {
        String::from_utf8(bytes).map(Value::Text).map_err(|_| Malformed::NotUtf8)
    });
    Decoded { items: vec![item], ..Decoded::default() }
}

/// Returns the original's rows. Dollar signs are replaced, since a frame cannot contain them, by a
/// byte that is skipped as well.
fn rows() -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let vectors: Json = serde_json::from_str(VECTORS).expect("the vectors are JSON");
    let rows = vectors["base64"].as_array().expect("an array");
    assert_eq!(rows.len(), 798, "the number of rows taken from the original");
    let row = |row: &Json| {
        let mut text = unhex(&row[0]);
        text.iter_mut().filter(|byte| **byte == b'$').for_each(|byte| *byte = b'!');
        (text, row[1].is_string().then(|| unhex(&row[1])))
    };
    rows.iter().map(row).collect()
}

#[test]
fn the_lenient_decoder_decodes_as_the_original_does() {
    for (text, decoded) in rows() {
        assert_eq!(lenient().whole(&framed(&text)), expected(decoded), "{text:02x?}");
    }
}

#[test]
fn the_strict_decoder_accepts_only_canonical_base64() {
    let mut accepted = 0;
    for (text, decoded) in rows().into_iter().filter(|(text, _)| !text.contains(&b'%')) {
        let canonical = canonical(&text);
        assert!(canonical.is_none() || canonical == decoded, "{text:02x?}");
        accepted += usize::from(canonical.is_some());
        assert_eq!(strict().whole(&framed(&text)), expected(canonical), "{text:02x?}");
    }
    assert!(accepted > 0);
}

#[test]
fn an_invalid_byte_is_detected_at_every_position_of_every_length() {
    // The decoder handles long texts in blocks of 32 bytes. These lengths leave a rest of every
    // size.
    for length in [1, 2, 3, 4, 5, 23, 24, 25, 27, 28, 29, 30, 61, 62, 63] {
        let frame = strict().frame(&vec![b'U'; length], true);
        let text = &frame[1..frame.len() - 1];
        assert_eq!(canonical(text).as_deref(), Some(&*vec![b'U'; length]));
        for at in 0..text.len() {
            for byte in (0..=u8::MAX).filter(|byte| !b"%$".contains(byte)) {
                let mut other = text.to_vec();
                other[at] = byte;
                let expected = expected(canonical(&other));
                assert_eq!(strict().whole(&framed(&other)), expected, "{byte:#x} at {at}");
            }
        }
    }
}

#[test]
fn every_text_of_four_characters_is_canonical_or_rejected() {
    // Digits with and without unused bits set, padding, blanks, and the URL-safe alphabet.
    let characters = b"ABCDEFGHIQRgwx7+/=-_ \n";
    let mut text = [0; 4];
    for code in 0..characters.len().pow(4) {
        let mut rest = code;
        for character in &mut text {
            *character = characters[rest % characters.len()];
            rest /= characters.len();
        }
        assert_eq!(strict().whole(&framed(&text)), expected(canonical(&text)), "{text:02x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_strict_decoder_inverts_the_encoder(
        text in vec(select(&b"ABQgwz019+/=  -_\n!"[..]), 0..12),
    ) {
        prop_assert_eq!(strict().whole(&framed(&text)), expected(canonical(&text)));
    }

    #[test]
    fn the_lenient_decoder_agrees_with_the_strict_one_on_encoded_payloads(payload in vec(any::<u8>(), 1..200)) {
        let frame = strict().frame(&payload, true);
        prop_assert_eq!(canonical(&frame[1..frame.len() - 1]), Some(payload));
        prop_assert_eq!(lenient().whole(&frame), strict().whole(&frame));
    }
}

#[test]
fn a_text_is_decoded_in_place() {
    let mut frame = strict().frame(&b"0123456789".repeat(100), true);
    let length = frame.len();
    let step = strict().codec().decode(&mut frame).expect("a valid frame");
    let Step::Message { consumed, payload, .. } = step else { panic!("{step:?}") };
    assert_eq!((consumed, payload.clone()), (length, 1..1001));
    assert_eq!(&frame[payload], b"0123456789".repeat(100));
}
