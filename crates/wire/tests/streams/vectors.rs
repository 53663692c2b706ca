//! Every stream codec against `vectors/`: in one chunk, split at every byte, and byte by byte.

use fdwire_wire::codec::{Delimiter, LengthField, Lost, Unframeable};
use fdwire_wire::{Malformed, Protocol};
use serde_json::Value as Json;

use fdwire_fuzz::subject::{Decoded, Subject, Value};

const VECTORS: [(Protocol, &str); 8] = [
    (Protocol::ContentLength, include_str!("../../../../vectors/content_length.json")),
    (Protocol::LengthPrefixed, include_str!("../../../../vectors/length_prefixed.json")),
    (Protocol::Lines, include_str!("../../../../vectors/lines.json")),
    (Protocol::MsgChannel, include_str!("../../../../vectors/msg_channel.json")),
    (Protocol::Netstring, include_str!("../../../../vectors/netstring.json")),
    (Protocol::Stockings, include_str!("../../../../vectors/stockings.json")),
    (Protocol::UdsComms, include_str!("../../../../vectors/uds_comms.json")),
    (Protocol::Varint, include_str!("../../../../vectors/varint.json")),
];

/// Returns the rows of a section for every protocol.
fn rows(section: &str) -> Vec<(Protocol, Json)> {
    let mut all = Vec::new();
    for (protocol, text) in VECTORS {
        let vectors: Json = serde_json::from_str(text).expect("the vectors are JSON");
        let rows = vectors[section].as_array().expect("a section is an array");
        assert!(rows.len() > 10, "{section} of {}", protocol.name());
        all.extend(rows.iter().map(|row| (protocol, row.clone())));
    }
    all
}

/// Returns the bytes of a text of blank-separated parts, each `hex` or `hex*times`.
pub(crate) fn unhex(json: &Json) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in json.as_str().expect("hex is a string").split(' ') {
        let (hex, times) = part.split_once('*').unwrap_or((part, "1"));
        let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("ASCII"));
        let part: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect();
        bytes.extend(part.repeat(times.parse().expect("a number")));
    }
    bytes
}

fn value(row: &Json) -> Value {
    match row["text"].as_str() {
        Some(text) => Value::Text(text.repeat(small(&row["repeat"]).unwrap_or(1))),
        None => Value::Bytes(unhex(&row["bytes"])),
    }
}

fn small(json: &Json) -> Option<usize> {
    json.as_u64().map(|number| number.try_into().expect("a small number"))
}

/// Returns the protocol with a row's options, except `allowEmpty`, which codecs do not have.
fn subject(protocol: Protocol, row: &Json) -> Subject {
    let options = &row["options"];
    let text = match options["encoding"].as_str() {
        Some(encoding) => encoding != "buffer",
        None => matches!(protocol, Protocol::Lines | Protocol::UdsComms),
    };
    let mut subject = Subject::new(protocol, text);
    subject.options.lenient = options["lenient"] == true;
    subject.options.final_line = options["finalLine"] == true;
    if let Some(delimiter) = options["delimiter"].as_str() {
        subject.options.delimiter = Delimiter::new(delimiter.as_bytes()).expect("a delimiter");
    }
    subject.options.length_field = LengthField::new(
        options["lengthBytes"].as_u64().map_or(4, |size| size.try_into().expect("a size")),
        options["littleEndian"] == true,
        options["lengthAdjustment"].as_i64().unwrap_or(0),
    )
    .expect("a valid size");
    small(&options["maxMessage"]).map_or(subject, |limit| subject.limited(limit))
}

fn malformed(code: &str) -> Malformed {
    match code {
        "ERR_FDWIRE_NOT_UTF8" => Malformed::NotUtf8,
        "ERR_FDWIRE_NOT_BASE64" => Malformed::NotBase64,
        "ERR_FDWIRE_FRAME_CUT_OFF" => Malformed::CutOff,
        _ => panic!("unknown code {code}"),
    }
}

fn expected(row: &Json) -> Decoded {
    let gives = row["gives"].as_array().expect("an array").iter();
    Decoded {
        items: gives
            .map(|item| {
                item["malformed"]
                    .as_str()
                    .map_or_else(|| Ok(value(item)), |code| Err(malformed(code)))
            })
            .collect(),
        noise: small(&row["noise"]).unwrap_or(0),
        lost: row["lost"].as_str().map(|code| match code {
            "ERR_FDWIRE_MESSAGE_TOO_LARGE" => Lost::TooLarge,
            "ERR_FDWIRE_BAD_HEADER" => Lost::BadHeader,
            _ => panic!("unknown code {code}"),
        }),
        missing: small(&row["missing"]),
    }
}

/// Returns the offsets at which to split a stream: all, or for a long one those near its ends and a
/// few others.
fn splits(length: usize) -> impl Iterator<Item = usize> {
    (0..=length).filter(move |at| length < 500 || *at < 40 || length - at < 40 || at % 9001 == 0)
}

#[test]
fn encoded_frames_equal_the_vectors() {
    for (protocol, row) in rows("encode") {
        let subject = subject(protocol, &row);
        let value = value(&row);
        let mut frame = Vec::new();
        let result = subject.codec().encode(value.bytes(), value.is_text(), &mut frame);
        if row["refused"].is_string() {
            assert_eq!(row["refused"], "ERR_FDWIRE_UNENCODABLE");
            let why = match protocol {
                Protocol::Lines => Unframeable::Delimiter,
                _ => Unframeable::TooLong,
            };
            assert_eq!(result, Err(why), "{row}");
        } else {
            assert!(frame == unhex(&row["wire"]), "{row}");
        }
    }
}

#[test]
fn frames_of_the_vectors_decode_to_their_messages_however_they_are_split() {
    for (protocol, row) in rows("encode") {
        if row["refused"].is_string() {
            continue;
        }
        let subject = subject(protocol, &row);
        let frame = unhex(&row["wire"]);
        let expected = Decoded { items: vec![Ok(value(&row))], ..Decoded::default() };
        assert!(subject.whole(&frame) == expected, "{row}");
        assert!(subject.one_by_one(&frame) == expected, "{row}, byte by byte");
        if frame.len() < 100_000 {
            for at in splits(frame.len()) {
                let (head, tail) = frame.split_at(at);
                assert!(subject.decode([head, tail]) == expected, "{row}, split at {at}");
            }
        }
    }
}

#[test]
fn streams_decode_as_in_the_vectors_however_they_are_split() {
    for (protocol, row) in rows("decode") {
        let subject = subject(protocol, &row);
        let expected = expected(&row);
        let chunks: Vec<_> =
            row["chunks"].as_array().expect("an array").iter().map(unhex).collect();
        assert_eq!(subject.decode(chunks.iter().map(Vec::as_slice)), expected, "{row}");
        let bytes = chunks.concat();
        assert_eq!(subject.whole(&bytes), expected, "{row}, in one chunk");
        assert_eq!(subject.one_by_one(&bytes), expected, "{row}, byte by byte");
        for at in splits(bytes.len()) {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(subject.decode([head, tail]), expected, "{row}, split at {at}");
        }
    }
}
