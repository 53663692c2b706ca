//! Sixty-four bytes of JSON as bit masks: where its quotes and brackets are, and what is a string.
//!
//! ```text
//!  bytes        { " a \ " , " : [ 1 ] }      the first byte is the lowest bit, so read
//!  quotes       . 1 . . 1 . 1 . . . . .      these masks from left to right
//!  backslashes  . . . 1 . . . . . . . .
//!  escaped      . . . . 1 . . . . . . .
//!  inside       . 1 1 1 1 1 . . . . . .      prefix xor of the quotes that aren't escaped
//! ```
//!
//! The way of simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019), with
//! shifts where it multiplies without carry.

use wide::u8x16;

/// Bytes of one block: as many as a mask has bits.
pub(super) const BLOCK: usize = 64;

const LANE: usize = 16;

/// One bit per byte of a block, the lowest for the first byte.
#[derive(Clone, Copy, Default)]
pub(super) struct Masks {
    quotes: u64,
    backslashes: u64,
    /// `[` and `{`, in strings too.
    pub(super) opens: u64,
    /// `]` and `}`, in strings too.
    pub(super) closes: u64,
    /// `,`, in strings too.
    pub(super) commas: u64,
}

impl Masks {
    #[inline(always)]
    pub(super) fn of_block(block: &[u8; BLOCK]) -> Self {
        let mut masks = Self::default();
        let (lanes, _) = block.as_chunks();
        for (index, lane) in lanes.iter().enumerate() {
            masks.add(lane, index * LANE);
        }
        masks
    }

    /// The masks of the bytes behind the last whole block, of which there is one at least; bits past
    /// the end are 0.
    ///
    /// Copying them into a block of zeros would cost as much as all the rest, so loads overlap
    /// bytes that were seen before: of the block in front, whose bits are shifted out again, or of
    /// the lane in front, whose bits come out the same.
    #[inline(always)]
    pub(super) fn of_end(text: &[u8]) -> Self {
        if let Some(block) = text.last_chunk() {
            return Self::of_block(block).skip(BLOCK - text.len() % BLOCK);
        }
        let mut masks = Self::default();
        if let Some(last) = text.len().checked_sub(LANE) {
            // Always four lanes: a loop that ends early is a branch that is mispredicted.
            for at in [0, 1, 2, 3].map(|lane| last.min(lane * LANE)) {
                if let Some(lane) = text[at..].first_chunk() {
                    masks.add(lane, at);
                }
            }
        } else {
            masks.add(&short(text), 0);
        }
        masks
    }

    #[inline(always)]
    fn add(&mut self, lane: &[u8; LANE], at: usize) {
        let bytes = u8x16::from(*lane);
        let equal =
            |bytes: u8x16, byte| u64::from(bytes.simd_eq(u8x16::splat(byte)).to_bitmask()) << at;
        // [ and {, and ] and }, differ in this bit only, and no other byte becomes one of them.
        let folded = bytes | u8x16::splat(0x20);
        self.quotes |= equal(bytes, b'"');
        self.backslashes |= equal(bytes, b'\\');
        self.opens |= equal(folded, b'{');
        self.closes |= equal(folded, b'}');
        self.commas |= equal(bytes, b',');
    }

    #[inline(always)]
    fn skip(self, bytes: usize) -> Self {
        Self {
            quotes: self.quotes >> bytes,
            backslashes: self.backslashes >> bytes,
            opens: self.opens >> bytes,
            closes: self.closes >> bytes,
            commas: self.commas >> bytes,
        }
    }
}

/// What one block must know of the blocks before it to tell its strings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strings {
    /// 1 where the next block's first byte is escaped.
    escapes: u64,
    /// All ones where the next block begins in a string.
    inside: u64,
}

impl Strings {
    /// The bytes of the next block that belong to a string, from its first quote to before its last.
    ///
    /// A backslash escapes a quote behind it anywhere. Outside a string it is no JSON, so there any
    /// answer would do.
    #[inline(always)]
    pub(super) fn inside(&mut self, masks: &Masks) -> u64 {
        let escaped = if masks.backslashes == 0 {
            core::mem::take(&mut self.escapes)
        } else {
            self.escaped(masks.backslashes)
        };
        let inside = prefix_xor(masks.quotes & !escaped) ^ self.inside;
        self.inside = 0_u64.wrapping_sub(inside >> 63);
        inside
    }

    /// Whether the bytes so far end in a string.
    pub(super) fn open(self) -> bool {
        self.inside != 0
    }

    /// The bytes behind an odd number of backslashes.
    ///
    /// In a run of backslashes every second one escapes. The subtraction carries through a whole
    /// run at once: of one that begins at an even place it keeps the odd places, and the other way
    /// round, which the last xor turns into the bytes escaped.
    #[inline(always)]
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        let starts = backslashes & !self.escapes;
        let alternating = (((starts << 1) | ODD).wrapping_sub(starts)) ^ ODD;
        let escaped = alternating ^ (backslashes | self.escapes);
        self.escapes = (alternating & backslashes) >> 63;
        escaped
    }
}

/// A text shorter than a lane as a lane, zeros behind it.
#[inline(always)]
fn short(text: &[u8]) -> [u8; LANE] {
    let lane = if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let behind = u128::from(u64::from_le_bytes(*last)) << (8 * (text.len() - 8));
        u128::from(u64::from_le_bytes(*first)) | behind
    } else {
        text.iter().rev().fold(0, |lane, byte| lane << 8 | u128::from(*byte))
    };
    lane.to_le_bytes()
}

/// How many more bits `opens` has than `closes`.
#[inline(always)]
pub(super) fn balance(opens: u64, closes: u64) -> i64 {
    i64::from(opens.count_ones()) - i64::from(closes.count_ones())
}

/// Bit i is the xor of bits 0 to i.
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}
