//! The epoll instance of an environment: which descriptors are ready, for whom, and one timer.
//!
//! Node's loop polls this one descriptor. So the sockets themselves are never put to non-blocking
//! mode, which would change them for every process that shares them.
//!
//! A second instance inside it is for news: an unconnected socket is writable nearly always, but
//! the kernel says so anew (edge-triggered) whenever one of its datagrams has been received, as
//! long as those that have not fill at most a quarter of the send buffer. The same descriptor can't
//! be polled for its level and for edges in one instance.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use fdwire_socket::Errno;
use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// Whose readiness it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A channel's own socket.
    Channel(usize),
    /// The socket with which a channel's lane waits for its receiver.
    Receiver { channel: usize, lane: usize },
    /// Somebody has received a datagram of this channel.
    News(usize),
    /// The instance for news.
    Newsroom,
    /// The timer.
    Timer,
}

const KIND_SHIFT: u32 = 62;
const LANE_SHIFT: u32 = 31;
const INDEX_MASK: u64 = (1 << LANE_SHIFT) - 1;

impl Token {
    fn pack(self) -> u64 {
        match self {
            Self::Timer => 0,
            Self::Newsroom => 1,
            Self::News(channel) => 3 << KIND_SHIFT | channel as u64,
            Self::Channel(channel) => 1 << KIND_SHIFT | channel as u64,
            Self::Receiver { channel, lane } => {
                2 << KIND_SHIFT | (lane as u64) << LANE_SHIFT | channel as u64
            }
        }
    }

    /// Whose it is; of the poller's own none that a channel has.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Timer | Self::Newsroom => usize::MAX,
            Self::Channel(index) | Self::News(index) => index,
            Self::Receiver { channel, .. } => channel,
        }
    }

    fn unpack(data: u64) -> Self {
        let channel = (data & INDEX_MASK) as usize;
        match data >> KIND_SHIFT {
            0 if channel == 0 => Self::Timer,
            0 => Self::Newsroom,
            1 => Self::Channel(channel),
            3 => Self::News(channel),
            _ => Self::Receiver { channel, lane: (data >> LANE_SHIFT & INDEX_MASK) as usize },
        }
    }
}

/// Readable, writable, or gone: what a descriptor is ready for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: Token,
    pub(crate) flags: epoll::EventFlags,
}

pub(crate) use rustix::event::epoll::EventFlags;

/// How many ready descriptors one wait takes at the most; the others are still ready at the next.
const READY_MAX: usize = 64;

pub(crate) struct Poller {
    epoll: OwnedFd,
    news: OwnedFd,
    timer: OwnedFd,
    armed: Option<Instant>,
    events: Vec<epoll::Event>,
}

impl Poller {
    pub(crate) fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        epoll::add(
            &epoll,
            &timer,
            epoll::EventData::new_u64(Token::Timer.pack()),
            EventFlags::IN | EventFlags::ET,
        )?;
        let news = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &news,
            epoll::EventData::new_u64(Token::Newsroom.pack()),
            EventFlags::IN,
        )?;
        Ok(Self { epoll, news, timer, armed: None, events: Vec::with_capacity(READY_MAX) })
    }

    pub(crate) fn add(&self, fd: impl AsFd, token: Token, flags: EventFlags) -> Result<(), Errno> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token.pack()), flags)
    }

    pub(crate) fn modify(
        &self,
        fd: impl AsFd,
        token: Token,
        flags: EventFlags,
    ) -> Result<(), Errno> {
        epoll::modify(&self.epoll, fd, epoll::EventData::new_u64(token.pack()), flags)
    }

    pub(crate) fn remove(&self, fd: impl AsFd) -> Result<(), Errno> {
        epoll::delete(&self.epoll, fd)
    }

    /// Asks for news of the datagrams that `socket` has sent to `channel`'s destinations.
    pub(crate) fn watch(&self, socket: impl AsFd, channel: usize) -> Result<(), Errno> {
        let data = epoll::EventData::new_u64(Token::News(channel).pack());
        epoll::add(&self.news, socket, data, EventFlags::OUT | EventFlags::ET)
    }

    pub(crate) fn unwatch(&self, socket: impl AsFd) -> Result<(), Errno> {
        epoll::delete(&self.news, socket)
    }

    /// Appends what is ready now; waits for `timeout` at the most.
    pub(crate) fn wait(&mut self, timeout: Duration, ready: &mut Vec<Ready>) -> Result<(), Errno> {
        wait_on(&self.epoll, &mut self.events, timeout)?;
        let before = ready.len();
        ready.extend(self.events.iter().map(Ready::from));
        if ready[before..].iter().any(|ready| ready.token == Token::Newsroom) {
            wait_on(&self.news, &mut self.events, Duration::ZERO)?;
            ready.extend(self.events.iter().map(Ready::from));
        }
        Ok(())
    }

    /// Sets the timer to the earlier of what it is and `deadline`.
    pub(crate) fn wake_by(&mut self, deadline: Instant, now: Instant) -> Result<(), Errno> {
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return Ok(());
        }
        // Zero would disarm the timer.
        let after = deadline.saturating_duration_since(now).max(Duration::from_micros(1));
        let value = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(after) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        self.armed = Some(deadline);
        Ok(())
    }

    /// The timer has fired: it is set no more.
    pub(crate) fn timer_fired(&mut self) {
        self.armed = None;
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl From<&epoll::Event> for Ready {
    fn from(event: &epoll::Event) -> Self {
        let data = event.data;
        Self { token: Token::unpack(data.u64()), flags: event.flags }
    }
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
