//! An announced length is compared with the limit before anything else happens.

use fdwire_wire::Protocol;
use fdwire_wire::codec::Lost;

use fdwire_fuzz::subject::{Decoded, Subject};

fn lost(why: Lost) -> Decoded {
    Decoded { lost: Some(why), ..Decoded::default() }
}

fn cut(missing: usize) -> Decoded {
    Decoded { missing: Some(missing), ..Decoded::default() }
}

#[test]
fn a_message_at_the_limit_is_decoded_and_a_larger_one_ends_decoding() {
    for subject in Subject::all_framed() {
        for limit in [1, 2, 3, 4, 5, 6, 63, 64, 255, 300] {
            let limited = subject.limited(limit);
            let frame = |length| subject.try_frame(&vec![b'x'; length], true);
            let (Some(fitting), Some(large)) = (frame(limit), frame(limit + 1)) else { continue };
            assert_eq!(limited.whole(&fitting).items.len(), 1, "{limited:?}");
            assert_eq!(limited.whole(&large), lost(Lost::TooLarge), "{limited:?}");
            let both = limited.one_by_one(&[fitting, large].concat());
            assert_eq!((both.items.len(), both.lost), (1, Some(Lost::TooLarge)), "{limited:?}");
        }
    }
}

#[test]
fn a_length_above_the_limit_ends_decoding_before_the_payload_arrives() {
    let announced = [
        Protocol::ContentLength,
        Protocol::LengthPrefixed,
        Protocol::MsgChannel,
        Protocol::Netstring,
        Protocol::Stockings,
        Protocol::Varint,
    ];
    for protocol in announced {
        let subject = Subject::new(protocol, true);
        let tail = usize::from(protocol == Protocol::Netstring);
        for length in [11, 100, 70_000] {
            let frame = subject.frame(&vec![b'x'; length], true);
            let header = &frame[..frame.len() - length - tail];
            assert_eq!(subject.limited(length).whole(header), cut(length + tail), "{subject:?}");
            assert_eq!(subject.limited(length - 1).whole(header), lost(Lost::TooLarge));
        }
    }
    // If the end of the frame must be searched for, the first byte above the limit ends decoding.
    let lines = Subject::new(Protocol::Lines, true).limited(3);
    assert_eq!(lines.whole(b"abc"), cut(1));
    assert_eq!(lines.whole(b"abcd"), lost(Lost::TooLarge));
    let uds_comms = Subject::new(Protocol::UdsComms, true).limited(3);
    assert_eq!(uds_comms.whole(b"%YWJj"), cut(1));
    assert_eq!(uds_comms.whole(b"%YWJjY"), lost(Lost::TooLarge));
}

#[test]
fn a_base64_frame_of_the_permitted_length_may_still_exceed_the_limit() {
    for limit in [1, 2] {
        let subject = Subject::new(Protocol::UdsComms, true).limited(limit);
        assert_eq!(subject.whole(b"%YWJj$"), lost(Lost::TooLarge), "{limit}");
        assert_eq!(subject.whole(b"%YQ==$").items.len(), 1, "{limit}");
    }
}

#[test]
fn lengths_of_2_to_the_63_and_more_neither_overflow_nor_allocate() {
    let stockings = Subject::new(Protocol::Stockings, true);
    let headers: [&[u8]; 4] = [
        b"\0\0\0\0\0\0\0\0\0\x82",
        b"\x3f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x83",
        b"\0\0\0\0\0\0\0\0\0\x84",
        &[[0x7f; 15].as_slice(), &[0xff]].concat(),
    ];
    for header in headers {
        assert_eq!(stockings.whole(header), lost(Lost::TooLarge), "{header:02x?}");
    }
    // Without a limit, 2^63 and 2^64 - 1 are valid, although 2^64 - 1 plus the header's length
    // overflows a usize. 2^64 is too large.
    let all = stockings.limited(usize::MAX);
    assert_eq!(all.whole(headers[0]), cut(1 << 63));
    assert_eq!(all.whole(headers[1]), cut(usize::MAX - headers[1].len()));
    assert_eq!(all.whole(headers[2]), lost(Lost::TooLarge));
    assert_eq!(all.whole(headers[3]), lost(Lost::TooLarge));
    let length_prefixed = Subject::new(Protocol::LengthPrefixed, false).limited(usize::MAX);
    assert_eq!(length_prefixed.whole(b"\xff\xff\xff\xff"), cut(0xffff_ffff));
    let eight_bytes = Subject::prefixed(8, false, 0).limited(usize::MAX);
    assert_eq!(eight_bytes.whole(&[0xff; 8]), cut(usize::MAX - 8));
    let adjusted = Subject::prefixed(8, true, i64::MIN).limited(usize::MAX);
    assert_eq!(adjusted.whole(&[0xff; 8]), cut(usize::MAX >> 1));
    let above_64_bits = Subject::prefixed(8, true, 1).limited(usize::MAX);
    assert_eq!(above_64_bits.whole(&[0xff; 8]), lost(Lost::TooLarge));
    let varint = Subject::new(Protocol::Varint, false).limited(usize::MAX);
    assert_eq!(varint.whole(&[&[0xff; 9][..], &[1]].concat()), cut(usize::MAX - 10));
    let netstring = Subject::new(Protocol::Netstring, false).limited(usize::MAX);
    assert_eq!(netstring.whole(b"9999999999:"), cut(10_000_000_000));
    let msg_channel = Subject::new(Protocol::MsgChannel, false).limited(usize::MAX);
    assert_eq!(msg_channel.whole(b"\r\nMSG 9999999999\r\n"), cut(9_999_999_999));
    assert_eq!(msg_channel.whole(b"\r\nMSG 9223372036854775808\r\n"), lost(Lost::BadHeader));
}
