//! Texts that the caller writes directly into a segment.

use fdwire_wire::codec::{Codec, Frame};

use super::Outbox;
use crate::limits::Limits;
use crate::send::{SendError, Sent};
use crate::stream::link::Link;

/// Maximum length in bytes of a text for which [`begin_text`](Outbox::begin_text) has room.
pub const DIRECT: usize = 4 * 1024;

impl Outbox {
    /// Returns memory to which the caller appends [`headroom`](Self::headroom) bytes and a text of
    /// up to [`DIRECT`] bytes. [`finish_text`](Self::finish_text) then frames the text.
    ///
    /// Writing a text elsewhere and copying it costs more: V8 writes in small pieces and a copy
    /// reads in large ones, so the processor must wait for its own stores.
    pub(crate) fn begin_text(&mut self, limits: &Limits) -> Option<&mut Vec<u8>> {
        if self.bytes + DIRECT > limits.max_queued {
            return None;
        }
        let room = self.headroom() + DIRECT;
        let last = self.open_segment()?;
        last.bytes.reserve(room);
        Some(&mut last.bytes)
    }

    /// Returns the number of bytes to reserve for the head of a frame.
    pub(crate) fn headroom(&self) -> usize {
        usize::from(self.headroom)
    }

    /// Frames the payload that follows the headroom at `start` in the memory that `begin_text`
    /// returned.
    pub(crate) fn finish_text(
        &mut self,
        link: &Link,
        codec: &Codec,
        limits: &Limits,
        start: usize,
        text: bool,
    ) -> Result<Sent, SendError> {
        let headroom = self.headroom();
        let Some(last) = self.queue.back_mut() else { return Ok(Sent::Now) };
        let (head, tail) = match codec.frame(&last.bytes[start + headroom..], text) {
            Ok(Frame::Around { head, tail }) => (head, tail),
            Ok(Frame::Transformed) => {
                let payload = last.bytes.split_off(start + headroom);
                last.bytes.truncate(start);
                self.append(codec, &payload, text)?;
                return Ok(self.after_send(link, limits));
            }
            Err(why) => {
                last.bytes.truncate(start);
                return Err(SendError::Unframeable(why));
            }
        };
        let head = head.as_bytes();
        if head.len() == headroom {
            last.bytes[start..start + headroom].copy_from_slice(head);
        } else {
            last.bytes.splice(start..start + headroom, head.iter().copied());
            self.headroom = u8::try_from(head.len()).unwrap_or(0);
        }
        last.bytes.extend_from_slice(tail);
        last.messages += 1;
        self.bytes += last.bytes.len() - start;
        self.note_frame();
        Ok(self.after_send(link, limits))
    }
}
