//! Joins JSON texts to an array and splits an array into elements, without parsing them.
//!
//! A call into V8 costs more than parsing a small text there, so a batch of texts takes one call:
//!
//! ```text
//!  receive  [ {"a":1} , "x" , [2,{}] ]   native code writes [ , ] around n texts that arrived
//!           ▲         ▲     ▲        ▲   singly; JavaScript parses once and must get n elements
//!
//!  send     [ {"a":1} , "x" , [2,{}] ]   JavaScript stringifies n values in one call; native code
//!                     ▲     ▲            splits at the commas of the outermost array
//! ```
//!
//! Both directions need to know which bytes are in a string, and how deeply the others are nested.
//! The scan takes 64 bytes at a time.

mod block;
mod elements;

use block::{Masks, Strings};
pub use elements::{Elements, elements};

/// Returns whether `text` ends outside a string and has as many opening brackets (`[`, `{`) as
/// closing ones outside its strings.
///
/// The result does not say whether `text` is JSON. Parsing a batch of texts as one array gives the
/// value that each text has alone, provided that
///
/// 1. each text is balanced and valid UTF-8,
/// 2. `[`, the texts with `,` between them, and `]` together parse,
/// 3. the parsed array has as many elements as there are texts.
///
/// Proof: Since the whole parses, no backslash is outside a string. So the parser agrees with this
/// function at the end of each text: no string is open, and the depth is 1, as at the text's start.
/// Depth 1 is inside the outermost array, because only blanks may follow after that array is
/// closed. (A batch that closes it and opens another, such as `1],[1`, does not parse, so the
/// lowest depth within a text need not be tracked.) Hence the n - 1 commas between the texts
/// separate elements. Since there are n elements, no text contains another such comma: `1,2` next
/// to an empty text fails to parse, and next to any other text yields too many elements. So each
/// text is one whole element.
#[must_use]
pub fn is_balanced(text: &[u8]) -> bool {
    let mut strings = Strings::default();
    let mut depth = 0;
    let mut count = |masks: Masks| {
        let outside = !strings.mask(&masks);
        depth += block::balance(masks.opens & outside, masks.closes & outside);
    };
    let (blocks, rest) = text.as_chunks();
    for block in blocks {
        count(Masks::of_block(block));
    }
    if !rest.is_empty() {
        count(Masks::of_tail(text));
    }
    depth == 0 && !strings.is_open()
}
