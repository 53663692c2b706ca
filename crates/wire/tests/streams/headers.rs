//! The first invalid byte of a header ends decoding; the decoder does not wait for more.

use fdwire_wire::Protocol;
use fdwire_wire::codec::Lost;

use fdwire_fuzz::subject::{Decoded, Subject};

fn bad_header() -> Decoded {
    Decoded { lost: Some(Lost::BadHeader), ..Decoded::default() }
}

#[test]
fn the_first_invalid_byte_of_a_header_line_ends_decoding() {
    let msg_channel = Subject::new(Protocol::MsgChannel, false);
    let header = b"\r\nMSG 1234567890\r\n";
    for at in 0..header.len() {
        for byte in 0..=u8::MAX {
            let start = [&header[..at], &[byte]].concat();
            let is_valid = match at {
                // Digits; after the first one, the end of the line is also valid.
                6 => byte.is_ascii_digit(),
                7..16 => byte.is_ascii_digit() || byte == b'\r',
                _ => byte == header[at],
            };
            let decoded = msg_channel.limited(usize::MAX).whole(&start);
            assert_eq!(decoded == bad_header(), !is_valid, "{start:02x?} gives {decoded:?}");
        }
    }
}

#[test]
fn a_header_without_an_end_in_16_bytes_ends_decoding() {
    let stockings = Subject::new(Protocol::Stockings, true);
    assert_eq!(stockings.whole(&[0; 15]), Decoded { missing: Some(1), ..Decoded::default() });
    assert_eq!(stockings.whole(&[0; 16]), bad_header());
}

#[test]
fn the_first_invalid_byte_of_a_netstring_ends_decoding() {
    let netstring = Subject::new(Protocol::Netstring, false).limited(usize::MAX);
    let frame = b"1234567890:";
    for at in 0..frame.len() {
        for byte in 0..=u8::MAX {
            let start = [&frame[..at], &[byte]].concat();
            let is_valid = match at {
                0 => byte.is_ascii_digit(),
                10 => byte == b':',
                _ => byte.is_ascii_digit() || byte == b':',
            };
            let decoded = netstring.whole(&start);
            assert_eq!(decoded == bad_header(), !is_valid, "{start:02x?} gives {decoded:?}");
        }
    }
    assert_eq!(netstring.whole(b"00"), bad_header());
    assert_eq!(netstring.whole(b"2:hix"), bad_header());
}

#[test]
fn a_varint_of_more_than_10_bytes_or_64_bits_ends_decoding() {
    let varint = Subject::new(Protocol::Varint, false);
    assert_eq!(varint.whole(&[0x80; 9]), Decoded { missing: Some(1), ..Decoded::default() });
    for byte in 2..=u8::MAX {
        assert_eq!(varint.whole(&[&[0x80; 9][..], &[byte]].concat()), bad_header(), "{byte:02x}");
    }
    assert_eq!(varint.whole(&[&[0x80; 9][..], &[0]].concat()).items.len(), 1);
}

#[test]
fn a_byte_that_no_header_line_may_contain_ends_decoding_before_the_line_ends() {
    let content_length = Subject::new(Protocol::ContentLength, false);
    for start in ["", "C", "Content-Length: 1", "Content-Length: 1\r\n", "A: b\r\nC: d"] {
        for byte in 0..=u8::MAX {
            let is_control = byte < b' ' && byte != b'\t' || byte == 0x7f;
            let begins_line = start.is_empty() || start.ends_with('\n');
            let begins_name = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let is_valid = byte == b'\r' || if begins_line { begins_name } else { !is_control };
            let stream = [start.as_bytes(), &[byte]].concat();
            let decoded = content_length.whole(&stream);
            assert_eq!(decoded == bad_header(), !is_valid, "{stream:02x?} gives {decoded:?}");
        }
    }
}

#[test]
fn a_large_block_before_a_large_payload_is_parsed_once() {
    // Parsing the block for each byte of the payload would take 10^10 steps.
    let block = format!("X: {}\r\nContent-Length: 1048576\r\n\r\n", "x".repeat(8_000));
    let stream = [block.as_bytes(), &vec![b'x'; 1 << 20]].concat();
    let content_length = Subject::new(Protocol::ContentLength, false);
    assert_eq!(content_length.one_by_one(&stream).items.len(), 1);
}
