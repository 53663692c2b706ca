//! What `is_closed` is for: texts that pass it can be parsed as one array without changing any.

use fdwire_wire::json::is_closed;
use proptest::prelude::*;
use serde_json::Value;

use crate::texts;

/// Whether a batch is taken as one array, after checking that this changes none of its texts.
///
/// Texts that aren't UTF-8 are refused before anything is joined, so they are here.
fn is_exact(texts: &[&[u8]]) -> bool {
    if !texts.iter().all(|text| is_closed(text) && str::from_utf8(text).is_ok()) {
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

/// Every way to cut a text at its commas, in strings and nested arrays too.
fn every_cut(text: &[u8], mut check: impl FnMut(&[&[u8]])) {
    let parts = text.split(|byte| *byte == b',').collect::<Vec<_>>();
    let borders = u32::try_from(parts.len() - 1).expect("few commas");
    for kept in 0_u32..1 << borders {
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

/// Every text of up to `length` bytes of `alphabet`.
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
fn every_short_batch_is_exact_or_refused() {
    let (mut taken, mut refused) = (0, 0);
    every_text(b"[]\",\\1", 7, &mut Vec::new(), &mut |text| {
        every_cut(text, |texts| if is_exact(texts) { taken += 1 } else { refused += 1 });
    });
    every_text(b"[]{},:\"", 6, &mut Vec::new(), &mut |text| {
        every_cut(text, |texts| if is_exact(texts) { taken += 1 } else { refused += 1 });
    });
    assert!(taken > 1_000 && refused > 100_000, "{taken} taken, {refused} refused");
}

#[test]
fn texts_that_lean_on_their_neighbours_are_refused() {
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
        assert!(!is_exact(&texts), "{batch:?}");
    }
}

#[test]
fn texts_that_only_look_dangerous_are_taken() {
    let batch = ["\"],[\"", " [1,2] ", "\"\\\\\"", "\"\\\",\\\"\"", "{\"]\":[\"{\"]}", "\n1\t"];
    assert!(is_exact(&batch.map(str::as_bytes)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn batches_of_json_are_taken(values in prop::collection::vec(texts::value(), 1..6)) {
        let texts = values.iter().map(Value::to_string).collect::<Vec<_>>();
        prop_assert!(is_exact(&texts.iter().map(String::as_bytes).collect::<Vec<_>>()));
    }

    #[test]
    fn an_array_cut_at_any_of_its_commas_is_exact_or_refused(
        values in prop::collection::vec(texts::value(), 1..4),
        kept in any::<u64>(),
    ) {
        let array = Value::from(values).to_string();
        let mut comma = 0;
        let texts = array.as_bytes()[1..array.len() - 1].split(|byte| {
            comma += u32::from(*byte == b',');
            *byte == b',' && kept.rotate_left(comma) & 1 == 0
        });
        is_exact(&texts.collect::<Vec<_>>());
    }

    #[test]
    fn noise_among_json_is_exact_or_refused(
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
        is_exact(&batch.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
}
