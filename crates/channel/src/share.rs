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
//! - A destination that stays over its share for some milliseconds is a suspect. The floor is what
//!   the suspects are believed to hold, or the lowest sum between two probes if that is more.
//! - Nobody else holds more than what the sum is above the floor. When the sum is at the floor, all
//!   others have received everything.
//! - A suspect is sent single probes at growing intervals, one suspect at a time. If the sum comes
//!   back to the floor before, the probe was received, and so was, since datagrams to one
//!   destination arrive in order, everything before it: it is no suspect any more. A fall of the sum
//!   that a suspect could have caused makes its probe due at once.
//!
//! A belief can be wrong when several destinations read at the same time. Too high, it costs a live
//! destination the wait for a probe; too low, it gives a stuck one another sixteenth of what is
//! free. As the sum is exact, what is free never comes to nothing that way.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Datagram, Errno};

/// What is asked for as send buffer of an unconnected socket (bytes). The kernel gives at most twice
/// net.core.wmem_max, which is by default twice what a socket has.
const BUFFER: usize = 1024 * 1024;

/// A destination's share of what is free.
const SHARE: usize = 16;

/// The part of the buffer that one large message leaves free.
const RESERVE: usize = 8;

/// The kernel keeps this much of a send buffer to itself when it judges a datagram's size (bytes).
const KEPT: usize = 32;

/// A datagram's bytes stand behind each other up to this length, and in pages beyond (bytes).
const LINEAR: usize = 16_064;

/// The first pause between probes, and how long one has to be received; each pause is four times the
/// one before. There is no longest: what somebody stuck for ever is sent grows with the logarithm of
/// the time.
pub(crate) const PROBE: Duration = Duration::from_millis(2);

/// Many more destinations than can hold a datagram of the largest buffer at the same time.
const REMEMBERED: usize = 4_096;

/// A destination that seems not to read.
struct Suspect {
    /// What it is believed to hold.
    bytes: usize,
    probe_at: Instant,
    pause: Duration,
    /// The sum at the last probe (bytes).
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
    /// Bytes sent to each that is no suspect since the sum was last at the floor.
    fresh: HashMap<Address, usize>,
    suspects: HashMap<Address, Suspect>,
    probe: Option<Probe>,
    /// The sum at the last reading, and what was sent since (bytes).
    sum: usize,
    since: usize,
    /// What those that don't read hold (bytes).
    floor: usize,
    /// The lowest sum since the last probe (bytes).
    low: usize,
}

impl Shares {
    /// Makes the socket's send buffer larger, if that can be.
    ///
    /// # Errors
    ///
    /// When the socket can't be asked for its send buffer.
    pub(crate) fn new(socket: &Datagram) -> Result<Self, Errno> {
        let before = socket.send_buffer()?;
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
            largest: before.saturating_sub(KEPT),
            fresh: HashMap::new(),
            suspects: HashMap::new(),
            probe: None,
            sum: 0,
            since: 0,
            floor: 0,
            low: 0,
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
        let (out, cost) = (self.out(), cost(len));
        let fits = self.leaves_reserve(cost);
        if !self.suspects.contains_key(to) {
            let bytes = self.held(to);
            self.fresh.remove(to);
            self.raise(to, bytes);
            let suspect = Suspect { bytes, probe_at: now, pause: PROBE, mark: out };
            self.suspects.insert(to.clone(), suspect);
        }
        let Some(suspect) = self.suspects.get_mut(to) else { return false };
        let may_have_read = out + suspect.bytes / 2 < suspect.mark;
        // One at a time: the fall of the sum would not tell whose probe was received.
        let undecided = self.probe.as_ref().is_some_and(|probe| probe.until > now);
        if !fits || undecided || (suspect.probe_at > now && !may_have_read) {
            return false;
        }
        suspect.pause *= 4;
        suspect.probe_at = now + suspect.pause;
        suspect.mark = out;
        self.floor = self.floor.max(self.low).min(out);
        self.low = out + cost;
        self.probe = Some(Probe { to: to.clone(), target: self.floor, until: now + PROBE });
        true
    }

    /// A datagram of `len` bytes went to `to`.
    pub(crate) fn charge(&mut self, to: &Address, len: usize) {
        let cost = cost(len);
        self.since += cost;
        if !self.suspects.is_empty()
            && let Some(suspect) = self.suspects.get_mut(to)
        {
            suspect.bytes += cost;
            self.raise(to, cost);
            return;
        }
        match self.fresh.get_mut(to) {
            Some(bytes) => *bytes += cost,
            None => {
                self.fresh.insert(to.clone(), cost);
            }
        }
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
        self.low = self.low.min(self.sum);
        if let Some(probe) = self.probe.take_if(|probe| self.sum <= probe.target) {
            self.suspects.remove(&probe.to);
        }
        if self.sum <= self.floor {
            self.floor = self.sum;
            self.fresh.clear();
        }
        if self.sum == 0 || self.fresh.len() + self.suspects.len() > REMEMBERED {
            self.fresh.clear();
            self.suspects.clear();
            self.probe = None;
            self.floor = 0;
        }
    }

    /// `suspect` is believed to hold so many bytes more.
    fn raise(&mut self, suspect: &Address, bytes: usize) {
        self.floor += bytes;
        if let Some(probe) = &mut self.probe
            && probe.to != *suspect
        {
            probe.target += bytes;
        }
    }

    fn fits(&self, to: &Address, cost: usize) -> bool {
        let held = self.held(to);
        let free = self.buffer.saturating_sub(self.out());
        held + cost <= free / SHARE || (held == 0 && self.leaves_reserve(cost))
    }

    fn leaves_reserve(&self, cost: usize) -> bool {
        let out = self.out();
        out == 0 || out + cost <= self.buffer - self.buffer / RESERVE
    }

    fn held(&self, to: &Address) -> usize {
        if !self.suspects.is_empty()
            && let Some(suspect) = self.suspects.get(to)
        {
            return suspect.bytes.min(self.out());
        }
        let fresh = self.fresh.get(to).copied().unwrap_or(0);
        fresh.min(self.out().saturating_sub(self.floor))
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
