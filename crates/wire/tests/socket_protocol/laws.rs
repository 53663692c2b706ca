//! The laws of a codec, for any bytes: mostly those that the framing is made of.

use fdwire_wire::codec::{End, Lost};
use fdwire_wire::socket_protocol::body::{Form, Ids, read, write};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::frames::{Given, decode, framed};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(b':'), 1 => Just(b'<'), 1 => Just(b'>'), 1 => Just(b'='), 2 => any::<u8>()];
    vec(byte, 0..60)
}

/// A plain way to say what a stream holds: one state a byte, and no input that is kept.
fn plainly(limit: usize, bytes: &[u8]) -> (Vec<Option<Vec<u8>>>, bool) {
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
    fn any_bytes_give_the_same_however_they_are_cut(
        bytes in bytes(), limit in 0_usize..20, cuts in vec(0_usize..60, 0..6),
    ) {
        let whole = decode(limit, [&bytes[..]]);
        prop_assert_eq!(&decode(limit, bytes.chunks(1)), &whole);
        let mut borders: Vec<_> = cuts.iter().map(|cut| (*cut).min(bytes.len())).collect();
        borders.extend([0, bytes.len()]);
        borders.sort_unstable();
        let chunks = borders.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(&decode(limit, chunks), &whole);
        let (items, is_lost) = plainly(limit, &bytes);
        let given: Vec<_> = whole.items.into_iter().map(Result::ok).collect();
        prop_assert_eq!(given, items);
        prop_assert_eq!(whole.end == Err(Lost::TooLarge), is_lost);
    }

    #[test]
    fn what_is_framed_decodes_to_itself_also_between_noise(
        payloads in vec(bytes(), 0..5), noise in "[a-z=>]{0,5}",
    ) {
        let mut stream = noise.clone().into_bytes();
        for payload in &payloads {
            stream.extend(framed(payload));
            stream.extend(noise.as_bytes());
        }
        let limit = payloads.iter().map(Vec::len).max().unwrap_or(0);
        let items = payloads.into_iter().map(Ok).collect();
        prop_assert_eq!(decode(limit, [&stream[..]]), Given { items, end: Ok(End::Clean) });
    }

    #[test]
    fn any_bytes_are_a_body_or_none(bytes in vec(any::<u8>(), 0..40)) {
        let _ = read(Form::PureJson, &bytes);
        let _ = read(Form::StructJson, &bytes);
    }

    #[test]
    fn what_is_written_is_read(status: u32, service_id: u32, data_id: u32, json in ".{0,20}") {
        let ids = Some(Ids { status, service_id, data_id });
        let mut out = Vec::new();
        write(ids, &json, &mut out);
        let body = read(Form::StructJson, &out).expect("a body");
        prop_assert_eq!((body.ids, body.json, body.is_sound), (ids, json.as_bytes(), true));
    }
}

#[test]
fn a_large_frame_that_comes_byte_by_byte_takes_linear_time() {
    // A search from the beginning for each byte would be 10^12 steps.
    let frame = framed(&b"0123456:".repeat(125_000));
    assert_eq!(decode(1_000_000, frame.chunks(1)).items.len(), 1);
}
