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
