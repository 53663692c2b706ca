//! Base64 as Python's `base64.b64decode` takes it.

/// Decodes base64 where it stands; how many bytes it is then, None where it can't be decoded.
///
/// Bytes that are none of the alphabet's are passed over. Padding that completes a group of four ends
/// the text, whatever stands behind it; other padding is passed over. Bits that are left over in the
/// last group are dropped.
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
        // Fewer bytes are written than were read.
        if group > 0 {
            let taken = 2 * group;
            bytes[length] = left << taken | value >> (6 - taken);
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
