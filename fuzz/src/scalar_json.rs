//! The reference implementation, which reads one byte at a time.

use std::{iter, mem};

/// The state of a reader that goes from left to right.
#[derive(Default)]
struct Reader {
    escaped: bool,
    in_string: bool,
    depth: i64,
}

impl Reader {
    /// Reads the next byte and returns whether it is a comma outside strings at depth 0.
    ///
    /// A backslash outside a string is invalid JSON. There it still escapes a quote or a backslash,
    /// but not a bracket or a comma.
    fn is_separator(&mut self, byte: u8) -> bool {
        if mem::take(&mut self.escaped) && matches!(byte, b'"' | b'\\') {
            return false;
        }
        match byte {
            b'\\' => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            b'[' | b'{' if !self.in_string => self.depth += 1,
            b']' | b'}' if !self.in_string => self.depth -= 1,
            b',' => return !self.in_string && self.depth == 0,
            _ => {}
        }
        false
    }
}

/// Whether all brackets and quotes of a text have their counterpart.
#[must_use]
pub fn is_balanced(text: &[u8]) -> bool {
    let mut reader = Reader::default();
    for byte in text {
        reader.is_separator(*byte);
    }
    reader.depth == 0 && !reader.in_string
}

/// Returns the texts of the elements of an array.
#[must_use]
pub fn elements(array: &[u8]) -> Vec<&[u8]> {
    let [b'[', inner @ .., b']'] = array else { return Vec::new() };
    if inner.is_empty() {
        return Vec::new();
    }
    let mut reader = Reader::default();
    let commas = (0..inner.len()).filter(|at| reader.is_separator(inner[*at])).collect::<Vec<_>>();
    let starts = iter::once(0).chain(commas.iter().map(|comma| comma + 1));
    let ends = commas.iter().copied().chain([inner.len()]);
    starts.zip(ends).map(|(start, end)| &inner[start..end]).collect()
}
