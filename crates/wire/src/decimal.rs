//! Lengths in decimal digits.

use crate::contract::{Head, Unframeable};

/// Returns the value of at most [`MAX_DIGITS`] ASCII digits.
#[inline]
pub(crate) fn value(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}

/// Appends the digits of a number to a head.
///
/// # Errors
///
/// [`Unframeable::TooLong`] for a number of more than `DIGITS` digits.
#[inline]
pub(crate) fn append<const DIGITS: usize>(
    number: usize,
    head: &mut Head,
) -> Result<(), Unframeable> {
    let mut digits = [0; DIGITS];
    let (mut rest, mut first) = (number, DIGITS);
    while first > 0 && (rest > 0 || first == DIGITS) {
        first -= 1;
        digits[first] = b"0123456789"[rest % 10];
        rest /= 10;
    }
    if rest > 0 {
        return Err(Unframeable::TooLong);
    }
    head.extend(&digits[first..]);
    Ok(())
}

/// A number of so many digits has at most 64 bits.
pub(crate) const MAX_DIGITS: usize = 19;
