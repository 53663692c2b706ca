//! The reference: the same questions, asked of one byte after the other.

use std::{iter, mem};

/// What a byte is, seen by someone who reads from left to right.
#[derive(Default)]
struct Reader {
    escaped: bool,
    in_string: bool,
    depth: i64,
}

impl Reader {
    /// Takes the next byte; true for a comma outside strings at depth 0.
    ///
    /// A backslash outside a string is no JSON. There too it takes its meaning from a quote or
    /// backslash behind it, and leaves a bracket or comma what it is.
    fn is_cut(&mut self, byte: u8) -> bool {
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

pub(crate) fn is_closed(text: &[u8]) -> bool {
    let mut reader = Reader::default();
    for byte in text {
        reader.is_cut(*byte);
    }
    reader.depth == 0 && !reader.in_string
}

pub(crate) fn elements(array: &[u8]) -> Vec<&[u8]> {
    let [b'[', inner @ .., b']'] = array else { return Vec::new() };
    if inner.is_empty() {
        return Vec::new();
    }
    let mut reader = Reader::default();
    let cuts = (0..inner.len()).filter(|at| reader.is_cut(inner[*at])).collect::<Vec<_>>();
    let starts = iter::once(0).chain(cuts.iter().map(|cut| cut + 1));
    let ends = cuts.iter().copied().chain([inner.len()]);
    starts.zip(ends).map(|(start, end)| &inner[start..end]).collect()
}
