//! Bit masks for 64 bytes of JSON: the positions of quotes and brackets, and the extent of strings.
//!
//! ```text
//!  bytes        { " a \ " , " : [ 1 ] }      the first byte is the lowest bit, so the
//!  quotes       . 1 . . 1 . 1 . . . . .      masks are written here lowest bit first
//!  backslashes  . . . 1 . . . . . . . .
//!  escaped      . . . . 1 . . . . . . .
//!  inside       . 1 1 1 1 1 . . . . . .      prefix xor of the unescaped quotes
//! ```
//!
//! The algorithm is that of simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second",
//! 2019), except that the prefix xor uses shifts instead of a carry-less multiplication.

use wide::u8x16;

/// Length of a block in bytes: the number of bits in a mask.
pub(super) const BLOCK: usize = 64;

/// Length of a SIMD register in bytes.
const LANE: usize = 16;

/// The positions of each kind of byte in a block: one bit per byte, the lowest for the first byte.
#[derive(Clone, Copy, Default)]
pub(super) struct Masks {
    quotes: u64,
    backslashes: u64,
    /// `[` and `{`, including those in strings.
    pub(super) opens: u64,
    /// `]` and `}`, including those in strings.
    pub(super) closes: u64,
    /// `,`, including those in strings.
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

    /// Returns the masks of the bytes after the last whole block. There must be at least one such
    /// byte. Bits past the end of the text are 0.
    ///
    /// Copying the bytes into a block of zeros would cost as much as everything else. Instead, the
    /// loads overlap earlier bytes. If they are of the previous block, their bits are shifted out;
    /// if they are of the previous lane, their bits are set to the same values again.
    #[inline(always)]
    pub(super) fn of_tail(text: &[u8]) -> Self {
        if let Some(block) = text.last_chunk() {
            return Self::of_block(block).skip(BLOCK - text.len() % BLOCK);
        }
        let mut masks = Self::default();
        if let Some(last) = text.len().checked_sub(LANE) {
            // Always four lanes, since the exit of a shorter loop would be mispredicted.
            for at in [0, 1, 2, 3].map(|lane| last.min(lane * LANE)) {
                if let Some(lane) = text[at..].first_chunk() {
                    masks.add(lane, at);
                }
            }
        } else {
            masks.add(&zero_padded(text), 0);
        }
        masks
    }

    #[inline(always)]
    fn add(&mut self, lane: &[u8; LANE], at: usize) {
        let bytes = u8x16::from(*lane);
        let equal =
            |bytes: u8x16, byte| u64::from(bytes.simd_eq(u8x16::splat(byte)).to_bitmask()) << at;
        // `[` and `{` differ only in this bit, as do `]` and `}`, and setting it in any other byte
        // yields neither `{` nor `}`.
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

/// The state that is carried from block to block to find the strings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strings {
    /// 1 if the first byte of the next block is escaped, otherwise 0.
    escapes: u64,
    /// All ones if the next block starts within a string, otherwise 0.
    inside: u64,
}

impl Strings {
    /// Returns the mask of the next block's bytes that belong to strings. A string includes its
    /// opening quote, but not its closing one.
    ///
    /// A backslash escapes the quote after it, even outside a string: there it is invalid JSON, so
    /// any result is acceptable.
    #[inline(always)]
    pub(super) fn mask(&mut self, masks: &Masks) -> u64 {
        let escaped = if masks.backslashes == 0 {
            core::mem::take(&mut self.escapes)
        } else {
            self.escaped(masks.backslashes)
        };
        let inside = prefix_xor(masks.quotes & !escaped) ^ self.inside;
        self.inside = 0_u64.wrapping_sub(inside >> 63);
        inside
    }

    /// Returns whether the bytes so far end within a string.
    pub(super) fn is_open(self) -> bool {
        self.inside != 0
    }

    /// Returns the mask of the bytes that are escaped: those after an odd number of backslashes.
    ///
    /// In a run of backslashes, the first, third, fifth … escape the byte after them. The
    /// subtraction carries through each run at once. In a run that starts at an even position it
    /// leaves the odd positions set, and vice versa. The final xor turns these into the escaped
    /// bytes.
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

/// Returns a text shorter than a lane, padded with zeros.
#[inline(always)]
fn zero_padded(text: &[u8]) -> [u8; LANE] {
    let lane = if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let high = u128::from(u64::from_le_bytes(*last)) << (8 * (text.len() - 8));
        u128::from(u64::from_le_bytes(*first)) | high
    } else {
        text.iter().rev().fold(0, |lane, byte| lane << 8 | u128::from(*byte))
    };
    lane.to_le_bytes()
}

/// Returns how many more bits are set in `opens` than in `closes`.
#[inline(always)]
pub(super) fn balance(opens: u64, closes: u64) -> i64 {
    i64::from(opens.count_ones()) - i64::from(closes.count_ones())
}

/// Returns a mask whose bit i is the xor of bits 0 to i.
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}
