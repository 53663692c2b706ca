//! `elements` splits the output of `JSON.stringify` at the commas between elements.

use fdwire_wire::json::elements;
use proptest::prelude::*;
use serde_json::Value;

use fdwire_fuzz::scalar_json as scalar;

use crate::texts;

fn split(array: &[u8]) -> Vec<&[u8]> {
    elements(array).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn returns_the_text_of_each_element(values in prop::collection::vec(texts::value(), 0..7)) {
        let expected = values.iter().map(Value::to_string).collect::<Vec<_>>();
        let array = Value::from(values).to_string();
        prop_assert_eq!(split(array.as_bytes()), expected.iter().map(String::as_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn agrees_with_the_reference_on_noise(inner in texts::noise(0..300)) {
        let array = [b"[".as_slice(), &inner, b"]"].concat();
        prop_assert_eq!(split(&array), scalar::elements(&array));
    }

    #[test]
    fn agrees_with_the_reference_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(split(&bytes), scalar::elements(&bytes));
    }

    #[test]
    fn joined_elements_equal_the_bytes_between_the_brackets(inner in texts::noise(1..300)) {
        let array = [b"[".as_slice(), &inner, b"]"].concat();
        prop_assert_eq!(split(&array).join(b",".as_slice()), inner);
    }

    #[test]
    fn gives_the_same_result_at_every_alignment(inner in texts::noise(0..140)) {
        let array = [b"[".as_slice(), &inner, b"]"].concat();
        let expected = scalar::elements(&array);
        texts::at_every_alignment(&array, |array| assert_eq!(split(array), expected));
    }
}

#[test]
fn finds_a_comma_at_every_position_of_every_length() {
    for length in 1..=200 {
        let mut array = vec![b'1'; length + 2];
        array[0] = b'[';
        array[length + 1] = b']';
        assert_eq!(split(&array).len(), 1, "{length}");
        for at in 1..=length {
            array[at] = b',';
            let (before, after) = (&array[1..at], &array[at + 1..=length]);
            assert_eq!(split(&array), [before, after], "comma at {at} of {length}");
            array[at] = b'1';
        }
    }
}

#[test]
fn returns_to_depth_0_from_any_depth() {
    for depth in 1..300 {
        let nested = format!("{}1,1{}", "[".repeat(depth), "]".repeat(depth));
        let array = format!("[{nested},2,{nested}]");
        assert_eq!(split(array.as_bytes()), [nested.as_bytes(), b"2", nested.as_bytes()]);
    }
}

#[test]
fn an_empty_array_has_no_elements() {
    assert_eq!(elements(b"[]").next(), None);
}

#[test]
fn a_text_that_is_not_an_array_has_no_elements() {
    for text in ["", "[", "]", "1", "{}", "\"[]\"", "[1", "1]", " [1]", "[1] "] {
        assert_eq!(elements(text.as_bytes()).next(), None, "{text}");
    }
}

#[test]
fn keeps_returning_none_after_the_last_element() {
    let mut both = elements(b"[1,2]");
    assert_eq!(both.by_ref().count(), 2);
    assert_eq!(both.next(), None);
    assert_eq!(both.next(), None);
}
