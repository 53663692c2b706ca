//! The share of our send buffer that each destination may hold.
//!
//! The kernel charges every datagram in a receiver's queue to the sender's one send buffer
//! (SO_SNDBUF). A receiver that is connected to us has no other limit, so one stopped receiver
//! could fill the buffer, and the kernel would refuse our datagrams to all others. So the buffer is
//! made larger where the kernel allows it, and a destination may hold a sixteenth of what is free,
//! or one message of any size while an eighth of the buffer stays free:
//!
//! ```text
//! send buffer  |# stuck A #|# stuck B #|# stuck C #|# in flight to D, E #|....... free .......|
//!              |<-------------- floor ------------>|
//! ```
//!
//! The kernel does not tell how much a destination holds. It tells the exact sum (SIOCOUTQ), so the
//! rest is estimated:
//!
//! - The datagrams that were sent last are assumed to be received first. Active receivers drain
//!   quickly, so old datagrams are those of stuck receivers (`in_flight.rs`).
//! - The floor is the lowest sum of the last two periods: about what the stuck receivers hold.
//! - A destination that stays above its share for some milliseconds is a suspect. It gets single
//!   probes at growing intervals, one suspect at a time. If the sum returns to the floor, the probe
//!   was received, and everything before it was too, since datagrams to one destination arrive in
//!   order. Then the destination holds nothing, and is not a suspect any more. If the sum falls
//!   below the floor of the last probe, the next probe is due at once.
//!
//! An estimate can be wrong when several destinations read at the same time. If it is too high, an
//! active destination waits for a probe; if it is too low, a stuck destination gets another
//! sixteenth of what is free. Since the sum is exact, some of the buffer always stays free.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Datagram, Errno};

use super::in_flight::InFlight;

/// The send buffer that an unconnected socket asks for (bytes). The kernel gives at most twice
/// net.core.wmem_max, which by default is twice the default send buffer.
const BUFFER: usize = 1024 * 1024;

/// The divisor of the free bytes that gives the share of a destination.
const SHARE: usize = 16;

/// The divisor of the buffer that gives the bytes that a large message leaves free.
const RESERVE: usize = 8;

/// The longest datagram that the kernel stores contiguously (bytes); longer ones are stored in
/// pages.
const LINEAR: usize = 16_064;

/// The first pause between probes, and the time in which a probe has to be received. Each pause is
/// four times the one before.
pub(crate) const PROBE: Duration = Duration::from_millis(2);

/// The longest pause between probes. What a permanently stuck receiver gets grows with the
/// logarithm of the time.
const PROBE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The periods over which the lowest sum is found.
const PERIOD: Duration = Duration::from_millis(50);

/// The most suspects that are remembered: far more than can have a datagram in the largest buffer.
const SUSPECTS: usize = 4_096;

/// A destination that seems not to read.
struct Suspect {
    probe_at: Instant,
    pause: Duration,
    /// The floor at the last probe (bytes).
    floor: usize,
}

/// The probe that is in flight.
struct Probe {
    to: Address,
    /// The sum at which it counts as received (bytes).
    target: usize,
    /// No other destination is probed before this time.
    until: Instant,
}

/// What the destinations of one unconnected socket hold of its send buffer.
pub(crate) struct Shares {
    buffer: usize,
    largest: usize,
    in_flight: InFlight,
    suspects: HashMap<Address, Suspect>,
    probe: Option<Probe>,
    /// The sum when it was read last (bytes).
    sum: usize,
    /// What was sent since (bytes).
    since: usize,
    /// The lowest sums of this period and of the one before (bytes).
    lows: [usize; 2],
    period_ends: Instant,
}

impl Shares {
    /// Raises the socket's send buffer, if that is possible.
    ///
    /// # Errors
    ///
    /// The error of the system call that failed.
    pub(crate) fn new(socket: &Datagram) -> Result<Self, Errno> {
        let (before, largest) = (socket.send_buffer()?, socket.max_message()?);
        // Where wmem_max is low, asking for more gives less: it is tried on another socket.
        let given = Datagram::new().and_then(|other| {
            other.set_send_buffer(BUFFER)?;
            other.send_buffer()
        });
        if given.is_ok_and(|given| given > before) {
            socket.set_send_buffer(BUFFER)?;
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

    /// Returns the length of the largest datagram (bytes): that of the socket's original send
    /// buffer.
    pub(crate) fn largest(&self) -> usize {
        self.largest
    }

    /// Returns whether a datagram of `len` bytes may go to `to` now.
    pub(crate) fn permits(&mut self, socket: &Datagram, to: &Address, len: usize) -> bool {
        let cost = cost(len);
        // The sum is read often enough for the estimates to concern few bytes.
        if self.since <= self.buffer / SHARE && self.fits(to, cost) {
            return true;
        }
        self.read_sum(socket);
        self.fits(to, cost)
    }

    /// Returns whether a datagram may go to `to` above its share as a probe, if `to` has waited for
    /// [`PROBE`] or longer.
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
        // One probe at a time: the sum does not tell whose probe was received.
        let undecided = self.probe.as_ref().is_some_and(|probe| probe.until > now);
        if !(due || held < suspect.floor) || undecided || !self.leaves_reserve(cost) {
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
        // This cannot fail on an open socket; if it did, the previous sum would be the best
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
        let held_by = self.in_flight.to(to);
        let free = self.buffer.saturating_sub(self.held());
        held_by + cost <= free / SHARE || (held_by == 0 && self.leaves_reserve(cost))
    }

    fn leaves_reserve(&self, cost: usize) -> bool {
        let held = self.held();
        held == 0 || held + cost <= self.buffer - self.buffer / RESERVE
    }

    /// Returns an upper bound of what all destinations hold (bytes).
    fn held(&self) -> usize {
        self.sum + self.since
    }
}

/// Returns an upper bound of what the kernel charges for a datagram (bytes): its buffer, whose size
/// is a power of two and includes the shared info, and a `struct sk_buff`. The pages of a large
/// datagram come in blocks.
fn cost(len: usize) -> usize {
    if len <= LINEAR {
        (len + 320).next_power_of_two().max(512) + 256
    } else {
        len + len / 2 + 8_192
    }
}
