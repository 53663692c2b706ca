//! Splits the text of a JSON array at its top-level commas.

use super::block::{Masks, Strings};

/// Returns the elements of an array that `JSON.stringify` wrote.
///
/// Only the outermost brackets are checked: without them, the iterator is empty. The elements
/// joined by commas always equal the bytes between the brackets. So a text that is not a valid
/// array may be split in the wrong places, but no byte is lost.
#[must_use]
pub fn elements(array: &[u8]) -> Elements<'_> {
    let inner = array.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(b"");
    Elements {
        unscanned: inner,
        inner,
        finished: inner.is_empty(),
        start: 0,
        block: 0,
        commas: 0,
        depth: 0,
        strings: Strings::default(),
    }
}

/// Iterator over the elements of a JSON array's text, created by [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    /// The bytes between the outermost brackets.
    inner: &'a [u8],
    /// The part of `inner` that has not been scanned.
    unscanned: &'a [u8],
    /// Offset in `inner` of the next element.
    start: usize,
    /// Offset in `inner` of the last scanned block.
    block: usize,
    /// Mask of the top-level commas in that block that end an element not yet returned.
    commas: u64,
    /// Nesting depth at the start of `unscanned`.
    depth: i64,
    strings: Strings,
    finished: bool,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while self.commas == 0 {
            if self.unscanned.is_empty() {
                return self.last_element();
            }
            self.scan();
        }
        let comma = self.block + self.commas.trailing_zeros() as usize;
        self.commas &= self.commas - 1;
        let element = &self.inner[self.start..comma];
        self.start = comma + 1;
        Some(element)
    }
}

impl core::iter::FusedIterator for Elements<'_> {}

impl<'a> Elements<'a> {
    fn last_element(&mut self) -> Option<&'a [u8]> {
        if self.finished {
            return None;
        }
        self.finished = true;
        Some(&self.inner[self.start..])
    }

    /// Finds the top-level commas in the next block.
    #[inline]
    fn scan(&mut self) {
        self.block = self.inner.len() - self.unscanned.len();
        let masks = if let Some((block, unscanned)) = self.unscanned.split_first_chunk() {
            self.unscanned = unscanned;
            Masks::of_block(block)
        } else {
            self.unscanned = &[];
            Masks::of_tail(self.inner)
        };
        let outside = !self.strings.mask(&masks);
        self.commas = top_level(
            &mut self.depth,
            masks.opens & outside,
            masks.closes & outside,
            masks.commas & outside,
        );
    }
}

/// Returns the mask of the commas at depth 0 in a block, and advances `depth` from the start of the
/// block to its end.
///
/// The loop goes from bracket to bracket and handles all commas in between at once. A shortcut for
/// blocks that cannot reach depth 0 has been measured: it was not faster on any input.
#[inline(always)]
fn top_level(depth: &mut i64, opens: u64, closes: u64, commas: u64) -> u64 {
    let mut top = 0;
    let mut unseen = u64::MAX;
    let mut brackets = opens | closes;
    while brackets != 0 {
        let bracket = brackets & brackets.wrapping_neg();
        let before = bracket - 1;
        top |= commas & unseen & before & mask_if_zero(*depth);
        unseen = !before;
        *depth += if opens & bracket != 0 { 1 } else { -1 };
        brackets ^= bracket;
    }
    top | (commas & unseen & mask_if_zero(*depth))
}

/// Returns all ones if `depth` is 0, otherwise 0.
#[inline(always)]
fn mask_if_zero(depth: i64) -> u64 {
    0_u64.wrapping_sub(u64::from(depth == 0))
}
