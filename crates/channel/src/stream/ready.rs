//! Handles readiness of a stream: its connection, its input, its end, and its errors.

use std::io::IoSliceMut;

use fdwire_socket::Errno;
use fdwire_socket::closing::discard;

use super::{Input, Link, Output, StreamTransport};
use crate::batch::{Batch, Event};
use crate::limits::Meter;
use crate::poll::EventFlags;
use crate::{Shared, Turn};

/// Maximum number of reads of one turn whose bytes are discarded.
const DISCARDS: usize = 16;

/// Size in bytes of a read whose bytes are discarded outside a turn.
const DISCARD: usize = 64 * 1024;

/// Maximum number of turns that read the input of a broken connection without read interest.
const LAST_TURNS: u8 = 64;

impl StreamTransport {
    /// Handles readiness of the socket. `reads`: whether to read messages.
    pub(crate) fn on_ready(
        &mut self,
        flags: EventFlags,
        reads: bool,
        meter: &mut Meter,
        turn: &mut Turn<'_, '_>,
    ) {
        if self.input == Input::Connecting {
            return self.on_connected(flags, turn.batch);
        }
        let results_before = turn.batch.results();
        let was_broken = self.output.is_broken();
        // Input that the peer has sent precedes the error, even without read interest: the owner of
        // the channel stores it.
        let last_turn = self.take_last_turn();
        let reads = reads || last_turn;
        let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if self.input == Input::Discarding {
            self.read_and_discard(turn);
        } else if reads {
            self.read(meter, turn.shared, turn.batch);
        } else if hung_up && !self.inbox.ended() {
            self.on_hang_up(meter, turn.batch);
        }
        let any_read = turn.batch.results() > results_before;
        // A connection that is shut down in both directions may not be writable, but sending to it
        // fails: otherwise epoll would keep reporting the hang-up.
        let fails = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        if flags.contains(EventFlags::OUT) || fails && self.outbox.wants_writable() {
            self.on_writable(meter, turn.batch);
        }
        if let Output::Broken { errno, .. } = self.output
            && (was_broken || reads)
            && (!reads || !any_read || self.inbox.ended())
        {
            self.output = Output::Failed;
            turn.batch.events.push(Event::Failed(errno, "sendmsg"));
        }
    }

    /// Reads messages into `batch`.
    pub(super) fn read(&mut self, meter: &mut Meter, shared: &mut Shared, batch: &mut Batch<'_>) {
        match &self.link {
            Link::Socket(socket) => self.inbox.read(socket, meter, shared, batch),
            Link::External { ended } => {
                self.inbox.decode(meter, batch);
                if *ended && !self.inbox.has_undecoded() && !self.inbox.ended() {
                    self.inbox.end(meter, batch);
                }
            }
            Link::Disconnected => {}
        }
    }

    fn on_connected(&mut self, flags: EventFlags, batch: &mut Batch<'_>) {
        let Some(socket) = self.link.socket() else { return };
        if !flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
            return;
        }
        match socket.take_error().and_then(|()| socket.finish_connect()) {
            Ok(()) => {
                self.input = Input::Open;
                batch.events.push(Event::Connected);
            }
            Err(errno) => batch.events.push(Event::Failed(errno, "connect")),
        }
    }

    /// Handles the end or the failure of the connection without read interest.
    fn on_hang_up(&mut self, meter: &mut Meter, batch: &mut Batch<'_>) {
        let Some(socket) = self.link.socket() else { return };
        // A buffered incomplete message does not delay the end, which cuts it off.
        if !self.inbox.has_undecoded() {
            match socket.at_end() {
                Ok(true) => return self.inbox.end(meter, batch),
                Ok(false) => {}
                Err(errno) => return batch.events.push(Event::Failed(errno, "recvmsg")),
            }
        }
        self.input = Input::EndPending;
    }

    pub(super) fn on_writable(&mut self, meter: &Meter, batch: &mut Batch<'_>) {
        if self.output.is_broken() {
            return;
        }
        if let Link::Socket(socket) = &self.link
            && let Err(errno) = self.outbox.flush(socket)
        {
            self.output = Output::Broken { errno, turns: 0 };
            return;
        }
        self.finish_if_drained();
        self.report_drained(meter, batch);
    }

    /// Returns whether the connection is broken, and one more turn may read its input without read
    /// interest.
    fn take_last_turn(&mut self) -> bool {
        let Output::Broken { turns, .. } = &mut self.output else { return false };
        *turns = turns.saturating_add(1);
        *turns <= LAST_TURNS
    }

    /// Discards unread input, because closing a socket with unread input resets the connection.
    pub(crate) fn discard_now(&self, shared: &mut Shared) {
        let Some(socket) = self.socket() else { return };
        if self.inbox.peer_ended() {
            return;
        }
        for _ in 0..DISCARDS {
            let Shared { control, received, scratch, .. } = &mut *shared;
            let Ok(scratch) = scratch.at_least(DISCARD) else { return };
            let into = &mut [IoSliceMut::new(scratch)];
            let read = socket.recv(into, control, received);
            discard(received);
            if !read.is_ok_and(|read| read.len > 0) {
                return;
            }
        }
    }

    fn read_and_discard(&mut self, turn: &mut Turn<'_, '_>) {
        let Some(socket) = self.link.socket().filter(|_| !self.inbox.ended()) else { return };
        for _ in 0..DISCARDS {
            let Shared { control, received, .. } = &mut *turn.shared;
            let into = &mut [IoSliceMut::new(turn.batch.room_after(0))];
            let read = socket.recv(into, control, received);
            discard(received);
            match read {
                Ok(read) if read.len > 0 => {}
                Err(Errno::AGAIN) => return,
                // An error also ends the stream.
                _ => {
                    self.inbox.drop_rest();
                    turn.batch.events.push(Event::End);
                    return;
                }
            }
        }
    }
}
