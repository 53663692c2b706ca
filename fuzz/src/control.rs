//! Control messages are found within their buffer, whatever it contains.

use fdwire_socket::{Part, parts};

/// Parses a buffer of control messages.
///
/// # Panics
///
/// If a control message exceeds the buffer, or the parser makes no progress.
pub(crate) fn control(data: &[u8]) {
    let mut end = 0;
    for (part, next) in parts(data) {
        assert!(end < next && next <= data.len(), "{end}, {next}, {}", data.len());
        if let Part::Fds(numbers) = part {
            assert!(numbers.len() <= next - end, "{} of {end}..{next}", numbers.len());
        }
        end = next;
    }
}
