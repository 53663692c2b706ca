//! The epoll instances of a reactor, and its timer.
//!
//! Node's loop polls one descriptor, that of the outer epoll instance. The sockets themselves stay
//! in blocking mode: O_NONBLOCK belongs to the open file description, so it would change them for
//! every process that shares them.
//!
//! An inner epoll instance reports **write-space edges**. An unconnected datagram socket is nearly
//! always writable. But if it is registered edge-triggered, the kernel reports it as writable again
//! whenever a receiver has consumed one of its datagrams (`sk_write_space`), as long as the
//! datagrams in flight fill at most a quarter of the send buffer. One instance cannot report both
//! the level and the edges of a descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use fdwire_socket::Errno;
pub(crate) use rustix::event::epoll::EventFlags;
use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// The owner of a ready descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The socket of a channel or listener.
    Channel(usize),
    /// The socket with which a queue of a channel waits for its receiver.
    Receiver { channel: usize, queue: usize },
    /// A write-space edge of a channel's socket.
    WriteSpace(usize),
    /// The inner epoll instance.
    Inner,
    /// The timer.
    Timer,
}

const KIND_SHIFT: u32 = 62;
const QUEUE_SHIFT: u32 = 31;
const INDEX_MASK: u64 = (1 << QUEUE_SHIFT) - 1;

impl Token {
    fn pack(self) -> u64 {
        match self {
            Self::Timer => 0,
            Self::Inner => 1,
            Self::WriteSpace(channel) => 3 << KIND_SHIFT | channel as u64,
            Self::Channel(channel) => 1 << KIND_SHIFT | channel as u64,
            Self::Receiver { channel, queue } => {
                2 << KIND_SHIFT | (queue as u64) << QUEUE_SHIFT | channel as u64
            }
        }
    }

    /// Returns the index of the channel or listener, or an unused index for the poller's own
    /// descriptors.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Timer | Self::Inner => usize::MAX,
            Self::Channel(index) | Self::WriteSpace(index) => index,
            Self::Receiver { channel, .. } => channel,
        }
    }

    fn unpack(data: u64) -> Self {
        let channel = (data & INDEX_MASK) as usize;
        match data >> KIND_SHIFT {
            0 if channel == 0 => Self::Timer,
            0 => Self::Inner,
            1 => Self::Channel(channel),
            3 => Self::WriteSpace(channel),
            _ => Self::Receiver { channel, queue: (data >> QUEUE_SHIFT & INDEX_MASK) as usize },
        }
    }
}

/// A descriptor that is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: Token,
    pub(crate) flags: EventFlags,
}

/// Maximum number of descriptors that one wait reports. The next wait reports the others.
const READY_MAX: usize = 64;

/// The epoll instances and the timer.
pub(crate) struct Poller {
    outer: OwnedFd,
    inner: OwnedFd,
    timer: OwnedFd,
    /// When the timer fires, if it is set.
    fires_at: Option<Instant>,
    events: Vec<epoll::Event>,
    /// Number of registrations that `add` and `modify` refuse from now on, as the kernel may.
    #[cfg(test)]
    pub(crate) refusals: std::cell::Cell<u32>,
}

impl Poller {
    pub(crate) fn new() -> Result<Self, Errno> {
        let outer = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        epoll::add(&outer, &timer, data(Token::Timer), EventFlags::IN | EventFlags::ET)?;
        let inner = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&outer, &inner, data(Token::Inner), EventFlags::IN)?;
        Ok(Self {
            outer,
            inner,
            timer,
            fires_at: None,
            events: Vec::with_capacity(READY_MAX),
            #[cfg(test)]
            refusals: std::cell::Cell::default(),
        })
    }

    pub(crate) fn add(&self, fd: impl AsFd, token: Token, flags: EventFlags) -> Result<(), Errno> {
        #[cfg(test)]
        self.refuse()?;
        epoll::add(&self.outer, fd, data(token), flags)
    }

    pub(crate) fn modify(
        &self,
        fd: impl AsFd,
        token: Token,
        flags: EventFlags,
    ) -> Result<(), Errno> {
        #[cfg(test)]
        self.refuse()?;
        epoll::modify(&self.outer, fd, data(token), flags)
    }

    #[cfg(test)]
    fn refuse(&self) -> Result<(), Errno> {
        match self.refusals.get() {
            0 => Ok(()),
            left => {
                self.refusals.set(left - 1);
                Err(Errno::NOSPC)
            }
        }
    }

    pub(crate) fn remove(&self, fd: impl AsFd) -> Result<(), Errno> {
        epoll::delete(&self.outer, fd)
    }

    /// Registers for the write-space edges of a channel's socket.
    pub(crate) fn watch_write_space(&self, socket: impl AsFd, channel: usize) -> Result<(), Errno> {
        let flags = EventFlags::OUT | EventFlags::ET;
        epoll::add(&self.inner, socket, data(Token::WriteSpace(channel)), flags)
    }

    pub(crate) fn unwatch_write_space(&self, socket: impl AsFd) -> Result<(), Errno> {
        epoll::delete(&self.inner, socket)
    }

    /// Waits for at most `timeout`, and appends the ready descriptors to `ready`.
    pub(crate) fn wait(&mut self, timeout: Duration, ready: &mut Vec<Ready>) -> Result<(), Errno> {
        wait_on(&self.outer, &mut self.events, timeout)?;
        let before = ready.len();
        ready.extend(self.events.iter().map(Ready::from));
        if ready[before..].iter().any(|ready| ready.token == Token::Inner) {
            wait_on(&self.inner, &mut self.events, Duration::ZERO)?;
            ready.extend(self.events.iter().map(Ready::from));
        }
        Ok(())
    }

    /// Makes the timer fire at `deadline`, unless it fires earlier anyway.
    pub(crate) fn wake_by(&mut self, deadline: Instant, now: Instant) -> Result<(), Errno> {
        if self.fires_at.is_some_and(|fires_at| fires_at <= deadline) {
            return Ok(());
        }
        // Zero would disarm the timer.
        let after = deadline.saturating_duration_since(now).max(Duration::from_micros(1));
        let value = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(after) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        self.fires_at = Some(deadline);
        Ok(())
    }

    /// Records that the timer has fired.
    pub(crate) fn timer_fired(&mut self) {
        self.fires_at = None;
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.outer.as_fd()
    }
}

impl From<&epoll::Event> for Ready {
    fn from(event: &epoll::Event) -> Self {
        // The kernel's struct is packed, so its fields must be copied.
        let data = event.data;
        Self { token: Token::unpack(data.u64()), flags: event.flags }
    }
}

fn data(token: Token) -> epoll::EventData {
    epoll::EventData::new_u64(token.pack())
}

fn wait_on(
    epoll: &OwnedFd,
    events: &mut Vec<epoll::Event>,
    timeout: Duration,
) -> Result<(), Errno> {
    let timeout = timespec(timeout);
    events.clear();
    match epoll::wait(epoll, rustix::buffer::spare_capacity(events), Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[expect(clippy::cast_possible_wrap, reason = "durations here are far below 2^63 s")]
fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}
