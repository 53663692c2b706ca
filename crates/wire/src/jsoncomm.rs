//! jsoncomm: one datagram, or one seqpacket record, is one JSON text.
//!
//! ```text
//!  datagram  ┌──────────────────────────────────────────────┐   control message, not seen here
//!            │ 7b 22 66 64 22 3a 20 30 7d                   │   ┌────────────────────────────┐
//!            │ {  "  f  d  "  :     0  }                    │ + │ SCM_RIGHTS: fd 0, fd 1 …   │
//!            └──────────────────────────────────────────────┘   └────────────────────────────┘
//!              no header, no length, no terminator: the kernel keeps the border of the message
//! ```
//!
//! The original (osbuild's Python) sends ASCII with `\u` escapes; fdwire sends what
//! `JSON.stringify` gives, in UTF-8. Both are valid for both. What is taken is narrower than what
//! Python's `json.loads` takes: no UTF-16 or UTF-32, no byte order mark, no bare `NaN` or
//! `Infinity`. The first is refused here, the others by `JSON.parse`, which reads the text anyway.

use crate::{Malformed, Text};

/// What stands in a datagram or record whose text is in a file: its descriptor is the first of those
/// beside it. It is no JSON, so no message is taken for it.
///
/// The original sends so what is larger than `net.core.wmem_max`, and takes it at any size.
pub const MARKER: &[u8] = b"<args-via-fd>";

/// Checks what can be checked of a datagram without parsing it.
///
/// # Errors
/// [`Malformed::Empty`] for a datagram of no bytes, [`Malformed::NotUtf8`] for one that isn't UTF-8.
/// A datagram that is UTF-8 and no JSON passes.
pub fn decode(datagram: &[u8]) -> Result<Text, Malformed> {
    if datagram.is_empty() {
        return Err(Malformed::Empty);
    }
    Text::of(datagram).ok_or(Malformed::NotUtf8)
}
