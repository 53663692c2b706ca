//! Converts the UTF-16 of JavaScript to UTF-8.

use alloc::vec::Vec;

/// Appends a text to `out` in UTF-8. A lone surrogate becomes U+FFFD.
///
/// Most texts are ASCII: the loop over them has no branch, so it takes many code units at a time.
pub fn append_utf8(text: &[u16], out: &mut Vec<u8>) {
    let start = out.len();
    let mut all = 0;
    out.extend(text.iter().map(|&unit| {
        all |= unit;
        // Of a unit that is not ASCII, the result is not used.
        (unit & 0xff) as u8
    }));
    if all >= 0x80 {
        out.truncate(start);
        append_any(text, out);
    }
}

fn append_any(text: &[u16], out: &mut Vec<u8>) {
    out.reserve(3 * text.len());
    for unit in char::decode_utf16(text.iter().copied()) {
        let character = unit.unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_what_the_text_is_in_utf_8() {
        for text in ["", "a", "plain", "é", "€", "😀", "a€😀é\0", "ascii, and then ü"] {
            let units: Vec<u16> = text.encode_utf16().collect();
            let mut out = b"before ".to_vec();
            append_utf8(&units, &mut out);
            assert_eq!(out, [b"before ", text.as_bytes()].concat());
        }
    }

    #[test]
    fn replaces_lone_surrogates() {
        let mut out = Vec::new();
        append_utf8(&[0x61, 0xd800, 0x62, 0xdc00], &mut out);
        assert_eq!(out, "a\u{fffd}b\u{fffd}".as_bytes());
    }
}
