//! Retries registrations that epoll_ctl has refused, by timer.
//!
//! epoll_ctl(2) refuses a registration with `ENOSPC` (the limit of watches per user,
//! `fs.epoll.max_user_watches`) and with `ENOMEM`. Both errors are transient.

use std::time::{Duration, Instant};

use fdwire_socket::Errno;

use super::{Entry, Reactor};
use crate::Site;

/// The first pause before a retry. Each pause is twice as long as the previous one.
const FIRST: Duration = Duration::from_millis(10);

/// Number of retries, which take about 10 s in total. After the last one, the channel or listener
/// fails.
const RETRIES: u32 = 10;

/// A registration that epoll_ctl has refused.
pub(super) struct RefusedRegistration {
    retries: u32,
    retry_at: Instant,
}

impl Reactor {
    /// Registers the readiness that a channel or listener waits for. If epoll_ctl refuses, a timer
    /// retries.
    pub(super) fn arm(&mut self, index: usize) {
        match self.try_arm(index) {
            Ok(()) if self.refused.is_empty() => {}
            Ok(()) => drop(self.refused.remove(&index)),
            Err(_) if self.refused.contains_key(&index) => {}
            Err(_) => self.retry_after(index, 0, Instant::now()),
        }
    }

    /// Does the same as [`arm`](Self::arm) at the end of a turn, and counts the retries.
    ///
    /// # Errors
    ///
    /// The error of epoll_ctl after the last retry.
    pub(super) fn arm_after_turn(&mut self, index: usize) -> Result<(), Errno> {
        let Some(refused) = self.refused.get(&index) else {
            self.arm(index);
            return Ok(());
        };
        let (retries, retry_at, now) = (refused.retries, refused.retry_at, Instant::now());
        let Err(errno) = self.try_arm(index) else {
            self.refused.remove(&index);
            return Ok(());
        };
        if retry_at > now {
            return Ok(());
        }
        if retries == RETRIES {
            self.refused.remove(&index);
            return Err(errno);
        }
        self.retry_after(index, retries + 1, now);
        Ok(())
    }

    /// Registers the readiness that a channel or listener waits for.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENOSPC` of epoll_ctl.
    pub(super) fn try_arm(&mut self, index: usize) -> Result<(), Errno> {
        match self.entries.get_mut(index) {
            Some(Entry::Channel(channel)) => channel.arm(Site { poller: &self.poller, index }),
            Some(Entry::Listening(listening)) => listening.arm(&self.poller, index),
            // A watched descriptor is registered once.
            Some(Entry::Watched(_)) | None => Ok(()),
        }
    }

    fn retry_after(&mut self, index: usize, retries: u32, now: Instant) {
        let retry_at = now + FIRST * 2u32.pow(retries);
        self.refused.insert(index, RefusedRegistration { retries, retry_at });
        self.deadlines.insert((retry_at, index));
        self.set_timer();
    }
}

#[cfg(test)]
mod tests {
    use fdwire_socket::{Binding, Datagram, Listener, SocketSetup, SocketType, Stream, Unlink};
    use fdwire_wire::Protocol;
    use fdwire_wire::codec::{self, Codec};

    use super::*;
    use crate::{
        Batch, Channel, Connection, Event, Framing, Limits, Listening, NAMES, Payload, Sent,
    };

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn limits() -> Limits {
        Limits {
            max_message: 1024 * 1024,
            max_fds: 253,
            max_open_fds: 1,
            high_water_mark: 64 * 1024,
            max_queued: 16 * 1024 * 1024,
            max_queued_total: usize::MAX,
            max_queued_fds: 1_024,
            memfd: false,
            send_timeout: None,
            idle_timeout: None,
            message_timeout: None,
            busy_poll: Duration::ZERO,
        }
    }

    fn framing() -> Framing {
        let options = codec::Options::new(1024 * 1024, false);
        let codec = Codec::new(Protocol::LengthPrefixed, options).expect("a protocol for streams");
        Framing { codec, text: false, json: false }
    }

    /// Runs turns until `done` returns true for an event.
    fn run_until(reactor: &mut Reactor, mut done: impl FnMut(&Event) -> bool) {
        let (mut slab, end) = (vec![0; 1024 * 1024 + NAMES], Instant::now() + TIMEOUT);
        loop {
            assert!(Instant::now() < end, "too slow");
            reactor.poll(Duration::from_millis(5)).expect("epoll_wait");
            loop {
                let mut batch = Batch::new(&mut slab, Vec::new(), Vec::new(), Vec::new());
                if reactor.turn(&mut batch).is_none() {
                    break;
                }
                if batch.events.iter().any(&mut done) {
                    return;
                }
            }
        }
    }

    #[test]
    fn reading_resumes_after_refused_registrations() {
        let mut reactor = Reactor::new().expect("a reactor");
        let (socket, peer) = Datagram::seqpacket_pair().expect("a pair");
        let channel = Channel::datagram(socket, Protocol::Raw, limits());
        let channel = reactor.add(channel.unwrap_or_else(|(errno, _)| panic!("{errno}")));
        peer.send(b"message", &[], None).expect("room");
        reactor.poller.refusals.set(3);
        reactor.set_reading(channel, true);
        // Other changes of the channel use up no retries.
        for _ in 0..2 * RETRIES {
            reactor.released(channel, 0);
        }
        reactor.poller.refusals.set(3);
        run_until(&mut reactor, |event| matches!(event, Event::Messages(_)));
        assert!(reactor.refused.is_empty());
    }

    #[test]
    fn a_queue_is_sent_after_refused_registrations() {
        let mut reactor = Reactor::new().expect("a reactor");
        let (socket, peer) = Stream::pair().expect("a pair");
        let sender = reactor.add_stream(socket, false, framing(), limits());
        let sender = sender.unwrap_or_else(|(errno, _)| panic!("{errno}"));
        let large = vec![0; 1_000_000];
        reactor.poller.refusals.set(3);
        let sent = reactor.send(sender, Payload::Borrowed(&large), false, &[], None);
        assert!(matches!(sent, Ok(Sent::Queued(_))), "{sent:?}");
        reactor.flush();
        let receiver = reactor.add_stream(peer, false, framing(), limits());
        assert!(receiver.is_err(), "adding a stream reports a refusal");
        let (_, peer) = receiver.expect_err("refused");
        reactor.poller.refusals.set(0);
        let receiver = reactor.add_stream(peer, false, framing(), limits());
        let receiver = receiver.unwrap_or_else(|(errno, _)| panic!("{errno}"));
        reactor.poller.refusals.set(2);
        reactor.set_reading(receiver, true);
        run_until(&mut reactor, |event| matches!(event, Event::Large(..)));
    }

    #[test]
    fn a_listener_accepts_after_refused_registrations() {
        let setup = SocketSetup::default();
        let address = fdwire_socket::Address::UNNAMED;
        let binding = Binding { address: &address, mode: 0, unlink: Unlink::Never };
        let socket = Listener::listen_unix(&binding, SocketType::STREAM, 9, &setup);
        let socket = socket.expect("a listener");
        let name = socket.local_address().expect("an address");
        let mut reactor = Reactor::new().expect("a reactor");
        let listening = Listening::new(socket, Connection::Stream(framing()), limits());
        let listener = reactor.add_listener(listening);
        reactor.poller.refusals.set(3);
        reactor.allow(listener, 1);
        let _client = Stream::connect(&name, None, &setup).expect("a connection");
        run_until(&mut reactor, |event| matches!(event, Event::Accepted(_)));
    }

    #[test]
    fn a_registration_that_is_always_refused_fails_the_channel() {
        let mut reactor = Reactor::new().expect("a reactor");
        let (socket, _peer) = Datagram::seqpacket_pair().expect("a pair");
        let channel = Channel::datagram(socket, Protocol::Raw, limits());
        let channel = reactor.add(channel.unwrap_or_else(|(errno, _)| panic!("{errno}")));
        reactor.poller.refusals.set(u32::MAX);
        reactor.set_reading(channel, true);
        let refused = reactor.refused.get_mut(&channel).expect("a refusal");
        refused.retries = RETRIES - 1;
        run_until(&mut reactor, |event| matches!(event, Event::Failed(Errno::NOSPC, "epoll_ctl")));
        assert!(reactor.refused.is_empty());
    }

    #[test]
    fn the_refusal_of_a_removed_channel_does_not_concern_the_next_one_at_its_index() {
        let mut reactor = Reactor::new().expect("a reactor");
        let (socket, _peer) = Datagram::seqpacket_pair().expect("a pair");
        let channel = Channel::datagram(socket, Protocol::Raw, limits());
        let channel = reactor.add(channel.unwrap_or_else(|(errno, _)| panic!("{errno}")));
        reactor.poller.refusals.set(1);
        reactor.set_reading(channel, true);
        assert!(reactor.refused.contains_key(&channel));
        drop(reactor.remove(channel));
        assert!(reactor.refused.is_empty());
    }
}
