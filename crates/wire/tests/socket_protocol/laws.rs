//! Properties of the codec for arbitrary bytes, most of them delimiters.

use fdwire_wire::codec::{End, Lost};
use fdwire_wire::socket_protocol::body::{self, Form, Ids};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::frames::{Decoded, decode, framed};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(b':'), 1 => Just(b'<'), 1 => Just(b'>'), 1 => Just(b'='), 2 => any::<u8>()];
    vec(byte, 0..60)
}

/// A reference decoder that handles one byte at a time and stores no input. Returns the bodies,
/// with None for a malformed frame, and whether a body exceeded the limit.
fn reference(limit: usize, bytes: &[u8]) -> (Vec<Option<Vec<u8>>>, bool) {
    let (mut items, mut body, mut colon) = (Vec::new(), None::<Vec<u8>>, false);
    for &byte in bytes {
        let was_colon = std::mem::replace(&mut colon, false);
        match (&mut body, was_colon, byte) {
            (None, true, b'<') => body = Some(Vec::new()),
            (None, _, _) => colon = byte == b':',
            (Some(_), false, b':') => colon = true,
            (Some(open), false, _) => open.push(byte),
            (Some(open), true, b'=') => open.push(b':'),
            (Some(_), true, b'>') => items.push(body.take()),
            (Some(_), true, _) => {
                items.push(None);
                body = (byte == b'<').then(Vec::new);
                colon = byte == b':';
            }
        }
        if body.as_ref().is_some_and(|body| body.len() > limit) {
            return (items, true);
        }
    }
    (items, false)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_decode_as_by_the_reference_however_they_are_split(
        bytes in bytes(), limit in 0_usize..20, cuts in vec(0_usize..60, 0..6),
    ) {
        let whole = decode(limit, [&bytes[..]]);
        prop_assert_eq!(&decode(limit, bytes.chunks(1)), &whole);
        let mut boundaries: Vec<_> = cuts.iter().map(|cut| (*cut).min(bytes.len())).collect();
        boundaries.extend([0, bytes.len()]);
        boundaries.sort_unstable();
        let chunks = boundaries.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(&decode(limit, chunks), &whole);
        let (items, is_lost) = reference(limit, &bytes);
        let bodies: Vec<_> = whole.items.into_iter().map(Result::ok).collect();
        prop_assert_eq!(bodies, items);
        prop_assert_eq!(whole.end == Err(Lost::TooLarge), is_lost);
    }

    #[test]
    fn framed_payloads_with_noise_between_them_decode_to_themselves(
        payloads in vec(bytes(), 0..5), noise in "[a-z=>]{0,5}",
    ) {
        let mut stream = noise.clone().into_bytes();
        for payload in &payloads {
            stream.extend(framed(payload));
            stream.extend(noise.as_bytes());
        }
        let limit = payloads.iter().map(Vec::len).max().unwrap_or(0);
        let items = payloads.into_iter().map(Ok).collect();
        prop_assert_eq!(decode(limit, [&stream[..]]), Decoded { items, end: Ok(End::Clean) });
    }

    #[test]
    fn decoding_a_body_never_panics(bytes in vec(any::<u8>(), 0..40)) {
        let _ = body::decode(Form::PureJson, &bytes);
        let _ = body::decode(Form::StructJson, &bytes);
    }

    #[test]
    fn an_encoded_body_decodes_to_itself(status: u32, service_id: u32, data_id: u32, json in ".{0,20}") {
        let ids = Some(Ids { status, service_id, data_id });
        let mut out = Vec::new();
        body::encode(ids, &json, &mut out);
        let decoded = body::decode(Form::StructJson, &out).expect("a body");
        prop_assert_eq!((decoded.ids, decoded.json, decoded.checksum_matches), (ids, json.as_bytes(), true));
    }
}

#[test]
fn a_large_frame_that_arrives_byte_by_byte_takes_linear_time() {
    // A search from the start of the frame for each byte would take 10^12 steps.
    let frame = framed(&b"0123456:".repeat(125_000));
    assert_eq!(decode(1_000_000, frame.chunks(1)).items.len(), 1);
}
