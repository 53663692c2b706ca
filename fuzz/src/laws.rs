//! The laws of `contract.rs` in crates/wire.

use fdwire_wire::Protocol;

use crate::subject::{Decoded, Subject, Value};

/// Asserts the laws of a protocol for a stream, with every option and a small limit.
///
/// # Panics
///
/// If the codec breaks one.
pub(crate) fn streams(protocol: Protocol, stream: &[u8]) {
    for subject in Subject::all_framed() {
        if subject.protocol == protocol {
            assert_laws(&subject, stream);
            assert_laws(&subject.limited(10), stream);
        }
    }
}

/// Asserts every law for a stream.
///
/// # Panics
///
/// If the codec breaks one.
pub fn assert_laws(subject: &Subject, stream: &[u8]) {
    let whole = subject.whole(stream);
    assert_same(subject, &subject.one_by_one(stream), &whole, stream);
    for size in [2, 3, 7, 61] {
        assert_same(subject, &subject.decode(stream.chunks(size)), &whole, stream);
    }
    let limit = subject.options.max_message;
    for value in whole.values() {
        assert!(value.bytes().len() <= limit, "{subject:?}: {value:?} exceeds the limit");
        assert_eq!(value.is_text(), is_text(subject, value), "{subject:?}: {value:?}");
        // The original of uds_comms ignores an empty frame, and so does the lenient decoder.
        if !(subject.options.lenient && value.bytes().is_empty()) {
            let frame = subject.frame(value.bytes(), value.is_text());
            let alone = Decoded { items: vec![Ok(value.clone())], ..Decoded::default() };
            assert_eq!(subject.whole(&frame), alone, "{subject:?}");
        }
    }
    if stream.len() <= 80 {
        assert_prefixes(subject, stream, &whole);
    }
}

/// Returns whether the value must be a text.
fn is_text(subject: &Subject, value: &Value) -> bool {
    match subject.protocol {
        Protocol::Stockings => value.is_text(),
        Protocol::UdsComms => true,
        _ => subject.options.text,
    }
}

/// Asserts that each prefix of a stream decodes to a prefix of its result, and that no message
/// arrives before the least number of missing bytes has arrived.
fn assert_prefixes(subject: &Subject, stream: &[u8], whole: &Decoded) {
    for at in 0..=stream.len() {
        let decoded = subject.whole(&stream[..at]);
        // With `final_line`, the end of the prefix delimits a message that may continue in the
        // stream.
        let settled =
            decoded.items.len() - usize::from(subject.options.final_line).min(decoded.items.len());
        assert_eq!(
            decoded.items[..settled],
            whole.items[..settled],
            "{subject:?}: {stream:02x?} to {at}"
        );
        if let Some(lost) = decoded.lost {
            assert_eq!(whole.lost, Some(lost), "{subject:?}: {stream:02x?} to {at}");
        }
        let Some(missing) = decoded.missing else { continue };
        let before = (at + missing - 1).min(stream.len());
        let later = subject.whole(&stream[..before]);
        let count = decoded.items.len();
        let early = later.items[count..].iter().find(|item| item.is_ok());
        // If the frame turns out to be malformed, the next one may end before the missing bytes.
        if later.items.len() == count || later.items[count].is_ok() {
            assert_eq!(early, None, "{subject:?}: {stream:02x?} to {at} lacks {missing}");
        }
    }
}

fn assert_same(subject: &Subject, decoded: &Decoded, whole: &Decoded, stream: &[u8]) {
    assert_eq!(decoded, whole, "{subject:?}: {stream:02x?}");
}
