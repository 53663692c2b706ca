//! A header that can't be one is told with the first byte that is wrong: nobody waits for more.

use fdwire_wire::Protocol;
use fdwire_wire::codec::Lost;

use crate::harness::{Given, Subject};

fn bad_header() -> Given {
    Given { lost: Some(Lost::BadHeader), ..Given::default() }
}

#[test]
fn the_first_byte_that_is_none_of_a_header_line_is_told_at_once() {
    let msg_channel = Subject::new(Protocol::MsgChannel, false);
    let header = b"\r\nMSG 1234567890\r\n";
    for at in 0..header.len() {
        for byte in 0..=u8::MAX {
            let begun = [&header[..at], &[byte]].concat();
            let is_good = match at {
                // Digits, and behind the first of them the end of the line too.
                6 => byte.is_ascii_digit(),
                7..16 => byte.is_ascii_digit() || byte == b'\r',
                _ => byte == header[at],
            };
            let given = msg_channel.limited(usize::MAX).whole(&begun);
            assert_eq!(given == bad_header(), !is_good, "{begun:02x?} gives {given:?}");
        }
    }
}

#[test]
fn a_header_that_goes_on_for_16_bytes_is_told_with_the_last_of_them() {
    let stockings = Subject::new(Protocol::Stockings, true);
    assert_eq!(stockings.whole(&[0; 15]), Given { missing: Some(1), ..Given::default() });
    assert_eq!(stockings.whole(&[0; 16]), bad_header());
}
