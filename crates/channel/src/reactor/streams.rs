//! The calls that concern streams.

use std::rc::Rc;

use fdwire_socket::{Errno, Stream};
use fdwire_wire::codec::Unframeable;

use super::{Entry, Reactor};
use crate::channel::Channel;
use crate::limits::Limits;
use crate::send::{SendError, Sent};
use crate::stream::{Framing, Link, StreamTransport};

impl Reactor {
    /// Adds a stream, and polls it for its end, or first for its connection if `connecting`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENOSPC` of epoll_ctl, with the stream.
    pub fn add_stream(
        &mut self,
        socket: Stream,
        connecting: bool,
        framing: Framing,
        limits: Limits,
    ) -> Result<usize, (Errno, Stream)> {
        let index = self.insert_stream(Link::Socket(socket), connecting, framing, limits);
        let Err(errno) = self.try_arm(index) else { return Ok(index) };
        let socket = self.remove(index).and_then(Channel::into_stream);
        socket.map_or(Ok(index), |socket| Err((errno, socket)))
    }

    /// Adds a connected stream. Until it has read interest, it is polled only after the next
    /// [`flush`](Self::flush) or turn, which must precede the next wait.
    pub fn add_connected(&mut self, socket: Stream, framing: Framing, limits: Limits) -> usize {
        let index = self.insert_stream(Link::Socket(socket), false, framing, limits);
        self.unarmed.push(index);
        index
    }

    /// Adds a stream without a socket. The caller transfers its bytes with [`feed`](Self::feed) and
    /// [`fetch`](Self::fetch).
    pub fn add_external(&mut self, framing: Framing, limits: Limits) -> usize {
        self.insert_stream(Link::EXTERNAL, false, framing, limits)
    }

    /// Sends a text that `write` appends directly to the outbox of a stream.
    ///
    /// `write` gets memory with a number of bytes to append before the text, and with room for
    /// [`DIRECT`](crate::DIRECT) bytes after these. It appends both and returns the length of the
    /// text, or changes nothing and returns None. In the latter case, and if the channel is not a
    /// stream or has no room, the result is None.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
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

    /// Checks that the protocol of a stream can carry a payload.
    ///
    /// # Errors
    ///
    /// [`Unframeable`] if it cannot.
    pub fn check_frame(&mut self, index: usize, payload: &[u8]) -> Result<(), Unframeable> {
        self.stream_mut(index).map_or(Ok(()), |stream| stream.check_frame(payload))
    }

    /// Queues small messages of a stream, until one fails. Each is a payload and whether it is text.
    /// [`flush`](Self::flush) sends them.
    ///
    /// The caller counts the bytes, and stays within [`Channel::room`].
    ///
    /// # Errors
    ///
    /// [`SendError`] if a message was not accepted. Neither it nor those after it are queued then.
    pub fn gather<'a>(
        &mut self,
        index: usize,
        messages: impl Iterator<Item = (&'a [u8], bool)>,
    ) -> Result<(), SendError> {
        let channel = self.channel_mut(index).ok_or(SendError::Refused(Errno::BADF))?;
        let (queued, unlisted) = channel.gather(messages);
        if unlisted {
            self.unflushed.push(index);
        }
        queued
    }

    /// Sends the queued frames of all streams, and polls new connections. Returns whether any stream
    /// still has queued frames.
    pub fn flush(&mut self) -> bool {
        self.arm_new();
        while let Some(index) = self.unflushed.pop() {
            self.flush_one(index);
        }
        while let Some(&index) = self.backlog.last() {
            if let Some(stream) = self.stream_mut(index) {
                if !stream.outbox.is_empty() {
                    return true;
                }
                stream.backlog_listed = false;
            }
            self.backlog.pop();
        }
        false
    }

    /// Sends the queued frames of one stream.
    pub fn flush_one(&mut self, index: usize) {
        let Some(stream) = self.stream_mut(index) else { return };
        if stream.outbox.is_empty() {
            stream.flush_listed = false;
            return;
        }
        self.update_stream(index, StreamTransport::flush);
        if self.stream_mut(index).is_some_and(StreamTransport::list_for_backlog) {
            self.backlog.push(index);
        }
        self.poll_for_reply(index);
    }

    /// Half-closes a stream or seqpacket socket as soon as its queue is empty.
    pub fn finish(&mut self, index: usize) {
        self.update(index, Channel::finish);
    }

    /// Discards the input of a connection from now on, while its queue is still sent. If both ends
    /// close and neither reads, neither can send its queue.
    ///
    /// Packets are still reported, because each is read whole anyway.
    pub fn discard_input(&mut self, index: usize) {
        if self.stream_mut(index).is_some() {
            self.update_stream(index, StreamTransport::discard);
        } else {
            self.set_reading(index, true);
        }
    }

    /// Prepares to close a connection. Closing a socket with unread input would reset the
    /// connection, and the peer would lose what it has not read.
    ///
    /// A Unix socket, and any socket whose peer has ended, discards its unread input. A TCP socket
    /// half-closes and discards all input until an event reports the peer's end: then this returns
    /// true.
    pub fn shut_down(&mut self, index: usize, peer_ended: bool) -> bool {
        let Some(Entry::Channel(channel)) = self.entries.get_mut(index) else { return false };
        if peer_ended || !channel.stream_socket().is_some_and(Stream::is_tcp) {
            channel.discard_now(&mut self.shared);
            return false;
        }
        self.finish(index);
        self.update_stream(index, StreamTransport::discard);
        true
    }

    /// Adds input to a stream. None ends the input of a stream without a socket.
    pub fn feed(&mut self, index: usize, bytes: Option<&[u8]>) {
        let Some(channel) = self.channel_mut(index) else { return };
        if let Some(stream) = channel.as_stream_mut() {
            stream.feed(bytes);
        }
        if channel.is_due() {
            self.due.push(index);
        }
    }

    /// Returns the bytes that a stream without a socket has to send. They count as queued until
    /// [`settle_fetched`](Self::settle_fetched).
    pub fn fetch(&mut self, index: usize) -> Vec<u8> {
        let Some(stream) = self.stream_mut(index) else { return Vec::new() };
        stream.flush_listed = false;
        stream.outbox.fetch()
    }

    /// Records that `bytes` of the fetched bytes were sent.
    pub fn settle_fetched(&mut self, index: usize, bytes: usize) {
        if let Some(stream) = self.stream_mut(index) {
            stream.outbox.settle_fetched(bytes);
            self.due.push(index);
        }
    }

    pub(super) fn insert_stream(
        &mut self,
        link: Link,
        connecting: bool,
        framing: Framing,
        limits: Limits,
    ) -> usize {
        self.insert(Channel::stream(link, connecting, framing, limits, Rc::clone(&self.pool)))
    }

    fn stream_mut(&mut self, index: usize) -> Option<&mut StreamTransport> {
        self.channel_mut(index)?.as_stream_mut()
    }

    fn update_stream(&mut self, index: usize, change: impl FnOnce(&mut StreamTransport)) {
        self.update(index, |channel| {
            if let Some(stream) = channel.as_stream_mut() {
                change(stream);
            }
        });
    }
}
