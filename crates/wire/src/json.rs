//! How far JSON must be understood to put texts together and to cut them apart.
//!
//! Crossing into V8 costs more than parsing a small text there, so a batch crosses once:
//!
//! ```text
//!  in    [ {"a":1} , "x" , [2,{}] ]     native writes [ , ] around n texts that came one by one,
//!        ▲         ▲     ▲        ▲     JavaScript parses once and must find n elements
//!  out   [ {"a":1} , "x" , [2,{}] ]     JavaScript stringifies n values at once,
//!                  ▲     ▲              native cuts at the commas of the outermost array
//! ```
//!
//! Both are the same question, which bytes are in a string and how deep the others are, asked of
//! 64 bytes at a time.

mod block;
mod elements;

use block::{Masks, Strings};
pub use elements::{Elements, elements};

/// Whether `text` can stand between the commas of one array without leaking into its neighbours.
///
/// That is: its strings are closed, and outside them as many brackets (`[` and `{`) open as close.
/// It says nothing about whether `text` is JSON; a batch is exact by three facts together:
///
/// 1. every text of it is closed, and UTF-8,
/// 2. `[` + the texts with `,` between + `]` parses,
/// 3. the array that it parses to has as many elements as there are texts.
///
/// Then element i is what text i alone parses to. Why: since the whole parses, no backslash stands
/// outside a string, so the parser and this function agree at every text's end that no string is
/// open, and that the depth is that of its beginning: 1. Depth 1 is the outermost array, because
/// after it has been closed (`1],[1` returns to its depth too) nothing but blanks may follow, so
/// such a batch doesn't parse; that is why the lowest depth needn't be looked at here. So the n - 1
/// commas that were put between the texts separate elements, and since there are no more than n
/// elements no text has a comma of that kind in itself (`1,2` beside an empty one is refused by the
/// parser, beside a whole one by the count). Each text is the whole of its element.
#[must_use]
pub fn is_closed(text: &[u8]) -> bool {
    let mut strings = Strings::default();
    let mut depth = 0;
    let mut weigh = |masks: Masks| {
        let outside = !strings.inside(&masks);
        depth += block::balance(masks.opens & outside, masks.closes & outside);
    };
    let (blocks, rest) = text.as_chunks();
    for bytes in blocks {
        weigh(Masks::of_block(bytes));
    }
    if !rest.is_empty() {
        weigh(Masks::of_end(text));
    }
    depth == 0 && !strings.open()
}
