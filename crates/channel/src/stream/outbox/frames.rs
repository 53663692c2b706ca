//! Where the frames in the queue end, for a channel that keeps its queue when its connection is lost.

use std::collections::VecDeque;

use super::{Outbox, Wait};

/// The ends of the queued frames, as positions in the stream.
#[derive(Default)]
pub(super) struct Frames {
    ends: VecDeque<u64>,
    /// Where the first queued frame begins.
    start: u64,
    /// Whether the owner of the channel has ended the sending direction.
    finishes: bool,
}

impl Outbox {
    /// Notes the ends of frames from now on.
    pub(crate) fn track_frames(&mut self) {
        let start = self.taken + self.bytes as u64;
        self.frames = Some(Box::new(Frames { start, ..Frames::default() }));
    }

    /// Notes that the owner of the channel has ended the sending direction.
    pub(crate) fn note_finish(&mut self) {
        if let Some(frames) = &mut self.frames {
            frames.finishes = true;
        }
    }

    /// Returns whether the owner of the channel has ended the sending direction.
    pub(crate) fn finishes(&self) -> bool {
        self.frames.as_ref().is_some_and(|frames| frames.finishes)
    }

    /// Notes that a frame ends at the end of the queue.
    #[inline]
    pub(super) fn note_frame(&mut self) {
        if let Some(frames) = &mut self.frames {
            frames.ends.push_back(self.taken + self.bytes as u64);
            if self.bytes == 0 {
                self.forget_sent_frames();
            }
        }
    }

    /// Drops all frames. With `keep` they stay, except one that was sent in part. Returns the
    /// sequence numbers of the dropped messages: the positions of their last bytes.
    pub(crate) fn disconnect(&mut self, keep: bool) -> Vec<u64> {
        (self.wait, self.pause_ms, self.raised) = (Wait::Nothing, 0, false);
        self.forget_sent_frames();
        let Some(frames) = &mut self.frames else { return Vec::new() };
        let partly_sent = frames.start < self.taken && !frames.ends.is_empty();
        let count = if keep { usize::from(partly_sent) } else { frames.ends.len() };
        let dropped: Vec<u64> = frames.ends.drain(..count).collect();
        if let Some(&end) = dropped.last() {
            frames.start = end;
            let bytes = usize::try_from(end - self.taken).unwrap_or(self.bytes);
            self.settle(bytes.min(self.bytes));
        }
        dropped
    }

    /// Forgets the frames that were sent completely.
    pub(super) fn forget_sent_frames(&mut self) {
        let Some(frames) = &mut self.frames else { return };
        while let Some(&end) = frames.ends.front()
            && end <= self.taken
        {
            frames.start = end;
            frames.ends.pop_front();
        }
    }
}
