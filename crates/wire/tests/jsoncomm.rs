//! The jsoncomm decoder against the original's bytes (`vectors/jsoncomm.json`) and at UTF-8's
//! limits.

use fdwire_wire::jsoncomm::decode;
use fdwire_wire::{Malformed, Text};
use serde_json::Value;

const VECTORS: &str = include_str!("../../../vectors/jsoncomm.json");

fn vectors() -> Value {
    serde_json::from_str(VECTORS).expect("the vectors are JSON")
}

fn rows<'a>(vectors: &'a Value, section: &str) -> &'a [Value] {
    let rows = vectors[section].as_array().expect("a section is an array");
    assert!(rows.len() > 20, "{section}");
    rows
}

fn bytes(row: &Value) -> Vec<u8> {
    let hex = row["hex"].as_str().expect("each row has bytes in hex");
    let repeat =
        row["repeat"].as_u64().map_or(1, |times| times.try_into().expect("a small number"));
    let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("hex is ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect::<Vec<_>>().repeat(repeat)
}

/// Returns the expected result of `decode` for a row. `decode` does not check that a text is JSON;
/// JavaScript does.
fn expected(row: &Value) -> Result<Text, Malformed> {
    assert_ne!(
        row["json"].is_string(),
        row["malformed"].is_string(),
        "exactly one of the two keys: {row}"
    );
    match row["malformed"].as_str() {
        Some("ERR_FDWIRE_EMPTY_MESSAGE") => Err(Malformed::Empty),
        Some("ERR_FDWIRE_NOT_UTF8") => Err(Malformed::NotUtf8),
        None | Some("ERR_FDWIRE_NOT_JSON") if bytes(row).iter().all(|byte| *byte < 0x80) => {
            Ok(Text::Ascii)
        }
        None | Some("ERR_FDWIRE_NOT_JSON") => Ok(Text::Utf8),
        Some(code) => panic!("unknown code {code}"),
    }
}

#[test]
fn texts_sent_by_the_original_are_ascii() {
    for row in rows(&vectors(), "dumps") {
        assert_eq!(decode(&bytes(row)), Ok(Text::Ascii), "{row}");
        assert_eq!(expected(row), Ok(Text::Ascii), "{row}");
    }
}

#[test]
fn received_datagrams_decode_as_in_the_vectors() {
    for row in rows(&vectors(), "received") {
        assert_eq!(decode(&bytes(row)), expected(row), "{row}");
    }
}

#[test]
fn the_texts_of_the_vectors_equal_the_values_of_their_bytes() {
    let vectors = vectors();
    for row in rows(&vectors, "dumps").iter().chain(rows(&vectors, "received")) {
        let Some(json) = row["json"].as_str() else { continue };
        // serde_json rejects lone surrogates and infinite numbers, and preserves integers that
        // JavaScript rounds. The JavaScript test covers those rows.
        let (Ok(value), Ok(expected)) =
            (serde_json::from_slice::<Value>(&bytes(row)), serde_json::from_str::<Value>(json))
        else {
            continue;
        };
        match (value.as_f64(), expected.as_f64()) {
            (Some(value), Some(expected)) => assert!(value.total_cmp(&expected).is_eq(), "{row}"),
            _ => assert_eq!(value, expected, "{row}"),
        }
    }
}

#[test]
fn a_byte_above_ascii_is_detected_at_every_position_of_every_length() {
    for length in 1..=200 {
        let mut text = vec![b'x'; length];
        assert_eq!(decode(&text), Ok(Text::Ascii), "{length}");
        for at in 0..length {
            text[at] = 0x80;
            assert_eq!(decode(&text), Err(Malformed::NotUtf8), "{at} of {length}");
            if at > 0 {
                text[at - 1] = 0xc2;
                assert_eq!(decode(&text), Ok(Text::Utf8), "{at} of {length}");
                text[at - 1] = b'x';
            }
            text[at] = b'x';
        }
    }
}

#[test]
fn each_reason_is_a_plain_sentence() {
    assert_eq!(Malformed::Empty.to_string(), "the message is empty");
    assert_eq!(Malformed::NotUtf8.to_string(), "the message is not valid UTF-8");
    assert_eq!(Malformed::NotBase64.to_string(), "the message is not valid base64");
    assert_eq!(Malformed::CutOff.to_string(), "the next frame starts before this one ends");
    assert_eq!(Malformed::BadEscape.to_string(), "the frame contains an invalid escape sequence");
}
