//! Positions in a text that JavaScript counts in UTF-16 code units.

/// Returns how many bytes of `text`, which is UTF-8, are its first `units` code units in UTF-16.
///
/// A text that ends before has fewer: then the result is its length.
#[must_use]
pub fn utf8_len(text: &[u8], units: usize) -> usize {
    if text.get(..units).is_some_and(<[u8]>::is_ascii) {
        return units;
    }
    let (mut at, mut left) = (0, units);
    while left > 0
        && let Some(&lead) = text.get(at)
    {
        let (bytes, pair) = match lead {
            ..0x80 => (1, 1),
            0x80..0xe0 => (2, 1),
            0xe0..0xf0 => (3, 1),
            0xf0.. => (4, 2),
        };
        at += bytes;
        left = left.saturating_sub(pair);
    }
    at.min(text.len())
}

#[cfg(test)]
mod tests {
    use super::utf8_len;

    #[test]
    fn counts_the_bytes_of_code_units() {
        for text in ["", "a", "é", "€", "😀", "plain", "naïve", "a€😀é", "😀😀"] {
            let bytes = [text, "the next text €"].concat();
            assert_eq!(
                utf8_len(bytes.as_bytes(), text.encode_utf16().count()),
                text.len(),
                "{text}"
            );
        }
    }

    #[test]
    fn ends_with_the_text() {
        assert_eq!(utf8_len("aé".as_bytes(), 9), 3);
        assert_eq!(utf8_len("é".as_bytes().split_at(1).0, 1), 1);
    }
}
