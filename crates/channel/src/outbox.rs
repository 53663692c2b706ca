//! What a channel has sent and the kernel has not taken yet: a queue for each destination.
//!
//! A destination has a lane only while something is queued for it. The lane knows what it waits
//! for, since the kernel has a different sign for each reason to refuse a datagram:
//!
//! | refused because | the lane waits for |
//! | --- | --- |
//! | the one peer of a connected socket is behind | the socket itself to be writable |
//! | the receiver's queue is full | an unnamed socket, connected to the receiver, to be writable |
//! | the receiver holds its share of our send buffer | the socket to be writable, and a timer |
//! | the kernel is short of memory, or of descriptors in flight | a timer |

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Datagram, Errno};
use rustix::io::fcntl_dupfd_cloexec;
use slab::Slab;

use crate::batch::{Event, GivenUp, Undelivered};
use crate::channel::Limits;
use crate::poll::{EventFlags, Poller, Token};
use crate::share::Shares;

/// The pauses of a lane that can only try again: the first and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The pauses between looks at a send buffer that somebody holds: the first and the longest.
const LOOK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// The pauses between datagrams that only try whether a receiver reads again.
const PROBE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Duplicates of descriptors stay clear of standard input, output and error.
const LOWEST_DUPLICATE: i32 = 3;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel has it.
    Now,
    /// It is queued, under this number.
    Queued(u64),
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The kernel refused it.
    Refused(Errno),
    /// The destination's queue is full.
    QueueFull,
}

struct Queued {
    seq: u64,
    bytes: Box<[u8]>,
    fds: Vec<OwnedFd>,
    deadline: Option<Instant>,
}

enum Wait {
    Writable,
    Receiver(Datagram),
    Share,
    Retry,
}

/// A datagram that was sent to a destination over its share, to see whether it reads.
struct Probe {
    /// The floor before it: below that again, it has been received.
    floor: usize,
    again_at: Instant,
    pause: Duration,
}

struct Lane {
    to: Option<Address>,
    queue: VecDeque<Queued>,
    bytes: usize,
    fds: usize,
    wait: Wait,
    retry_at: Option<Instant>,
    pause: Duration,
    probe: Option<Probe>,
}

/// Why a message could not be handed over now.
enum Blocked {
    Peer,
    Receiver,
    Share,
    Short,
}

enum Failure {
    Blocked(Blocked),
    Refused(Errno),
}

/// The queues of one channel.
pub(crate) struct Outbox {
    by_destination: HashMap<Option<Address>, usize>,
    lanes: Slab<Lane>,
    shares: Option<Shares>,
    seq: u64,
    /// Lanes that wait for the channel's own socket to be writable.
    writable_waits: usize,
    settled: bool,
}

/// What an outbox needs of its channel while it works.
pub(crate) struct Surroundings<'a> {
    pub(crate) socket: &'a Datagram,
    pub(crate) poller: &'a Poller,
    pub(crate) channel: usize,
    pub(crate) limits: &'a Limits,
}

impl Outbox {
    /// `send_buffer` (bytes) is the socket's, where it is not connected.
    pub(crate) fn new(send_buffer: Option<usize>) -> Self {
        Self {
            by_destination: HashMap::new(),
            lanes: Slab::new(),
            shares: send_buffer.map(Shares::new),
            seq: 0,
            writable_waits: 0,
            settled: false,
        }
    }

    /// Whether queued messages were settled since the last call.
    pub(crate) fn take_settled(&mut self) -> bool {
        std::mem::take(&mut self.settled)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    pub(crate) fn wants_writable(&self) -> bool {
        self.writable_waits > 0
    }

    /// Messages, bytes and descriptors that are queued.
    pub(crate) fn queued(&self) -> (usize, usize, usize) {
        self.lanes.iter().fold((0, 0, 0), |(messages, bytes, fds), (_, lane)| {
            (messages + lane.queue.len(), bytes + lane.bytes, fds + lane.fds)
        })
    }

    /// The number of the oldest queued message, and of the next one to be queued.
    pub(crate) fn seqs(&self) -> (Option<u64>, u64) {
        let oldest = self.lanes.iter().filter_map(|(_, lane)| Some(lane.queue.front()?.seq)).min();
        (oldest, self.seq + 1)
    }

    /// Sends a message, or queues it behind those that already wait for its destination.
    pub(crate) fn send(
        &mut self,
        around: &Surroundings<'_>,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<Sent, SendError> {
        let lane = if self.lanes.is_empty() {
            None
        } else {
            self.by_destination.get(&to.cloned()).copied()
        };
        if let Some(lane) = lane {
            let queued = &self.lanes[lane];
            if queued.bytes + bytes.len() > around.limits.max_queued
                || queued.fds + fds.len() > around.limits.max_queued_fds
            {
                return Err(SendError::QueueFull);
            }
            return self.enqueue(around, lane, bytes, fds);
        }
        let blocked = match attempt(&mut self.shares, around.socket, bytes, fds, to) {
            Ok(()) => return Ok(Sent::Now),
            Err(Failure::Blocked(blocked)) => blocked,
            Err(Failure::Refused(errno)) => return Err(SendError::Refused(errno)),
        };
        // Whatever can fail comes before anything is queued.
        let lane = self.open_lane(to.cloned());
        let result = self.enqueue(around, lane, bytes, fds);
        if result.is_ok() {
            self.wait_for(around, lane, blocked, Instant::now());
        } else {
            self.close_lane(around, lane);
        }
        result
    }

    /// Sends what can be sent to the lanes that wait for the channel's socket.
    pub(crate) fn on_writable(&mut self, around: &Surroundings<'_>, events: &mut Vec<Event>) {
        let waiting: Vec<usize> = self
            .lanes
            .iter()
            .filter(|(_, lane)| matches!(lane.wait, Wait::Writable | Wait::Share))
            .map(|(index, _)| index)
            .collect();
        for lane in waiting {
            self.flush(around, lane, Instant::now(), events);
        }
    }

    /// Sends what can be sent to the lane whose receiver has room again, or is gone.
    pub(crate) fn on_receiver(
        &mut self,
        around: &Surroundings<'_>,
        lane: usize,
        events: &mut Vec<Event>,
    ) {
        // A readiness that was reported before the lane's end may come after it.
        if self.lanes.get(lane).is_some_and(|lane| matches!(lane.wait, Wait::Receiver(_))) {
            self.flush(around, lane, Instant::now(), events);
        }
    }

    /// Tries again where it is time, and gives up what has waited for too long.
    pub(crate) fn on_time(
        &mut self,
        around: &Surroundings<'_>,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        let due: Vec<usize> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.deadline().is_some_and(|at| at <= now))
            .map(|(index, _)| index)
            .collect();
        for lane in due {
            self.flush(around, lane, now, events);
        }
    }

    /// One non-blocking attempt for everything that is queued, for the process's last moment.
    pub(crate) fn try_all(&mut self, around: &Surroundings<'_>, events: &mut Vec<Event>) {
        let all: Vec<usize> = self.lanes.iter().map(|(index, _)| index).collect();
        for lane in all {
            self.flush(around, lane, Instant::now(), events);
        }
    }

    /// When `on_time` has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(|(_, lane)| lane.deadline()).min()
    }

    fn open_lane(&mut self, to: Option<Address>) -> usize {
        let lane = self.lanes.insert(Lane {
            to: to.clone(),
            queue: VecDeque::new(),
            bytes: 0,
            fds: 0,
            wait: Wait::Retry,
            retry_at: None,
            pause: Duration::ZERO,
            probe: None,
        });
        self.by_destination.insert(to, lane);
        lane
    }

    fn close_lane(&mut self, around: &Surroundings<'_>, lane: usize) {
        self.set_wait(around, lane, Wait::Retry);
        let lane = self.lanes.remove(lane);
        self.by_destination.remove(&lane.to);
    }

    fn enqueue(
        &mut self,
        around: &Surroundings<'_>,
        lane: usize,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<Sent, SendError> {
        let duplicates = fds
            .iter()
            .map(|fd| fcntl_dupfd_cloexec(fd, LOWEST_DUPLICATE))
            .collect::<Result<Vec<OwnedFd>, Errno>>()
            .map_err(SendError::Refused)?;
        self.seq += 1;
        let lane = &mut self.lanes[lane];
        lane.bytes += bytes.len();
        lane.fds += duplicates.len();
        lane.queue.push_back(Queued {
            seq: self.seq,
            bytes: bytes.into(),
            fds: duplicates,
            deadline: around.limits.send_timeout.map(|timeout| Instant::now() + timeout),
        });
        Ok(Sent::Queued(self.seq))
    }

    /// Sends from the front of a lane until it is empty or has to wait again.
    fn flush(
        &mut self,
        around: &Surroundings<'_>,
        index: usize,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        self.settle_probe(around, index);
        loop {
            let lane = &mut self.lanes[index];
            let Some(front) = lane.queue.front() else {
                events.push(Event::Drained(lane.to.clone()));
                self.close_lane(around, index);
                return;
            };
            let outcome = if front.deadline.is_some_and(|deadline| deadline <= now) {
                Some(GivenUp::Expired)
            } else {
                let fds: Vec<BorrowedFd<'_>> = front.fds.iter().map(AsFd::as_fd).collect();
                let to = lane.to.as_ref();
                match attempt(&mut self.shares, around.socket, &front.bytes, &fds, to) {
                    Ok(()) => None,
                    Err(Failure::Blocked(blocked)) => {
                        if matches!(blocked, Blocked::Share) {
                            self.probe(around, index, now);
                        }
                        self.wait_for(around, index, blocked, now);
                        return;
                    }
                    Err(Failure::Refused(Errno::NOBUFS | Errno::TOOMANYREFS | Errno::NOMEM)) => {
                        self.wait_for(around, index, Blocked::Short, now);
                        return;
                    }
                    Err(Failure::Refused(errno)) => Some(GivenUp::Refused(errno)),
                }
            };
            self.settled = true;
            let lane = &mut self.lanes[index];
            lane.pause = Duration::ZERO;
            if let Some(message) = lane.pop()
                && let Some(why) = outcome
            {
                let to = lane.to.clone();
                events.push(Event::Undelivered(Undelivered { why, seq: message.seq, to }));
            }
        }
    }

    /// Sends one datagram to a destination that is over its share, unless one is out already.
    fn probe(&mut self, around: &Surroundings<'_>, index: usize, now: Instant) {
        let lane = &mut self.lanes[index];
        let (Some(shares), Some(front), Some(to)) =
            (&mut self.shares, lane.queue.front(), &lane.to)
        else {
            return;
        };
        let pause = match &lane.probe {
            Some(probe) if probe.again_at > now => return,
            Some(probe) => (probe.pause * 2).min(PROBE.1),
            None => PROBE.0,
        };
        let floor = shares.floor();
        let fds: Vec<BorrowedFd<'_>> = front.fds.iter().map(AsFd::as_fd).collect();
        if around.socket.send(&front.bytes, &fds, Some(to)).is_ok() {
            shares.charge(to, front.bytes.len());
            lane.probe = Some(Probe { floor, again_at: now + pause, pause });
            lane.pop();
            self.settled = true;
        }
    }

    fn settle_probe(&mut self, around: &Surroundings<'_>, index: usize) {
        let lane = &mut self.lanes[index];
        if let (Some(shares), Some(probe), Some(to)) = (&mut self.shares, &lane.probe, &lane.to)
            && shares.read_sum(around.socket) <= probe.floor
        {
            shares.release(to);
            lane.probe = None;
            lane.pause = Duration::ZERO;
        }
    }

    fn wait_for(
        &mut self,
        around: &Surroundings<'_>,
        index: usize,
        blocked: Blocked,
        now: Instant,
    ) {
        let (wait, pauses) = match blocked {
            Blocked::Peer => (Wait::Writable, None),
            Blocked::Share => (Wait::Share, Some(LOOK)),
            Blocked::Short => (Wait::Retry, Some(RETRY)),
            Blocked::Receiver => match self.receiver(around, index) {
                Ok(socket) => (Wait::Receiver(socket), None),
                // No descriptor left for it, or the receiver is gone or takes from others only:
                // trying again tells.
                Err(_) => (Wait::Retry, Some(LOOK)),
            },
        };
        self.set_wait(around, index, wait);
        let lane = &mut self.lanes[index];
        lane.retry_at = pauses.map(|(first, longest)| {
            lane.pause = (lane.pause * 2).clamp(first, longest);
            now + lane.pause
        });
    }

    /// An unnamed socket that is connected to the lane's receiver and polled for writing.
    fn receiver(&self, around: &Surroundings<'_>, lane: usize) -> Result<Datagram, Errno> {
        let socket = Datagram::new()?;
        if let Some(to) = &self.lanes[lane].to {
            socket.connect(to)?;
        }
        let token = Token::Receiver { channel: around.channel, lane };
        around.poller.add(&socket, token, EventFlags::OUT)?;
        Ok(socket)
    }

    fn set_wait(&mut self, around: &Surroundings<'_>, lane: usize, wait: Wait) {
        let before = std::mem::replace(&mut self.lanes[lane].wait, wait);
        if let Wait::Receiver(socket) = &before {
            // Its close takes it out of the set anyhow, since nobody shares it.
            let _ = around.poller.remove(socket);
        }
        self.writable_waits -= usize::from(matches!(before, Wait::Writable | Wait::Share));
        let after = &self.lanes[lane].wait;
        self.writable_waits += usize::from(matches!(after, Wait::Writable | Wait::Share));
    }
}

impl Lane {
    fn deadline(&self) -> Option<Instant> {
        let expiry = self.queue.front().and_then(|message| message.deadline);
        [expiry, self.retry_at].into_iter().flatten().min()
    }

    fn pop(&mut self) -> Option<Queued> {
        let message = self.queue.pop_front()?;
        self.bytes -= message.bytes.len();
        self.fds -= message.fds.len();
        Some(message)
    }
}

/// Hands one message to the kernel, if the destination's share allows it.
fn attempt(
    shares: &mut Option<Shares>,
    socket: &Datagram,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    to: Option<&Address>,
) -> Result<(), Failure> {
    let mut shares = shares.as_mut().zip(to);
    if let Some((shares, to)) = &mut shares
        && !shares.permits(socket, to, bytes.len())
    {
        return Err(Failure::Blocked(Blocked::Share));
    }
    match (socket.send(bytes, fds, to), shares) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some((shares, to))) => {
            shares.charge(to, bytes.len());
            Ok(())
        }
        (Err(Errno::AGAIN), shares) => Err(Failure::Blocked(match shares {
            None => Blocked::Peer,
            Some((shares, _)) => {
                if shares.is_exhausted(socket) {
                    Blocked::Share
                } else {
                    Blocked::Receiver
                }
            }
        })),
        (Err(errno), _) => Err(Failure::Refused(errno)),
    }
}
