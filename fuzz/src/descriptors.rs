//! Every received descriptor is delivered or closed, whatever a sender does.

use std::io::pipe;
use std::os::fd::AsFd;

use fdwire_channel::{Channel, Event, Limits, Refusal};
use fdwire_socket::{Datagram, ForeignFd};
use fdwire_wire::Protocol;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::channel::{Driver, Report, limits};
use crate::input::Input;

/// How long a closing thread may take to close the last descriptor, in seconds.
const CLOSING: i64 = 20;

/// Sends messages with descriptors to a channel with small limits, which keeps some of them.
///
/// ```text
/// input  | type | maxFds | maxOpenFds | operation | operands … | …
/// ```
///
/// # Panics
///
/// If a descriptor is neither delivered nor closed, or a limit is exceeded.
pub(crate) fn descriptors(data: &[u8]) {
    let mut input = Input(data);
    let Some(mut receiver) = Receiver::new(&mut input) else { return };
    while receiver.step(&mut input).is_some() {}
    receiver.finish();
}

struct Receiver {
    driver: Driver,
    channel: usize,
    limits: Limits,
    peer: Datagram,
    /// Each message carries duplicates of the writing end. The reading end reports when all are closed.
    reader: std::io::PipeReader,
    writer: std::io::PipeWriter,
    kept: Vec<ForeignFd>,
}

impl Receiver {
    fn new(input: &mut Input<'_>) -> Option<Self> {
        let seqpacket = input.byte()? % 2 == 1;
        let pair = if seqpacket { Datagram::seqpacket_pair() } else { Datagram::pair() };
        let (own, peer) = pair.expect("a pair");
        let max_fds = input.byte()? % 254;
        let max_open_fds = max_fds.max(1) + input.byte()?;
        let limits = Limits { max_fds, max_open_fds, max_message: 64, ..limits() };
        let mut driver = Driver::new().expect("epoll is available");
        let channel = Channel::datagram(own, Protocol::Raw, limits.clone());
        let channel = channel.unwrap_or_else(|(errno, _)| panic!("{errno}"));
        let channel = driver.reactor.add(channel);
        driver.reactor.set_reading(channel, true);
        let (reader, writer) = pipe().expect("a pipe");
        Some(Self { driver, channel, limits, peer, reader, writer, kept: Vec::new() })
    }

    /// Performs the next operation. Returns None if the input has no complete one.
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % 4 {
            0 => {
                let fds = vec![self.writer.as_fd(); input.byte()? % 254];
                // The socket may be full.
                let _ = self.peer.send(&vec![0; input.byte()? % 80], &fds, None);
            }
            1 => self.run(),
            2 => self.release(input.byte()?),
            _ => self.driver.reactor.set_reading(self.channel, input.byte()?.is_multiple_of(2)),
        }
        Some(())
    }

    fn run(&mut self) {
        for report in self.driver.run(false) {
            match report {
                Report::Message(message) => {
                    assert!(message.fds.len() <= self.limits.max_fds);
                    assert!(message.bytes.len() <= self.limits.max_message);
                    self.kept.extend(message.fds);
                }
                Report::Other(Event::FdsHeld) => {}
                Report::Other(Event::Refused(why, ..)) => assert!(
                    matches!(why, Refusal::TooLarge | Refusal::TooManyFds | Refusal::FdsTruncated),
                    "{why:?}"
                ),
                // A record of seqpacket without bytes and descriptors is the end.
                Report::Other(Event::End) => {}
                Report::Other(other) => panic!("{other:?}"),
            }
        }
        let most = self.limits.max_open_fds + self.limits.max_fds;
        assert!(self.kept.len() <= most, "{} are open, of at most {most}", self.kept.len());
    }

    fn release(&mut self, count: usize) {
        let count = count.min(self.kept.len());
        self.kept.truncate(self.kept.len() - count);
        self.driver.reactor.released(self.channel, count);
    }

    /// Closes everything. Then no descriptor of the pipe is open.
    fn finish(self) {
        let Self { driver, peer, reader, writer, kept, .. } = self;
        drop((driver, peer, writer, kept));
        let mut ready = [PollFd::new(&reader, PollFlags::IN)];
        let timeout = Timespec { tv_sec: CLOSING, tv_nsec: 0 };
        // libFuzzer's timer interrupts it.
        rustix::io::retry_on_intr(|| poll(&mut ready, Some(&timeout))).expect("poll succeeds");
        assert!(ready[0].revents().contains(PollFlags::HUP), "a descriptor is still open");
    }
}
