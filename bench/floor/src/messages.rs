//! The messages of the benchmark.

/// Number of different messages. The sender cycles through them.
const RING: u8 = 64;

/// The size below which a value has room for only one property (bytes).
const SMALL: usize = 44;

/// Index of the only message that is not ASCII, so that a decoder that assumes latin1 fails.
const NON_ASCII: u8 = 7;

/// Returns JSON texts of exactly `size` bytes, the same as `texts` in `bench/peers/common.mjs`.
pub(crate) fn ring(size: usize, fds: usize) -> Vec<Vec<u8>> {
    (0..RING).map(|i| message(i, size, fds)).collect()
}

fn message(i: u8, size: usize, fds: usize) -> Vec<u8> {
    let is_small = size < SMALL;
    let mut text = if is_small {
        format!(r#"{{"name":"{}"#, 10 + i)
    } else {
        format!(r#"{{"seq":{},"fds":{fds},"name":""#, 10 + i)
    };
    if i == NON_ASCII {
        text.push_str(if is_small { "☃" } else { "ü☃" });
    }
    while text.len() < size - 2 {
        text.push(char::from(b'a' + i % 26));
    }
    text.push_str(r#""}"#);
    text.into_bytes()
}
