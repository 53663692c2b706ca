//! How a frame announces the length of its payload.

/// How a length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthField {
    /// Its size in bytes: 1, 2, 3, 4 or 8.
    size: u8,
    little_endian: bool,
    /// What is added to the field's value to get the length of the payload.
    adjustment: i64,
}

impl LengthField {
    /// Four bytes, big-endian, with the length itself.
    pub const DEFAULT: Self = Self { size: 4, little_endian: false, adjustment: 0 };

    /// Returns the field of this size in bytes, or None unless it is 1, 2, 3, 4 or 8.
    #[must_use]
    pub fn new(size: u8, little_endian: bool, adjustment: i64) -> Option<Self> {
        matches!(size, 1..=4 | 8).then_some(Self { size, little_endian, adjustment })
    }

    /// Returns its size in bytes.
    pub(crate) fn size(self) -> usize {
        usize::from(self.size)
    }

    /// Returns the length of the payload that a field announces, which may be negative.
    pub(crate) fn length_in(self, field: &[u8]) -> i128 {
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        let value = if self.little_endian {
            field.iter().rev().fold(0, fold)
        } else {
            field.iter().fold(0, fold)
        };
        i128::from(value) + i128::from(self.adjustment)
    }

    /// Returns the field that announces a payload of this length, in the first bytes of the array; None
    /// if no value does.
    pub(crate) fn of(self, length: usize) -> Option<[u8; 8]> {
        let value = i128::try_from(length).ok()? - i128::from(self.adjustment);
        let value = u64::try_from(value).ok()?;
        let unused = 8 * (8 - u32::from(self.size));
        if value.leading_zeros() < unused {
            return None;
        }
        Some(if self.little_endian { value.to_le_bytes() } else { (value << unused).to_be_bytes() })
    }
}
