//! What a reactor does with streams beside what it does with every channel.

use std::rc::Rc;

use fdwire_socket::{Errno, Stream};
use fdwire_wire::codec::Unframeable;

use super::{Entry, Reactor};
use crate::channel::Channel;
use crate::limits::Limits;
use crate::send::{SendError, Sent};
use crate::stream::Framing;

impl Reactor {
    /// Takes a stream in, and watches for its end; `connecting`: for its beginning.
    ///
    /// # Errors
    ///
    /// When the kernel can't poll one more descriptor; the stream is given back.
    pub fn add_stream(
        &mut self,
        socket: Stream,
        connecting: bool,
        framing: Framing,
        limits: Limits,
    ) -> Result<usize, (Errno, Stream)> {
        let index = self.insert_stream(Some(socket), connecting, framing, limits);
        let Err(errno) = self.arm(index) else { return Ok(index) };
        let socket = self.remove(index).and_then(Channel::into_stream);
        socket.map_or(Ok(index), |socket| Err((errno, socket)))
    }

    /// Takes in a stream without a socket, whose bytes come and go by [`feed`](Self::feed) and
    /// [`fetch`](Self::fetch).
    pub fn add_carried(&mut self, framing: Framing, limits: Limits) -> usize {
        self.insert_stream(None, false, framing, limits)
    }

    /// Sends a text to the peer of a stream that `write` writes where it is sent from.
    ///
    /// It gets memory with room for [`DIRECT`](crate::DIRECT) bytes more, and how many bytes of that to
    /// leave free before the text; it appends them all and says how long the text is, or leaves the
    /// memory as it is and gives None. None comes back then, and where the channel is no stream or has
    /// no room.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_written(
        &mut self,
        index: usize,
        write: impl FnOnce(&mut Vec<u8>, usize) -> Option<usize>,
    ) -> Option<Result<Sent, SendError>> {
        let Some(Entry::Channel(channel)) = self.entries.get_mut(index) else { return None };
        let (sent, unlisted) = match channel.send_written(write)? {
            Ok(done) => done,
            Err(error) => return Some(Err(error)),
        };
        self.after_send(index, sent, unlisted);
        Some(Ok(sent))
    }

    /// Whether the protocol of a stream can carry a payload.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check_frame(&mut self, index: usize, payload: &[u8]) -> Result<(), Unframeable> {
        let Some(channel) = self.channel_mut(index) else { return Ok(()) };
        channel.with_stream(|stream, _| stream.check_frame(payload)).unwrap_or(Ok(()))
    }

    /// Sends what streams have gathered.
    pub fn flush(&mut self) {
        while let Some(index) = self.unflushed.pop() {
            self.flush_one(index);
        }
    }

    /// Sends what one stream has gathered.
    pub fn flush_one(&mut self, index: usize) {
        // Where the poller fails nothing is lost: the next flush tries again.
        let _ = self.with(index, |channel| {
            channel.with_stream(|stream, _| stream.flush());
        });
    }

    /// Shuts down the sending side of a stream or seqpacket socket as soon as all is sent.
    pub fn finish(&mut self, index: usize) {
        let _ = self.with(index, Channel::finish);
    }

    /// Drops what a stream brings from now on; an event tells of its end.
    ///
    /// # Errors
    ///
    /// When the kernel can't poll one more descriptor.
    pub fn discard(&mut self, index: usize) -> Result<(), Errno> {
        self.with(index, |channel| {
            channel.with_stream(|stream, _| stream.discard());
        })
    }

    /// Drops what the peer of a connection has sent so far.
    pub fn discard_now(&mut self, index: usize) {
        if let Some(Entry::Channel(channel)) = self.entries.get_mut(index) {
            channel.discard_now(&mut self.shared);
        }
    }

    /// Takes in bytes of a stream without a socket; None: its end.
    pub fn feed(&mut self, index: usize, bytes: Option<&[u8]>) {
        if let Some(channel) = self.channel_mut(index) {
            channel.with_stream(|stream, _| stream.feed(bytes));
            if channel.is_due() {
                self.due.push(index);
            }
        }
    }

    /// Takes what a stream without a socket has to send.
    pub fn fetch(&mut self, index: usize) -> Vec<u8> {
        let fetched = self.channel_mut(index).and_then(|channel| {
            channel.with_stream(|stream, _| {
                stream.listed = false;
                stream.outbox.fetch()
            })
        });
        fetched.unwrap_or_default()
    }

    /// So many bytes of those that were fetched have been taken.
    pub fn settle_fetched(&mut self, index: usize, bytes: usize) {
        if let Some(channel) = self.channel_mut(index) {
            channel.with_stream(|stream, _| stream.outbox.settle_fetched(bytes));
            self.due.push(index);
        }
    }

    pub(super) fn insert_stream(
        &mut self,
        socket: Option<Stream>,
        connecting: bool,
        framing: Framing,
        limits: Limits,
    ) -> usize {
        self.add(Channel::stream(socket, connecting, framing, limits, Rc::clone(&self.spare)))
    }
}
