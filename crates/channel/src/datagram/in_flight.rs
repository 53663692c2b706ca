//! The destinations of the datagrams in flight: sent, and not consumed by their receivers yet.
//!
//! ```text
//!   bottom                                             top
//!   | to A: 3,072 | to B: 768 | to A: 768 | to C: 16,640 |   keep(17,248) removes from the top
//! ```

use std::collections::HashMap;

use fdwire_socket::Address;
use slab::Slab;

/// A stack of the datagrams in flight. The kernel reports only their sum, so the datagram that was
/// sent last is assumed to be consumed first: active receivers drain quickly.
#[derive(Default)]
pub(crate) struct InFlight {
    by_name: HashMap<Address, usize>,
    destinations: Slab<Destination>,
    /// Index of the destination, and number of bytes. Adjacent datagrams to one destination share
    /// an entry.
    stack: Vec<(usize, usize)>,
    bytes: usize,
}

struct Destination {
    name: Address,
    bytes: usize,
}

impl InFlight {
    /// Returns the number of bytes in flight to `name`.
    pub(crate) fn to(&self, name: &Address) -> usize {
        let index = self.by_name.get(name);
        index.map_or(0, |&index| self.destinations[index].bytes)
    }

    /// Adds a datagram.
    pub(crate) fn push(&mut self, name: &Address, bytes: usize) {
        let index = match self.by_name.get(name) {
            Some(&index) => index,
            None => {
                let destination = Destination { name: name.clone(), bytes: 0 };
                let index = self.destinations.insert(destination);
                self.by_name.insert(name.clone(), index);
                index
            }
        };
        self.destinations[index].bytes += bytes;
        self.bytes += bytes;
        match self.stack.last_mut() {
            Some((top, of_top)) if *top == index => *of_top += bytes,
            _ => self.stack.push((index, bytes)),
        }
    }

    /// Removes all datagrams to `name`, and returns their bytes.
    pub(crate) fn remove(&mut self, name: &Address) -> usize {
        let Some(index) = self.by_name.remove(name) else { return 0 };
        self.stack.retain(|&(to, _)| to != index);
        let bytes = self.destinations.remove(index).bytes;
        self.bytes -= bytes;
        bytes
    }

    /// Removes datagrams from the top until at most `bytes` bytes are left.
    pub(crate) fn keep(&mut self, bytes: usize) {
        while self.bytes > bytes
            && let Some((index, of_top)) = self.stack.last_mut()
        {
            let consumed = (self.bytes - bytes).min(*of_top);
            let index = *index;
            *of_top -= consumed;
            if *of_top == 0 {
                self.stack.pop();
            }
            self.bytes -= consumed;
            self.destinations[index].bytes -= consumed;
            if self.destinations[index].bytes == 0 {
                let destination = self.destinations.remove(index);
                self.by_name.remove(&destination.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(letter: u8) -> Address {
        Address::from_bytes(&[letter]).unwrap_or(Address::UNNAMED)
    }

    #[test]
    fn removes_what_was_sent_last_first() {
        let (a, b) = (name(b'a'), name(b'b'));
        let mut in_flight = InFlight::default();
        for (to, bytes) in [(&a, 10), (&a, 20), (&b, 5), (&a, 1), (&b, 7)] {
            in_flight.push(to, bytes);
        }
        in_flight.keep(100);
        assert_eq!((in_flight.to(&a), in_flight.to(&b), in_flight.stack.len()), (31, 12, 4));
        in_flight.keep(32);
        assert_eq!((in_flight.to(&a), in_flight.to(&b)), (30, 2));
        in_flight.keep(30);
        assert_eq!((in_flight.to(&a), in_flight.to(&b), in_flight.by_name.len()), (30, 0, 1));
        in_flight.push(&b, 3);
        assert_eq!((in_flight.remove(&a), in_flight.remove(&a), in_flight.bytes), (30, 0, 3));
        in_flight.keep(0);
        assert!(in_flight.stack.is_empty() && in_flight.by_name.is_empty());
    }
}
