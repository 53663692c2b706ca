//! Bodies against the vectors, and the checksum's coverage of every bit.

use fdwire_wire::socket_protocol::body::{Form, Ids, decode, encode};
use serde_json::{Value, json};

use crate::frames::framed;
use crate::{rows, unhex};

fn vectors() -> Value {
    let text = include_str!("../../../../vectors/socket_protocol.json");
    serde_json::from_str(text).expect("the vectors are JSON")
}

fn written(ids: Option<Ids>, json: &str) -> Vec<u8> {
    let mut out = b"before".to_vec();
    encode(ids, json, &mut out);
    out.split_off(6)
}

fn ids_of(row: &Value) -> Ids {
    let number = |name: &str| row[name].as_u64().expect("a number").try_into().expect("32 bits");
    Ids { status: number("status"), service_id: number("service_id"), data_id: number("data_id") }
}

fn form_of(row: &Value) -> Form {
    if row["form"] == "pure_json" { Form::PureJson } else { Form::StructJson }
}

#[test]
fn a_message_in_either_form_has_the_bytes_in_the_vectors() {
    for row in rows(&vectors(), "messages") {
        let (ids, data) = (ids_of(row), row["data"].as_str().expect("a text"));
        let Ids { status, service_id, data_id } = ids;
        let object = format!(
            r#"{{"data_id":{data_id},"service_id":{service_id},"status":{status},"data":{data}}}"#
        );
        let pure = written(None, &object);
        assert_eq!(pure, unhex(&row["pure_json"]), "{row}");
        assert_eq!(framed(&pure), unhex(&row["pure_frame"]), "{row}");
        let body = decode(Form::PureJson, &pure).expect("long enough");
        assert_eq!((body.ids, body.json, body.checksum_matches), (None, object.as_bytes(), true));

        let packed = written(Some(ids), data);
        assert_eq!(packed, unhex(&row["struct_json"]), "{row}");
        assert_eq!(framed(&packed), unhex(&row["struct_frame"]), "{row}");
        let body = decode(Form::StructJson, &packed).expect("long enough");
        assert_eq!(
            (body.ids, body.json, body.checksum_matches),
            (Some(ids), data.as_bytes(), true)
        );
    }
}

#[test]
fn bodies_that_the_vectors_reject_fail_the_checksum_or_are_left_to_javascript() {
    for row in rows(&vectors(), "refused") {
        let bytes = unhex(&row["body"]);
        let body = decode(form_of(row), &bytes);
        match row["why"].as_str() {
            Some("ERR_FDWIRE_BAD_CHECKSUM") => {
                assert!(!body.expect("a body").checksum_matches, "{row}")
            }
            Some("ERR_FDWIRE_NOT_UTF8") => {
                let body = body.expect("a body");
                assert!(body.checksum_matches && str::from_utf8(body.json).is_err(), "{row}");
            }
            // The body is too short, or only JavaScript can detect the fault.
            _ => assert!(body.is_none_or(|body| body.checksum_matches), "{row}"),
        }
        if let (Some(ids), Some(expected)) = (body.and_then(|body| body.ids), row.get("ids")) {
            assert_eq!(json!([ids.status, ids.service_id, ids.data_id]), *expected, "{row}");
        }
    }
}

#[test]
fn the_checksum_detects_a_change_of_any_bit() {
    let ids = Ids { status: 0, service_id: 10, data_id: 1 };
    for (form, bytes) in [
        (Form::StructJson, written(Some(ids), r#"{"a":[1,2,3]}"#)),
        (Form::PureJson, written(None, r#"{"a":[1,2,3]}"#)),
    ] {
        assert!(decode(form, &bytes).expect("a body").checksum_matches);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!decode(form, &changed).expect("a body").checksum_matches, "bit {bit}");
        }
    }
}

#[test]
fn the_checksum_is_the_crc32_of_zlib() {
    assert_eq!(written(None, "123456789")[9..], [0xcb, 0xf4, 0x39, 0x26]);
}
