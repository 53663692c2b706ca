//! Who the datagrams that are in flight have been sent to.
//!
//! ```text
//!   bottom                                             top
//!   | to A: 3,072 | to B: 768 | to A: 768 | to C: 16,640 |   land(4,000) takes from the top
//! ```

use std::collections::HashMap;

use fdwire_socket::Address;
use slab::Slab;

/// A stack of datagrams in flight; what was sent last is taken to land first.
#[derive(Default)]
pub(crate) struct Flight {
    by_name: HashMap<Address, usize>,
    destinations: Slab<Destination>,
    /// Destination and bytes; neighbours to the same destination are one.
    stack: Vec<(usize, usize)>,
    bytes: usize,
}

struct Destination {
    name: Address,
    bytes: usize,
}

impl Flight {
    /// Bytes in flight to `name`.
    pub(crate) fn to(&self, name: &Address) -> usize {
        let index = self.by_name.get(name);
        index.map_or(0, |&index| self.destinations[index].bytes)
    }

    /// A datagram went out.
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

    /// Takes out everything to `name`; how many bytes that is.
    pub(crate) fn take(&mut self, name: &Address) -> usize {
        let Some(index) = self.by_name.remove(name) else { return 0 };
        self.stack.retain(|&(to, _)| to != index);
        let bytes = self.destinations.remove(index).bytes;
        self.bytes -= bytes;
        bytes
    }

    /// No more than `left` bytes are in flight.
    pub(crate) fn land(&mut self, left: usize) {
        while self.bytes > left
            && let Some((index, of_top)) = self.stack.last_mut()
        {
            let landed = (self.bytes - left).min(*of_top);
            let index = *index;
            *of_top -= landed;
            if *of_top == 0 {
                self.stack.pop();
            }
            self.bytes -= landed;
            self.destinations[index].bytes -= landed;
            if self.destinations[index].bytes == 0 {
                let gone = self.destinations.remove(index);
                self.by_name.remove(&gone.name);
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
    fn what_was_sent_last_lands_first() {
        let (a, b) = (name(b'a'), name(b'b'));
        let mut flight = Flight::default();
        for (to, bytes) in [(&a, 10), (&a, 20), (&b, 5), (&a, 1), (&b, 7)] {
            flight.push(to, bytes);
        }
        flight.land(100);
        assert_eq!((flight.to(&a), flight.to(&b), flight.stack.len()), (31, 12, 4));
        flight.land(32);
        assert_eq!((flight.to(&a), flight.to(&b)), (30, 2));
        flight.land(30);
        assert_eq!((flight.to(&a), flight.to(&b), flight.by_name.len()), (30, 0, 1));
        flight.push(&b, 3);
        assert_eq!((flight.take(&a), flight.take(&a), flight.bytes), (30, 0, 3));
        flight.land(0);
        assert!(flight.stack.is_empty() && flight.by_name.is_empty());
    }
}
