//! What stands in a frame of uds_comms: strictly what is encoded, leniently what Python decodes.

use fdwire_wire::codec::Step;
use fdwire_wire::{Malformed, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value as Json;

use crate::harness::{Given, Subject, Value};
use crate::vectors::unhex;

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

/// What the one encoding of some bytes encodes, by the letter of RFC 4648; None for any other text.
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

/// The only thing that a frame gives, where base64 makes this of it.
fn given(decoded: Option<Vec<u8>>) -> Given {
    let item = decoded.ok_or(Malformed::NotBase64).and_then(|bytes| {
        String::from_utf8(bytes).map(Value::Text).map_err(|_| Malformed::NotUtf8)
    });
    Given { items: vec![item], ..Given::default() }
}

/// The originals' rows; a dollar sign, which no frame can hold, is a byte that is passed over.
fn rows() -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let vectors: Json = serde_json::from_str(VECTORS).expect("the vectors are JSON");
    let rows = vectors["base64"].as_array().expect("an array");
    assert_eq!(rows.len(), 798, "all rows of the original");
    let row = |row: &Json| {
        let mut text = unhex(&row[0]);
        text.iter_mut().filter(|byte| **byte == b'$').for_each(|byte| *byte = b'!');
        (text, row[1].is_string().then(|| unhex(&row[1])))
    };
    rows.iter().map(row).collect()
}

#[test]
fn the_lenient_decoder_makes_of_base64_what_the_original_makes() {
    for (text, decoded) in rows() {
        assert_eq!(lenient().whole(&framed(&text)), given(decoded), "{text:02x?}");
    }
}

#[test]
fn the_strict_decoder_takes_of_these_only_what_is_canonical() {
    let mut taken = 0;
    for (text, decoded) in rows().into_iter().filter(|(text, _)| !text.contains(&b'%')) {
        let canonical = canonical(&text);
        assert!(canonical.is_none() || canonical == decoded, "{text:02x?}");
        taken += usize::from(canonical.is_some());
        assert_eq!(strict().whole(&framed(&text)), given(canonical), "{text:02x?}");
    }
    assert!(taken > 0);
}

#[test]
fn a_byte_that_is_not_in_its_place_is_seen_at_every_place_of_every_length() {
    // Long ones go through vectors of 32 bytes, with a rest of each length.
    for length in [1, 2, 3, 4, 5, 23, 24, 25, 27, 28, 29, 30, 61, 62, 63] {
        let frame = strict().frame(&vec![b'U'; length], true);
        let text = &frame[1..frame.len() - 1];
        assert_eq!(canonical(text).as_deref(), Some(&*vec![b'U'; length]));
        for at in 0..text.len() {
            for byte in (0..=u8::MAX).filter(|byte| !b"%$".contains(byte)) {
                let mut other = text.to_vec();
                other[at] = byte;
                let expected = given(canonical(&other));
                assert_eq!(strict().whole(&framed(&other)), expected, "{byte:#x} at {at}");
            }
        }
    }
}

#[test]
fn every_text_of_four_characters_is_canonical_or_no_base64() {
    // Each digit that matters for what is left over, padding, blanks, and the other alphabet.
    let characters = b"ABCDEFGHIQRgwx7+/=-_ \n";
    let mut text = [0; 4];
    for code in 0..characters.len().pow(4) {
        let mut rest = code;
        for place in &mut text {
            *place = characters[rest % characters.len()];
            rest /= characters.len();
        }
        assert_eq!(strict().whole(&framed(&text)), given(canonical(&text)), "{text:02x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_decoded_strictly_is_what_is_encoded(
        text in vec(select(&b"ABQgwz019+/=  -_\n!"[..]), 0..12),
    ) {
        prop_assert_eq!(strict().whole(&framed(&text)), given(canonical(&text)));
    }

    #[test]
    fn what_is_strictly_decoded_is_leniently_decoded_to_the_same(payload in vec(any::<u8>(), 1..200)) {
        let frame = strict().frame(&payload, true);
        prop_assert_eq!(canonical(&frame[1..frame.len() - 1]), Some(payload));
        prop_assert_eq!(lenient().whole(&frame), strict().whole(&frame));
    }
}

#[test]
fn a_text_is_decoded_where_it_stands() {
    let mut frame = strict().frame(&b"0123456789".repeat(100), true);
    let length = frame.len();
    let step = strict().codec().decode(&mut frame).expect("a good frame");
    let Step::Message { consumed, payload, .. } = step else { panic!("{step:?}") };
    assert_eq!((consumed, payload.clone()), (length, 1..1001));
    assert_eq!(&frame[payload], b"0123456789".repeat(100));
}
