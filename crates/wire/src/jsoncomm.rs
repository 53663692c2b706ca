//! jsoncomm: one JSON text per datagram or seqpacket record.
//!
//! ```text
//!  datagram  ┌──────────────────────────────────────────────┐   control message, not handled here
//!            │ 7b 22 66 64 22 3a 20 30 7d                   │   ┌────────────────────────────┐
//!            │ {  "  f  d  "  :     0  }                    │ + │ SCM_RIGHTS: fd 0, fd 1 …   │
//!            └──────────────────────────────────────────────┘   └────────────────────────────┘
//!              no header, no length, no terminator: the kernel preserves message boundaries
//! ```
//!
//! The original (osbuild's Python) sends ASCII with `\u` escapes; fdwire sends the output of
//! `JSON.stringify` in UTF-8. Each accepts the other's form. fdwire accepts less than Python's
//! `json.loads`: no UTF-16 or UTF-32, no byte order mark, no bare `NaN` or `Infinity`. [`decode`]
//! rejects other encodings than UTF-8; `JSON.parse`, which parses the text anyway, rejects the
//! rest.

use crate::payload::{Malformed, Text};

/// Contents of a datagram or record whose JSON text is in a file, to which the first descriptor in
/// the control message refers. The marker is not valid JSON, so no message can equal it.
///
/// The original sends a message larger than `net.core.wmem_max` this way, and receives one of any
/// size.
pub const MARKER: &[u8] = b"<args-via-fd>";

/// Checks a datagram without parsing it, so a text that is not JSON passes.
///
/// # Errors
///
/// [`Malformed::Empty`] for an empty datagram, [`Malformed::NotUtf8`] for one that is not UTF-8.
pub fn decode(datagram: &[u8]) -> Result<Text, Malformed> {
    if datagram.is_empty() {
        return Err(Malformed::Empty);
    }
    Text::of(datagram).ok_or(Malformed::NotUtf8)
}
