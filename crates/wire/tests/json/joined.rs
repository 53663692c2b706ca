//! The property that `is_balanced` exists for: balanced texts can be parsed as one array, and each
//! element is what its text alone parses to.

use fdwire_wire::json::is_balanced;
use proptest::prelude::*;
use serde_json::Value;

use crate::texts;

/// Returns whether a batch is accepted as one array, and asserts that its elements are then exact.
///
/// Texts that are not UTF-8 are rejected first, because native code rejects them before it joins
/// texts.
fn is_accepted(texts: &[&[u8]]) -> bool {
    if !texts.iter().all(|text| is_balanced(text) && str::from_utf8(text).is_ok()) {
        return false;
    }
    let joined = [b"[".as_slice(), &texts.join(b",".as_slice()), b"]"].concat();
    let Ok(values) = serde_json::from_slice::<Vec<Value>>(&joined) else { return false };
    if values.len() != texts.len() {
        return false;
    }
    for (value, text) in values.iter().zip(texts) {
        let alone = serde_json::from_slice::<Value>(text);
        assert_eq!(alone.ok().as_ref(), Some(value), "{:?}", String::from_utf8_lossy(&joined));
    }
    true
}

/// Splits a text at its commas in every possible way, including commas in strings and nested
/// arrays.
fn every_split(text: &[u8], mut check: impl FnMut(&[&[u8]])) {
    let parts = text.split(|byte| *byte == b',').collect::<Vec<_>>();
    let commas = u32::try_from(parts.len() - 1).expect("few commas");
    for kept in 0_u32..1 << commas {
        let mut texts = Vec::new();
        let mut start = 0;
        let mut end = 0;
        for (index, part) in parts.iter().enumerate() {
            end += part.len();
            if kept >> index & 1 == 0 || index + 1 == parts.len() {
                texts.push(&text[start..end]);
                start = end + 1;
            }
            end += 1;
        }
        check(&texts);
    }
}

/// Runs `check` on every text of up to `length` bytes of `alphabet`.
fn every_text(alphabet: &[u8], length: usize, text: &mut Vec<u8>, check: &mut impl FnMut(&[u8])) {
    check(text);
    if text.len() < length {
        for byte in alphabet {
            text.push(*byte);
            every_text(alphabet, length, text, check);
            text.pop();
        }
    }
}

#[test]
fn every_short_batch_is_exact_or_rejected() {
    let (mut accepted, mut rejected) = (0, 0);
    every_text(b"[]\",\\1", 7, &mut Vec::new(), &mut |text| {
        every_split(text, |texts| if is_accepted(texts) { accepted += 1 } else { rejected += 1 });
    });
    every_text(b"[]{},:\"", 6, &mut Vec::new(), &mut |text| {
        every_split(text, |texts| if is_accepted(texts) { accepted += 1 } else { rejected += 1 });
    });
    assert!(accepted > 1_000 && rejected > 100_000, "{accepted} accepted, {rejected} rejected");
}

#[test]
fn texts_that_parse_only_with_their_neighbours_are_rejected() {
    let batches: &[&[&str]] = &[
        &[""],
        &["", ""],
        &[" "],
        &["1,2"],
        &["1,2", ""],
        &["", "1,2"],
        &["1,2", "3"],
        &["[", "]"],
        &["[1", "2]"],
        &["{\"a\":1", "\"b\":2}"],
        &["]", "["],
        &["1]", "[1"],
        &["1],[1"],
        &["1],[1", "2"],
        &["[1}", "{2]"],
        &["[}", "{]"],
        &["\"a", "b\""],
        &["\"a\\", "b\""],
        &["\"a\\\"", "\"b\""],
        &["\\\"", "\\\""],
        &["\\", "1"],
        &["1\\", "1"],
        &["\"", "\"", "\"", "\""],
        &["1//", "2"],
        &["1/*", "*/2"],
        &["1\0", "2"],
        &["\u{feff}1", "2"],
        &["1", "2]"],
        &["1", "2", "]["],
        &["[1,2],", "3"],
        &["1 2", "3"],
        &["\"\"\"\"", "3"],
    ];
    for batch in batches {
        let texts = batch.iter().map(|text| text.as_bytes()).collect::<Vec<_>>();
        assert!(!is_accepted(&texts), "{batch:?}");
    }
}

#[test]
fn texts_with_brackets_in_strings_are_accepted() {
    let batch = ["\"],[\"", " [1,2] ", "\"\\\\\"", "\"\\\",\\\"\"", "{\"]\":[\"{\"]}", "\n1\t"];
    assert!(is_accepted(&batch.map(str::as_bytes)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn batches_of_json_are_accepted(values in prop::collection::vec(texts::value(), 1..6)) {
        let texts = values.iter().map(Value::to_string).collect::<Vec<_>>();
        prop_assert!(is_accepted(&texts.iter().map(String::as_bytes).collect::<Vec<_>>()));
    }

    #[test]
    fn an_array_split_at_any_of_its_commas_is_exact_or_rejected(
        values in prop::collection::vec(texts::value(), 1..4),
        kept in any::<u64>(),
    ) {
        let array = Value::from(values).to_string();
        let mut comma = 0;
        let texts = array.as_bytes()[1..array.len() - 1].split(|byte| {
            comma += u32::from(*byte == b',');
            *byte == b',' && kept.rotate_left(comma) & 1 == 0
        });
        is_accepted(&texts.collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_of_json_and_noise_is_exact_or_rejected(
        batch in prop::collection::vec(
            prop_oneof![
                texts::noise(0..10),
                texts::value().prop_map(|value| value.to_string().into_bytes()),
                (texts::value(), any::<prop::sample::Index>(), texts::noise(1)).prop_map(
                    |(value, at, byte)| {
                        let mut text = value.to_string().into_bytes();
                        let at = at.index(text.len());
                        text[at] = byte[0];
                        text
                    }
                ),
            ],
            1..5,
        ),
    ) {
        is_accepted(&batch.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
}
