//! The share of our send buffer that each destination may occupy.
//!
//! The kernel charges every datagram in a receiver's queue to the sender's one send buffer
//! (SO_SNDBUF). A receiver that is connected to us has no other limit, so one stopped receiver
//! could fill the buffer, and the kernel would refuse our datagrams to all others. Therefore the
//! buffer is enlarged as far as the kernel permits, and it is shared by three rules:
//!
//! - **First message.** A destination that has read everything may be sent a message if as much as
//!   that message takes stays free after it, or a tenth of the buffer if that is less. So stopped
//!   receivers leave room for one message of the size of theirs, or of a smaller one.
//! - **More messages.** A destination that has not read everything may be sent more only from the
//!   first half of the buffer, and an eighth of what is free there. However many receivers stop,
//!   the second half is left for first messages.
//! - **Probes.** A destination that seems to have stopped is sent a single message at growing
//!   intervals while a quarter of the buffer stays free.
//!
//! ```text
//! send buffer  |# stuck A #|# stuck B #|.. more messages ..|.... first messages ....|. tenth .|
//!              |<------------- first half --------------->|<--------- second half --------->|
//! ```
//!
//! The kernel does not report how much a destination occupies. It reports the exact sum (SIOCOUTQ),
//! so what each occupies is estimated:
//!
//! - The datagrams that were sent last are assumed to be received first. Active receivers drain
//!   quickly, so old datagrams are those of stuck receivers (`in_flight.rs`).
//! - The floor is the lowest sum of the last two periods, which is about what the stuck receivers
//!   occupy.
//! - A destination that stays above its share for some milliseconds is a suspect. It is sent single
//!   probes at growing intervals, one suspect at a time. If the sum returns to the floor, the probe
//!   was received, and so was everything before it, since datagrams to one destination arrive in
//!   order. The destination then occupies nothing, and is no longer a suspect. If the sum falls
//!   below the floor of the last probe, the next probe is due at once.
//!
//! An estimate can be wrong if several destinations read at the same time. If it is too high, an
//! active destination waits for a probe; if it is too low, a stuck destination gets another first
//! message. Since the sum is exact, some of the buffer always stays free.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Datagram, Errno};

use super::in_flight::InFlight;

/// Size in bytes of the send buffer that an unconnected socket requests. Without CAP_NET_ADMIN, the
/// kernel grants at most twice net.core.wmem_max, which by default is twice the default send
/// buffer.
const BUFFER: usize = 8 * 1024 * 1024;

/// The share of a destination is the number of free bytes in the first half of the buffer, divided
/// by this.
const SHARE: usize = 8;

/// A first message leaves at most the size of the buffer divided by this free.
const RESERVE: usize = 10;

/// A probe leaves the size of the buffer divided by this free.
const PROBE_RESERVE: usize = 4;

/// The kernel's `SKB_MAX_ALLOC`: the length in bytes up to which it stores a datagram contiguously.
const LINEAR: usize = 16_064;

/// The number of bytes beyond `LINEAR` that the kernel stores in pages: the size of a page times
/// `MAX_SKB_FRAGS`.
const PAGED: usize = 17 * PAGE;

/// The sum is read when as much as the buffer divided by this has been sent since the last time.
const READ_AFTER: usize = 16;

/// The size in bytes of a page.
const PAGE: usize = 4_096;

/// The first pause between probes, and the time within which a probe should be received. Each pause
/// is four times as long as the previous one.
pub(crate) const PROBE: Duration = Duration::from_millis(2);

/// The longest pause between probes. The number of probes to a permanently stuck receiver grows
/// with the logarithm of the time.
const PROBE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Length of a period. The lowest sum of each period is recorded.
const PERIOD: Duration = Duration::from_millis(50);

/// Maximum number of suspects: far more than can have a datagram in the largest buffer.
const SUSPECTS: usize = 4_096;

/// A destination that seems not to read.
struct Suspect {
    probe_at: Instant,
    pause: Duration,
    /// The floor at the last probe (bytes).
    floor: usize,
}

/// A probe in flight.
struct Probe {
    to: Address,
    /// The sum in bytes at which it counts as received.
    target: usize,
    /// No other destination is probed before this time.
    until: Instant,
}

/// The shares of a send buffer that the destinations of an unconnected socket occupy.
pub(crate) struct Shares {
    buffer: usize,
    largest: usize,
    in_flight: InFlight,
    suspects: HashMap<Address, Suspect>,
    probe: Option<Probe>,
    /// The sum in bytes when it was last read.
    sum: usize,
    /// The number of bytes charged since then.
    since: usize,
    /// The lowest sums in bytes of this period and of the previous one.
    lows: [usize; 2],
    period_ends: Instant,
}

impl Shares {
    /// Creates the shares of a socket, and enlarges its send buffer if possible, unless an option
    /// determines its size.
    ///
    /// # Errors
    ///
    /// The error of the system call that failed.
    pub(crate) fn new(socket: &Datagram) -> Result<Self, Errno> {
        let largest = socket.max_message()?;
        if !socket.has_fixed_send_buffer() {
            socket.raise_send_buffer(BUFFER)?;
        }
        Ok(Self {
            buffer: socket.send_buffer()?,
            largest,
            in_flight: InFlight::default(),
            suspects: HashMap::new(),
            probe: None,
            sum: 0,
            since: 0,
            lows: [0, 0],
            period_ends: Instant::now(),
        })
    }

    /// Returns the length in bytes of the largest datagram, which the original send buffer
    /// determines.
    pub(crate) fn largest(&self) -> usize {
        self.largest
    }

    /// Returns whether a datagram of `len` bytes may be sent to `to` now.
    pub(crate) fn permits(&mut self, socket: &Datagram, to: &Address, len: usize) -> bool {
        let cost = cost(len);
        // The sum is read often, so that the estimates concern few bytes.
        if self.since <= self.buffer / READ_AFTER && self.fits(to, cost) {
            return true;
        }
        self.read_sum(socket);
        self.fits(to, cost)
    }

    /// Returns whether a datagram may be sent to `to` as a probe, above its share. The caller must
    /// have waited for [`PROBE`] or longer.
    pub(crate) fn permits_probe(&mut self, to: &Address, len: usize, now: Instant) -> bool {
        let (held, cost, floor) = (self.held(), cost(len), self.floor());
        let suspect = match self.suspects.get_mut(to) {
            Some(suspect) => suspect,
            None => {
                let suspect = Suspect { probe_at: now, pause: PROBE, floor: 0 };
                self.suspects.entry(to.clone()).or_insert(suspect)
            }
        };
        let due = suspect.probe_at <= now;
        // There is one probe at a time, because the sum does not show whose probe was received.
        let undecided = self.probe.as_ref().is_some_and(|probe| probe.until > now);
        if !(due || held < suspect.floor)
            || undecided
            || !self.leaves(cost, self.buffer / PROBE_RESERVE)
        {
            return false;
        }
        let Some(suspect) = self.suspects.get_mut(to) else { return false };
        if due {
            suspect.pause = suspect.pause.saturating_mul(4).min(PROBE_MAX);
        }
        suspect.probe_at = now + suspect.pause;
        suspect.floor = floor;
        self.probe = Some(Probe { to: to.clone(), target: floor, until: now + PROBE });
        // The probe may stay in the receiver's queue.
        self.lows = self.lows.map(|low| low + cost);
        true
    }

    /// Charges a datagram of `len` bytes that was sent to `to`.
    pub(crate) fn charge(&mut self, to: &Address, len: usize) {
        let cost = cost(len);
        self.since += cost;
        self.in_flight.push(to, cost);
    }

    /// Returns whether the kernel refuses datagrams because our own buffer is full.
    pub(crate) fn is_exhausted(&mut self, socket: &Datagram) -> bool {
        self.read_sum(socket);
        self.sum >= self.buffer
    }

    /// Reads the sum from the kernel, and updates the estimates.
    pub(crate) fn read_sum(&mut self, socket: &Datagram) {
        // This does not fail for an open socket. If it did, the previous sum would be the best
        // estimate.
        self.sum = socket.unsent().unwrap_or(self.sum + self.since);
        self.since = 0;
        let now = Instant::now();
        if now >= self.period_ends {
            let long_ago = now >= self.period_ends + PERIOD;
            self.lows = [self.sum, if long_ago { self.sum } else { self.lows[0] }];
            self.period_ends = now + PERIOD;
        }
        self.lows = self.lows.map(|low| low.min(self.sum));
        if let Some(probe) = self.probe.take_if(|probe| self.sum <= probe.target) {
            self.suspects.remove(&probe.to);
            self.in_flight.remove(&probe.to);
        }
        if self.sum == 0 || self.suspects.len() > SUSPECTS {
            self.suspects.clear();
            self.probe = None;
        }
        self.in_flight.keep(self.sum);
    }

    fn floor(&self) -> usize {
        self.lows[0].min(self.lows[1])
    }

    fn fits(&self, to: &Address, cost: usize) -> bool {
        match self.in_flight.to(to) {
            0 => self.leaves(cost, cost.min(self.buffer / RESERVE)),
            held_by => {
                let free = (self.buffer / 2).saturating_sub(self.held());
                held_by + cost <= free / SHARE
            }
        }
    }

    /// Returns whether `room` bytes stay free after a datagram.
    fn leaves(&self, cost: usize, room: usize) -> bool {
        let held = self.held();
        held == 0 || held + cost + room <= self.buffer
    }

    /// Returns an upper bound of the number of bytes that all destinations occupy.
    fn held(&self) -> usize {
        self.sum + self.since
    }
}

/// Returns how many bytes the kernel charges for a datagram: its buffer, whose size is a power of two
/// and includes the `skb_shared_info`, a `struct sk_buff`, and pages for the end of a long one.
fn cost(len: usize) -> usize {
    let pages = len.saturating_sub(LINEAR).min(PAGED).next_multiple_of(PAGE).min(len);
    (len - pages + 320).next_power_of_two().max(512) + 256 + pages
}
