//! The share of our send buffer that each destination may hold.
//!
//! Every datagram that waits in some receiver's queue is charged to the sender's one send buffer
//! (SO_SNDBUF). A receiver that is connected to us has no other limit, so a single stopped one
//! could fill the buffer, and the kernel would then refuse our datagrams to everybody else too.
//! So the buffer is made larger where the kernel allows it, and a destination may hold as much as a
//! sixteenth of what is free, or one message of any size while an eighth of the buffer stays free:
//!
//! ```text
//! send buffer  |# stuck A #|# stuck B #|# stuck C #|# in flight to D, E #|....... free .......|
//!              |<-------------- floor ------------>|
//! ```
//!
//! Nothing tells how much a given destination holds: SIOCOUTQ gives the sum only, which is exact.
//! What each one holds is therefore a belief:
//!
//! - What was sent last is received first: who reads does so soon, and what was sent long ago is
//!   somebody's who doesn't (`flight.rs`).
//! - The floor is the lowest sum of the last moments: about what those hold who don't read.
//! - A destination that stays over its share for some milliseconds is a suspect. It is sent single
//!   probes at growing intervals, one suspect at a time. If the sum comes back to the floor, the
//!   probe was received, and so was, since datagrams to one destination arrive in order, everything
//!   before it: it holds nothing then, and is no suspect any more. When the sum is lower than the
//!   last probe found the floor, the next is due at once.
//!
//! A belief can be wrong when several destinations read at the same time. Too high, it costs a live
//! destination the wait for a probe; too low, it gives a stuck one another sixteenth of what is
//! free. As the sum is exact, what is free never comes to nothing that way.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Datagram, Errno};

use super::flight::Flight;

/// What is asked for as send buffer of an unconnected socket (bytes). The kernel gives at most twice
/// net.core.wmem_max, which is by default twice what a socket has.
const BUFFER: usize = 1024 * 1024;

/// A destination's share of what is free.
const SHARE: usize = 16;

/// The part of the buffer that one large message leaves free.
const RESERVE: usize = 8;

/// A datagram's bytes stand behind each other up to this length, and in pages beyond (bytes).
const LINEAR: usize = 16_064;

/// The first pause between probes, and how long one has to be received; each pause is four times the
/// one before.
pub(crate) const PROBE: Duration = Duration::from_millis(2);

/// The longest pause, which is as good as none: what somebody stuck for ever is sent grows with the
/// logarithm of the time.
const PROBE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A moment of those whose lowest sum is the floor.
const MOMENT: Duration = Duration::from_millis(50);

/// Many more destinations than can hold a datagram of the largest buffer at the same time.
const REMEMBERED: usize = 4_096;

/// A destination that seems not to read.
struct Suspect {
    probe_at: Instant,
    pause: Duration,
    /// The floor at the last probe (bytes).
    mark: usize,
}

/// The probe that is under way.
struct Probe {
    to: Address,
    /// The sum at which it has been received (bytes).
    target: usize,
    /// Until when nobody else is probed.
    until: Instant,
}

/// What every destination of one unconnected socket is believed to hold.
pub(crate) struct Shares {
    buffer: usize,
    largest: usize,
    flight: Flight,
    suspects: HashMap<Address, Suspect>,
    probe: Option<Probe>,
    /// The sum at the last reading, and what was sent since (bytes).
    sum: usize,
    since: usize,
    /// The lowest sums of this moment and of the one before (bytes).
    lows: [usize; 2],
    moment_ends: Instant,
}

impl Shares {
    /// Makes the socket's send buffer larger, if that can be.
    ///
    /// # Errors
    ///
    /// When the socket can't be asked for its send buffer.
    pub(crate) fn new(socket: &Datagram) -> Result<Self, Errno> {
        let (before, largest) = (socket.send_buffer()?, socket.max_message()?);
        // Where wmem_max is small, asking for more gives less: a socket that nobody needs shows it.
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
            flight: Flight::default(),
            suspects: HashMap::new(),
            probe: None,
            sum: 0,
            since: 0,
            lows: [0, 0],
            moment_ends: Instant::now(),
        })
    }

    /// The largest datagram that goes out (bytes): as if the buffer had not been made larger.
    pub(crate) fn largest(&self) -> usize {
        self.largest
    }

    /// Whether a datagram of `len` bytes may go to `to` now.
    pub(crate) fn permits(&mut self, socket: &Datagram, to: &Address, len: usize) -> bool {
        let cost = cost(len);
        // The sum is read often enough for the beliefs to be few.
        if self.since <= self.buffer / SHARE && self.fits(to, cost) {
            return true;
        }
        self.read_sum(socket);
        self.fits(to, cost)
    }

    /// Whether a datagram may go to `to` over its share, to see whether it reads: asked only when it
    /// has waited for [`PROBE`] or longer.
    pub(crate) fn permits_probe(&mut self, to: &Address, len: usize, now: Instant) -> bool {
        let (out, cost, floor) = (self.out(), cost(len), self.floor());
        let suspect = match self.suspects.get_mut(to) {
            Some(suspect) => suspect,
            None => {
                let suspect = Suspect { probe_at: now, pause: PROBE, mark: 0 };
                self.suspects.entry(to.clone()).or_insert(suspect)
            }
        };
        let due = suspect.probe_at <= now;
        // One at a time: the fall of the sum would not tell whose probe was received.
        let undecided = self.probe.as_ref().is_some_and(|probe| probe.until > now);
        if !(due || out < suspect.mark) || undecided || !self.leaves_reserve(cost) {
            return false;
        }
        let Some(suspect) = self.suspects.get_mut(to) else { return false };
        if due {
            suspect.pause = suspect.pause.saturating_mul(4).min(PROBE_MAX);
        }
        suspect.probe_at = now + suspect.pause;
        suspect.mark = floor;
        self.probe = Some(Probe { to: to.clone(), target: floor, until: now + PROBE });
        // It may stay out.
        self.lows = self.lows.map(|low| low + cost);
        true
    }

    /// A datagram of `len` bytes went to `to`.
    pub(crate) fn charge(&mut self, to: &Address, len: usize) {
        let cost = cost(len);
        self.since += cost;
        self.flight.push(to, cost);
    }

    /// Whether the kernel refuses datagrams because our own buffer is full.
    pub(crate) fn is_exhausted(&mut self, socket: &Datagram) -> bool {
        self.read_sum(socket);
        self.sum >= self.buffer
    }

    /// Reads the sum from the kernel, and believes what follows from it.
    pub(crate) fn read_sum(&mut self, socket: &Datagram) {
        // The reading can't fail on a socket that is open; if it did, the sum so far is the best.
        self.sum = socket.unsent().unwrap_or(self.sum + self.since);
        self.since = 0;
        let now = Instant::now();
        if now >= self.moment_ends {
            let long_ago = now >= self.moment_ends + MOMENT;
            self.lows = [self.sum, if long_ago { self.sum } else { self.lows[0] }];
            self.moment_ends = now + MOMENT;
        }
        self.lows = self.lows.map(|low| low.min(self.sum));
        if let Some(probe) = self.probe.take_if(|probe| self.sum <= probe.target) {
            self.suspects.remove(&probe.to);
            self.flight.take(&probe.to);
        }
        if self.sum == 0 || self.suspects.len() > REMEMBERED {
            self.suspects.clear();
            self.probe = None;
        }
        self.flight.land(self.sum);
    }

    fn floor(&self) -> usize {
        self.lows[0].min(self.lows[1])
    }

    fn fits(&self, to: &Address, cost: usize) -> bool {
        let held = self.flight.to(to);
        let free = self.buffer.saturating_sub(self.out());
        held + cost <= free / SHARE || (held == 0 && self.leaves_reserve(cost))
    }

    fn leaves_reserve(&self, cost: usize) -> bool {
        let out = self.out();
        out == 0 || out + cost <= self.buffer - self.buffer / RESERVE
    }

    /// All that is out, at the most (bytes).
    fn out(&self) -> usize {
        self.sum + self.since
    }
}

/// What the kernel charges for a datagram (bytes), rather too much: its buffer, a power of two that
/// takes the shared info too, and a `struct sk_buff`; a large one's pages come in blocks.
fn cost(len: usize) -> usize {
    if len <= LINEAR {
        (len + 320).next_power_of_two().max(512) + 256
    } else {
        len + len / 2 + 8_192
    }
}
