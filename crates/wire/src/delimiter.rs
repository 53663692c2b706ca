//! The bytes that end a message.

use memchr::{memchr, memmem};

/// A delimiter of 1 to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiter {
    bytes: [u8; MAX],
    len: u8,
}

impl Delimiter {
    /// A line feed, the default.
    pub const LINE_FEED: Self = {
        let mut bytes = [0; MAX];
        bytes[0] = b'\n';
        Self { bytes, len: 1 }
    };

    /// Returns a delimiter of these bytes, or None unless they are 1 to 16.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let len = u8::try_from(bytes.len()).ok().filter(|len| *len > 0)?;
        let mut all = [0; MAX];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { bytes: all, len })
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Returns where the first delimiter in `bytes` begins.
    #[inline]
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<usize> {
        match *self.as_bytes() {
            [byte] => memchr(byte, bytes),
            ref several => memmem::find(bytes, several),
        }
    }

    /// Returns how many bytes at the end of `bytes`, which contain no delimiter, may be the start of
    /// one: the most that equal its first bytes.
    pub(crate) fn begun(&self, bytes: &[u8]) -> usize {
        let delimiter = self.as_bytes();
        let is_begun = |&len: &usize| bytes.ends_with(&delimiter[..len]);
        (1..delimiter.len()).rev().find(is_begun).unwrap_or(0)
    }

    /// Returns whether a delimiter begins in `payload` when a delimiter follows it.
    ///
    /// It may lie within the payload, or end in the delimiter that follows: `a` and `aa`.
    pub(crate) fn begins_in(&self, payload: &[u8]) -> bool {
        let delimiter = self.as_bytes();
        let overlaps = |len: usize| {
            payload.ends_with(&delimiter[..len]) && delimiter.starts_with(&delimiter[len..])
        };
        self.find(payload).is_some() || (1..delimiter.len()).any(overlaps)
    }
}

/// Length in bytes of the longest delimiter.
const MAX: usize = 16;
