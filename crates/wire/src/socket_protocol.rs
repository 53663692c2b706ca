//! socket_protocol: a body between `:<` and `:>`, in which a `:` is escaped as `:=`.
//!
//! ```text
//!  ┌───────┬──────────────────────────────────────┬───────┐
//!  │ 3a 3c │ 7b 22 73 74 61 74 75 73 22 3a 3d 30 …│ 3a 3e │
//!  │ : <   │ {  "  s  t  a  t  u  s  "  :  =  0   │ : >   │
//!  └───────┴──────────────────────────────────────┴───────┘
//!            the body; each 3a of it travels as 3a 3d
//! ```
//!
//! That is `stp` of the original's author (the Python package stringtools), with its constants. What
//! it does about a `:` that none of `<`, `=`, `>` follows was not to be learned: here the frame is
//! dropped, and the next one begins at the next `:<`, which may be the very bytes that were wrong.
//! Bytes outside of a frame are noise.
//!
//! A datagram or a seqpacket record is the body alone. What is in a body says [`body`]: to this codec
//! it is bytes.

use alloc::vec::Vec;

use memchr::{memchr, memmem};

use crate::Malformed;
use crate::codec::{End, Frame, Head, Lost, Options, Step, kind_of};

pub mod body;

/// The decoder of one stream.
#[derive(Clone, Debug)]
pub struct Codec {
    options: Options,
    /// How far the frame at the beginning of the input was looked through (bytes); 0: not begun.
    scanned: usize,
    /// The escapes in what was looked through.
    escapes: usize,
}

impl Codec {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, scanned: 0, escapes: 0 }
    }

    pub(crate) fn decode(&mut self, input: &mut [u8]) -> Result<Step, Lost> {
        if self.scanned == 0 {
            if !input.starts_with(&START) {
                return Ok(outside(input));
            }
            self.scanned = START.len();
        }
        loop {
            let colon = memchr(SYNC, &input[self.scanned..]);
            let end = colon.map_or(input.len(), |at| self.scanned + at);
            self.scanned = end;
            self.check(end)?;
            match (colon, input.get(end + 1)) {
                (None, _) => return Ok(Step::Incomplete { frame: end + END.len() }),
                (_, None) => return Ok(Step::Incomplete { frame: end + END.len() }),
                (_, Some(&ESCAPED)) => {
                    self.scanned += 2;
                    self.escapes += 1;
                    self.check(self.scanned)?;
                }
                (_, Some(&CLOSE)) => return Ok(self.message(input, end)),
                (_, Some(next)) => {
                    self.forget();
                    // A `:` may begin the next frame, and `:<` does.
                    let consumed = match *next {
                        OPEN => end,
                        SYNC => end + 1,
                        _ => end + 2,
                    };
                    return Ok(Step::Malformed { consumed, why: Malformed::BadEscape });
                }
            }
        }
    }

    pub(crate) fn end(&mut self, rest: &mut [u8]) -> End {
        match self.decode(rest) {
            Ok(Step::Incomplete { frame }) if self.scanned > 0 => {
                End::Cut { missing: frame - rest.len() }
            }
            _ => End::Clean,
        }
    }

    /// Whether the body can still be as small as it must be, when it was looked through up to `end`.
    fn check(&self, end: usize) -> Result<(), Lost> {
        let body = end - START.len() - self.escapes;
        if body > self.options.max_message { Err(Lost::TooLarge) } else { Ok(()) }
    }

    /// The message whose body ends at `end`, without its escapes.
    fn message(&mut self, input: &mut [u8], end: usize) -> Step {
        let (escapes, consumed) = (self.escapes, end + END.len());
        self.forget();
        let payload = START.len()..end - escapes;
        if escapes > 0 {
            unescape(&mut input[START.len()..end]);
        }
        match kind_of(&input[payload.clone()], self.options.text) {
            Ok(kind) => Step::Message { consumed, payload, kind },
            Err(why) => Step::Malformed { consumed, why },
        }
    }

    fn forget(&mut self) {
        self.scanned = 0;
        self.escapes = 0;
    }
}

/// What stands before a frame: everything that can't be the beginning of one.
fn outside(input: &[u8]) -> Step {
    let start = memmem::find(input, &START);
    let begun = usize::from(input.last() == Some(&SYNC));
    match start.unwrap_or(input.len() - begun) {
        0 => Step::Incomplete { frame: START.len() + END.len() },
        consumed => Step::Noise { consumed },
    }
}

/// Moves the bytes of a body together, over the second byte of each escape.
fn unescape(body: &mut [u8]) {
    let (mut from, mut to) = (0, 0);
    while let Some(colon) = memchr(SYNC, &body[from..]) {
        let next = from + colon + 1;
        body.copy_within(from..next, to);
        to += next - from;
        from = next + 1;
    }
    body.copy_within(from.., to);
}

/// How a body travels: one without a `:` as it is.
pub(crate) fn frame(body: &[u8]) -> Frame {
    if memchr(SYNC, body).is_some() {
        return Frame::Transformed;
    }
    let mut head = Head::EMPTY;
    head.extend(&START);
    Frame::Around { head, tail: &END }
}

/// Appends the frame of a body to `out`.
pub(crate) fn encode(body: &[u8], out: &mut Vec<u8>) {
    let escapes = body.iter().filter(|byte| **byte == SYNC).count();
    out.reserve(START.len() + body.len() + escapes + END.len());
    out.extend_from_slice(&START);
    for part in body.split_inclusive(|byte| *byte == SYNC) {
        out.extend_from_slice(part);
        if part.last() == Some(&SYNC) {
            out.push(ESCAPED);
        }
    }
    out.extend_from_slice(&END);
}

const SYNC: u8 = b':';
const OPEN: u8 = b'<';
const CLOSE: u8 = b'>';
const ESCAPED: u8 = b'=';
const START: [u8; 2] = [SYNC, OPEN];
const END: [u8; 2] = [SYNC, CLOSE];
