//! msg_channel: a header line with the payload's length in decimal digits, then the payload.
//!
//! ```text
//!  ┌───────┬─────────────┬───────┬───────┬──────────────────────────────┐
//!  │ 0d 0a │ 4d 53 47 20 │ 31 31 │ 0d 0a │ 48 65 6c 6c 6f 20 57 6f …    │
//!  │ \r \n │ M  S  G  SP │ 1  1  │ \r \n │ as many bytes as that says   │
//!  └───────┴─────────────┴───────┴───────┴──────────────────────────────┘
//!                          1 to 10 digits
//! ```
//!
//! The original takes more than it sends: any two bytes in front, a bare line feed, blanks, a sign.
//! Here a byte that is none of the header's is the end: nothing behind it can be trusted.

use crate::codec::{End, Frame, Head, Lost, Options, Step, Unframeable, announced, cut};

/// The decoder of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    options: Options,
}

impl Codec {
    pub(crate) fn new(options: Options) -> Self {
        Self { options }
    }

    #[inline]
    pub(crate) fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        let Some((header, length)) = self.header(input)? else {
            return Ok(Step::Incomplete { frame: SHORTEST.max(input.len() + 1) });
        };
        Ok(announced(input, header, length, self.options.text))
    }

    pub(crate) fn end(&mut self, rest: &mut [u8]) -> End {
        cut(self.decode(rest), rest.len())
    }

    /// The lengths of the header and of what it announces; None where it isn't whole.
    fn header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, Lost> {
        let known = input.len().min(BEGIN.len());
        if input[..known] != BEGIN[..known] {
            return Err(Lost::BadHeader);
        }
        let digits = &input[known..];
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count > DIGITS_MAX {
            return Err(Lost::BadHeader);
        }
        let behind = &digits[count..];
        if behind.is_empty() {
            return Ok(None);
        }
        let known = behind.len().min(END.len());
        if count == 0 || behind[..known] != END[..known] {
            return Err(Lost::BadHeader);
        }
        if known < END.len() {
            return Ok(None);
        }
        let value = digits[..count].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        match usize::try_from(value) {
            Ok(length) if length <= self.options.max_message => {
                Ok(Some((BEGIN.len() + count + END.len(), length)))
            }
            _ => Err(Lost::TooLarge),
        }
    }
}

#[inline]
pub(crate) fn frame(length: usize) -> Result<Frame, Unframeable> {
    let mut digits = [0; DIGITS_MAX];
    let (mut rest, mut first) = (length, DIGITS_MAX);
    while first > 0 && (rest > 0 || first == DIGITS_MAX) {
        first -= 1;
        digits[first] = b"0123456789"[rest % 10];
        rest /= 10;
    }
    if rest > 0 {
        return Err(Unframeable::TooLong);
    }
    let mut head = Head::EMPTY;
    head.extend(BEGIN);
    head.extend(&digits[first..]);
    head.extend(END);
    Ok(Frame::Around { head, tail: b"" })
}

const BEGIN: &[u8] = b"\r\nMSG ";
const END: &[u8] = b"\r\n";
const DIGITS_MAX: usize = 10;
/// The shortest frame: that of no byte.
const SHORTEST: usize = 9;
