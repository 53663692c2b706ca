//! Base64 as Python's `base64.b64decode` accepts it.

/// Decodes base64 in place, and returns the number of decoded bytes, or None if the input is
/// invalid.
///
/// Bytes outside the alphabet are skipped. Padding that completes a group of four ends the text,
/// and everything after it is ignored; any other padding is skipped. Unused bits of the last group
/// are ignored.
pub(super) fn decode_in_place(bytes: &mut [u8]) -> Option<usize> {
    let (mut length, mut group, mut padding, mut left) = (0, 0, 0, 0);
    for at in 0..bytes.len() {
        if bytes[at] == b'=' {
            if group >= 2 {
                padding += 1;
                if group + padding >= 4 {
                    return Some(length);
                }
            }
            continue;
        }
        let Some(value) = value(bytes[at]) else { continue };
        padding = 0;
        // `length` stays below `at`, so no byte is overwritten before it is read.
        if group > 0 {
            let shift = 2 * group;
            bytes[length] = left << shift | value >> (6 - shift);
            length += 1;
        }
        left = match group {
            0 => value,
            1 => value & 0x0f,
            2 => value & 0x03,
            _ => 0,
        };
        group = (group + 1) % 4;
    }
    (group == 0).then_some(length)
}

/// Returns the six bits that a byte of the alphabet stands for.
fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}
