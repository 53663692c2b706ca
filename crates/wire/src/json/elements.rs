//! The elements of an array's text, cut at its top-level commas.

use super::block::{Masks, Strings};

/// The elements of an array that `JSON.stringify` wrote.
///
/// Nothing is checked but the outermost brackets: without them there are no elements. For any bytes
/// between them, what comes out joined by commas is what went in, so a text that isn't an array's
/// is cut somewhere, but nothing of it is lost.
#[must_use]
pub fn elements(array: &[u8]) -> Elements<'_> {
    let inner = array.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(b"");
    Elements {
        ahead: inner,
        inner,
        finished: inner.is_empty(),
        start: 0,
        block: 0,
        commas: 0,
        depth: 0,
        strings: Strings::default(),
    }
}

/// Iterator over the elements of an array's text; made by [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    /// What stands between the outermost brackets.
    inner: &'a [u8],
    /// The part of `inner` that no mask was made of yet.
    ahead: &'a [u8],
    /// Where the next element begins in `inner`.
    start: usize,
    /// Where the block that `commas` belongs to begins in `inner`.
    block: usize,
    /// The top-level commas of that block that haven't been cut at yet.
    commas: u64,
    /// How many brackets are open before `ahead`.
    depth: i64,
    strings: Strings,
    finished: bool,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while self.commas == 0 {
            if self.ahead.is_empty() {
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

    /// Looks for top-level commas in the next block.
    #[inline]
    fn scan(&mut self) {
        self.block = self.inner.len() - self.ahead.len();
        let masks = if let Some((block, ahead)) = self.ahead.split_first_chunk() {
            self.ahead = ahead;
            Masks::of_block(block)
        } else {
            self.ahead = &[];
            Masks::of_end(self.inner)
        };
        let outside = !self.strings.inside(&masks);
        self.commas = top_level(
            &mut self.depth,
            masks.opens & outside,
            masks.closes & outside,
            masks.commas & outside,
        );
    }
}

/// The commas of a block at depth 0, where the block begins at `depth`.
///
/// It goes from bracket to bracket and takes the commas between them all at once. Looking first
/// whether the block can come up to depth 0 was measured: no faster on any input tried.
#[inline(always)]
fn top_level(depth: &mut i64, opens: u64, closes: u64, commas: u64) -> u64 {
    let mut cuts = 0;
    let mut behind = u64::MAX;
    let mut brackets = opens | closes;
    while brackets != 0 {
        let bracket = brackets & brackets.wrapping_neg();
        let before = bracket - 1;
        cuts |= commas & behind & before & at_top(*depth);
        behind = !before;
        *depth += if opens & bracket != 0 { 1 } else { -1 };
        brackets ^= bracket;
    }
    cuts | (commas & behind & at_top(*depth))
}

#[inline(always)]
fn at_top(depth: i64) -> u64 {
    0_u64.wrapping_sub(u64::from(depth == 0))
}
