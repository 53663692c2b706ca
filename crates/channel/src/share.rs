//! The share of our send buffer that each destination may hold.
//!
//! Every datagram that waits in some receiver's queue is charged to the sender's one send buffer
//! (SO_SNDBUF). A receiver that is connected to us has no other limit, so a single stopped one
//! could fill the buffer, and the kernel would then refuse our datagrams to everybody else too.
//! Nothing tells how much of the buffer a given destination holds: SIOCOUTQ gives the sum only.
//! So this keeps an upper bound for each, and lets a destination have at most as much as is still
//! free: the first stuck one gets half of the buffer, the next a quarter, and so on, and whoever
//! reads what it is sent always finds room.
//!
//! ```text
//! send buffer  |#### stuck A ####|## stuck B ##|# in flight to C #|......... free .........|
//!              |<---------- floor: the lowest sum seen ---------->|   C may hold up to this
//! ```
//!
//! The bounds are corrected at each reading of the sum: a destination can't hold more than all of
//! it, and when the sum is back at the floor, everything sent since the floor was seen has been
//! received. Datagrams to one destination arrive in order, so what was sent to it before has too.

use std::collections::HashMap;

use fdwire_socket::{Address, Datagram};

/// What the kernel charges for a datagram beside its bytes, roughly (bytes): a `struct sk_buff`
/// and the shared info behind the data, rounded up.
const OVERHEAD: usize = 704;

/// An upper bound for what one destination holds (bytes of our send buffer).
#[derive(Default)]
struct Held {
    /// Sent before the floor was seen.
    old: usize,
    /// Sent since.
    new: usize,
}

/// Upper bounds for what every destination of one unconnected socket holds.
pub(crate) struct Shares {
    buffer: usize,
    held: HashMap<Address, Held>,
    /// The sum at the last reading, and what was sent since (bytes).
    sum: usize,
    since: usize,
    floor: usize,
}

impl Shares {
    pub(crate) fn new(buffer: usize) -> Self {
        Self { buffer, held: HashMap::new(), sum: 0, since: 0, floor: 0 }
    }

    /// Whether a datagram of `len` bytes may go to `to` now.
    pub(crate) fn permits(&mut self, socket: &Datagram, to: &Address, len: usize) -> bool {
        if self.fits(to, len) {
            return true;
        }
        self.read_sum(socket);
        if self.fits(to, len) {
            return true;
        }
        // What is out now may stay out: from here on only a fall below this sum proves anything.
        self.floor = self.sum;
        for held in self.held.values_mut() {
            held.old += held.new;
            held.new = 0;
        }
        false
    }

    /// A datagram of `len` bytes went to `to`.
    pub(crate) fn charge(&mut self, to: &Address, len: usize) {
        let cost = len + OVERHEAD;
        self.since += cost;
        match self.held.get_mut(to) {
            Some(held) => held.new += cost,
            None => {
                self.held.insert(to.clone(), Held { old: 0, new: cost });
            }
        }
    }

    /// `to` has received all it was sent.
    pub(crate) fn release(&mut self, to: &Address) {
        self.held.remove(to);
    }

    /// The lowest sum that is known to be stuck (bytes).
    pub(crate) fn floor(&self) -> usize {
        self.floor
    }

    /// Whether the kernel refuses datagrams because our own buffer is full.
    pub(crate) fn is_exhausted(&mut self, socket: &Datagram) -> bool {
        self.read_sum(socket);
        self.sum >= self.buffer
    }

    /// Reads the sum from the kernel (bytes) and corrects the bounds.
    pub(crate) fn read_sum(&mut self, socket: &Datagram) -> usize {
        // The reading can't fail on a socket that is open; if it did, the sum so far is the best.
        let sum = socket.unsent().unwrap_or(self.sum + self.since);
        self.sum = sum;
        self.since = 0;
        let all_new_arrived = sum <= self.floor;
        self.floor = self.floor.min(sum);
        self.held.retain(|_, held| {
            if all_new_arrived && held.new > 0 {
                return false;
            }
            held.old = held.old.min(sum);
            held.new = held.new.min(sum - held.old);
            held.old + held.new > 0
        });
        sum
    }

    fn fits(&self, to: &Address, len: usize) -> bool {
        let Some(held) = self.held.get(to) else {
            return true;
        };
        held.old + held.new + len + OVERHEAD <= self.buffer.saturating_sub(self.sum + self.since)
    }
}
