//! content_length: a block of header lines, one of which has the payload's length, then the payload.
//!
//! ```text
//!  ┌────────────────────────────┬───────────┬───────────────────────────────┐
//!  │ Content-Length: 11\r\n     │ \r\n      │ 48 65 6c 6c 6f 20 57 6f …     │
//!  │ other lines, in any order  │ end of    │ length bytes                  │
//!  │ Name: value\r\n            │ the block │                               │
//!  └────────────────────────────┴───────────┴───────────────────────────────┘
//!    at most 8 KiB
//! ```
//!
//! The base protocol of the Language Server Protocol and the Debug Adapter Protocol. Names are not
//! case-sensitive, and lines with other names are ignored. The codec accepts what HTTP (RFC 9112)
//! calls a field line, without line folding. After an invalid block it cannot tell where the next
//! frame starts, so decoding stops.

use memchr::memchr;

use crate::contract::{
    Frame, Head, Lost, Options, Step, StreamCodec, Unframeable, checked_length,
    length_prefixed_step,
};
use crate::decimal;

/// The codec of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    max_message: usize,
    text: bool,
    block: Block,
}

/// What is known about the block of header lines at the start of the input.
#[derive(Clone, Debug, Default)]
struct Block {
    /// Number of bytes of the lines that have been parsed.
    parsed: u16,
    /// Number of bytes that have been searched for the end of a line.
    searched: u16,
    /// The length of the payload, if a line has announced it.
    length: Option<usize>,
    /// Whether the whole block has been parsed.
    complete: bool,
}

impl StreamCodec for Codec {
    fn new(Options { max_message, text, .. }: Options) -> Self {
        Self { max_message, text, block: Block::default() }
    }

    fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        while !self.block.complete {
            if !self.parse_line(input)? {
                return Ok(Step::Incomplete { frame: SHORTEST_FRAME.max(input.len() + 1) });
            }
        }
        let length = self.block.length.ok_or(Lost::BadHeader)?;
        let step = length_prefixed_step(input, self.block.parsed.into(), length, self.text);
        if !matches!(step, Step::Incomplete { .. }) {
            self.block = Block::default();
        }
        Ok(step)
    }

    fn frame(&self, payload: &[u8], _text: bool) -> Result<Frame<'_>, Unframeable> {
        let mut head = Head::EMPTY;
        head.extend(HEADER_START);
        decimal::append::<MAX_DIGITS>(payload.len(), &mut head)?;
        head.extend(HEADER_END);
        Ok(Frame::Around { head, tail: b"" })
    }
}

impl Codec {
    /// Parses the next line of the block. Returns false if it is incomplete.
    fn parse_line(&mut self, input: &[u8]) -> Result<bool, Lost> {
        let input = &input[..input.len().min(MAX_BLOCK)];
        let (parsed, searched) = (usize::from(self.block.parsed), usize::from(self.block.searched));
        let Some(at) = memchr(b'\n', &input[searched..]) else {
            self.block.searched = in_block(input.len());
            let is_valid = is_start_of_line(&input[parsed..], searched - parsed);
            return if is_valid && input.len() < MAX_BLOCK {
                Ok(false)
            } else {
                Err(Lost::BadHeader)
            };
        };
        let end = searched + at + 1;
        let line = input[parsed..end].strip_suffix(b"\r\n").ok_or(Lost::BadHeader)?;
        self.block.parsed = in_block(end);
        self.block.searched = in_block(end);
        if line.is_empty() {
            self.block.complete = true;
        } else if let Some(digits) = length_in(line)? {
            self.announce(digits)?;
        }
        Ok(true)
    }

    /// Stores the length that a line announces.
    fn announce(&mut self, digits: &[u8]) -> Result<(), Lost> {
        if self.block.length.is_some()
            || digits.is_empty()
            || !digits.iter().all(u8::is_ascii_digit)
        {
            return Err(Lost::BadHeader);
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        let significant = &digits[zeros..];
        if significant.len() > decimal::MAX_DIGITS {
            return Err(Lost::TooLarge);
        }
        self.block.length = Some(checked_length(decimal::value(significant), self.max_message)?);
        Ok(())
    }
}

/// Returns a number of bytes of a block, which is at most `MAX_BLOCK`.
fn in_block(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// Returns the value of a line, without its end, if it is the one with the length.
///
/// # Errors
///
/// `BadHeader` for a line that has no name and value.
fn length_in(line: &[u8]) -> Result<Option<&[u8]>, Lost> {
    let colon = memchr(b':', line).ok_or(Lost::BadHeader)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_valid = !name.is_empty()
        && name.iter().all(|&byte| is_in_name(byte))
        && value.iter().all(is_in_value);
    if !is_valid {
        return Err(Lost::BadHeader);
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    Ok(name.eq_ignore_ascii_case(NAME).then_some(&value[start..end]))
}

/// Returns whether a line may begin with these bytes. The first `checked` of them were valid before.
///
/// So bytes of another protocol are refused when they arrive, although they contain no line feed.
fn is_start_of_line(start: &[u8], checked: usize) -> bool {
    let has_valid_start = start.first().is_none_or(|&byte| byte == b'\r' || is_in_name(byte));
    let unchecked = start.get(checked.saturating_sub(1)..).unwrap_or_default();
    let unchecked = unchecked.strip_suffix(b"\r").unwrap_or(unchecked);
    has_valid_start && unchecked.iter().all(is_in_value)
}

/// Returns whether a name may contain a byte: the `token` of RFC 9110.
fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns whether a value may contain a byte: all but control characters.
fn is_in_value(byte: &u8) -> bool {
    *byte == b'\t' || !byte.is_ascii_control()
}

const NAME: &[u8] = b"Content-Length";
const HEADER_START: &[u8] = b"Content-Length: ";
const HEADER_END: &[u8] = b"\r\n\r\n";
/// The most digits of a length that fit in a [`Head`] with the rest of the block: 1 TB less a byte.
const MAX_DIGITS: usize = 12;
/// Length in bytes of the longest block.
const MAX_BLOCK: usize = 8 * 1024;
/// Length in bytes of the frame of an empty payload without blanks: `Content-Length:0\r\n\r\n`.
const SHORTEST_FRAME: usize = 20;
