//! socket_protocol: a body between `:<` and `:>`, in which each `:` is escaped as `:=`.
//!
//! ```text
//!  ┌───────┬──────────────────────────────────────┬───────┐
//!  │ 3a 3c │ 7b 22 73 74 61 74 75 73 22 3a 3d 30 …│ 3a 3e │
//!  │ : <   │ {  "  s  t  a  t  u  s  "  :  =  0   │ : >   │
//!  └───────┴──────────────────────────────────────┴───────┘
//!            the body; each 3a is sent as 3a 3d
//! ```
//!
//! This framing is `stp` from the Python package stringtools, by the original's author, with the
//! same constants. Its behaviour for a `:` followed by none of `<`, `=`, `>` is not documented.
//! This codec drops such a frame as malformed. The next frame starts at the next `:<`, which may be
//! the invalid bytes themselves. Bytes between frames are noise.
//!
//! A datagram or a seqpacket record is the body alone. The codec treats bodies as bytes; [`body`]
//! defines their layout.

use alloc::vec::Vec;

use memchr::{memchr, memmem};

use crate::contract::{
    End, Frame, Head, Lost, Options, Step, StreamCodec, Unframeable, complete_step,
};
use crate::payload::Malformed;

pub mod body;

/// The codec of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    max_message: usize,
    text: bool,
    /// Number of bytes of the current frame that have been scanned; 0 outside a frame.
    scanned: usize,
    /// Number of escape sequences in the scanned bytes.
    escapes: usize,
}

impl StreamCodec for Codec {
    fn new(Options { max_message, text, .. }: Options) -> Self {
        Self { max_message, text, scanned: 0, escapes: 0 }
    }

    fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        if self.scanned == 0 {
            if !input.starts_with(&START) {
                return Ok(outside_frame(input));
            }
            self.scanned = START.len();
        }
        loop {
            let colon = memchr(COLON, &input[self.scanned..]);
            let end = colon.map_or(input.len(), |at| self.scanned + at);
            self.scanned = end;
            self.check_limit(end)?;
            match (colon, input.get(end + 1)) {
                (None, _) | (_, None) => {
                    return Ok(Step::Incomplete { frame: end + END.len() });
                }
                (_, Some(&ESCAPED)) => {
                    self.scanned += 2;
                    self.escapes += 1;
                    self.check_limit(self.scanned)?;
                }
                (_, Some(&CLOSE)) => return Ok(self.message(input, end)),
                (_, Some(next)) => {
                    self.reset();
                    // The invalid bytes may start the next frame: `:<` does, and the second byte of
                    // `::` may.
                    let consumed = match *next {
                        OPEN => end,
                        COLON => end + 1,
                        _ => end + 2,
                    };
                    return Ok(Step::Malformed { consumed, why: Malformed::BadEscape });
                }
            }
        }
    }

    fn end(&mut self, rest: &mut [u8]) -> End {
        match self.decode(rest) {
            Ok(Step::Incomplete { frame }) if self.scanned > 0 => {
                End::Cut { missing: frame - rest.len() }
            }
            _ => End::Clean,
        }
    }

    fn frame(&self, body: &[u8], _text: bool) -> Result<Frame<'_>, Unframeable> {
        if memchr(COLON, body).is_some() {
            return Ok(Frame::Transformed);
        }
        let mut head = Head::EMPTY;
        head.extend(&START);
        Ok(Frame::Around { head, tail: &END })
    }

    fn encode_transformed(&self, body: &[u8], out: &mut Vec<u8>) {
        let escapes = body.iter().filter(|byte| **byte == COLON).count();
        out.reserve(START.len() + body.len() + escapes + END.len());
        out.extend_from_slice(&START);
        for part in body.split_inclusive(|byte| *byte == COLON) {
            out.extend_from_slice(part);
            if part.last() == Some(&COLON) {
                out.push(ESCAPED);
            }
        }
        out.extend_from_slice(&END);
    }
}

impl Codec {
    /// Checks the length of the part of the body that ends at `end`, without its escapes.
    fn check_limit(&self, end: usize) -> Result<(), Lost> {
        let body = end - START.len() - self.escapes;
        if body > self.max_message { Err(Lost::TooLarge) } else { Ok(()) }
    }

    /// Unescapes the body that ends at `end`, and returns it as a message.
    fn message(&mut self, input: &mut [u8], end: usize) -> Step {
        let (escapes, consumed) = (self.escapes, end + END.len());
        self.reset();
        if escapes > 0 {
            unescape(&mut input[START.len()..end]);
        }
        let body = &input[START.len()..end - escapes];
        complete_step(body, START.len(), consumed, self.text)
    }

    fn reset(&mut self) {
        self.scanned = 0;
        self.escapes = 0;
    }
}

/// Returns the step for input that does not start with `:<`: noise up to the next `:<`, or up to a
/// final `:`, which may be the first half of one.
fn outside_frame(input: &[u8]) -> Step {
    let start = memmem::find(input, &START);
    let half_start = usize::from(input.last() == Some(&COLON));
    match start.unwrap_or(input.len() - half_start) {
        0 => Step::Incomplete { frame: START.len() + END.len() },
        consumed => Step::Noise { consumed },
    }
}

/// Removes the second byte of each escape sequence, and moves the bytes after it up.
fn unescape(body: &mut [u8]) {
    let (mut from, mut to) = (0, 0);
    while let Some(colon) = memchr(COLON, &body[from..]) {
        let next = from + colon + 1;
        body.copy_within(from..next, to);
        to += next - from;
        from = next + 1;
    }
    body.copy_within(from.., to);
}

const COLON: u8 = b':';
const OPEN: u8 = b'<';
const CLOSE: u8 = b'>';
const ESCAPED: u8 = b'=';
const START: [u8; 2] = [COLON, OPEN];
const END: [u8; 2] = [COLON, CLOSE];
