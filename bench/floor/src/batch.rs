use std::fs::read_dir;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::fstat;
use rustix::time::{ClockId, clock_gettime};

use crate::Outcome;
use crate::link::Transport;

/// Every how many messages the descriptors are looked at (bytes and numbers are compared always).
const SAMPLE: usize = 64;

/// Compares what arrives with what must have been sent.
pub(crate) struct Tally<'ring> {
    ring: &'ring [Vec<u8>],
    fds: usize,
    inode: u64,
    taken: usize,
    wrong: usize,
}

impl<'ring> Tally<'ring> {
    pub(crate) fn new(ring: &'ring [Vec<u8>], fds: usize, inode: u64) -> Self {
        Self { ring, fds, inode, taken: 0, wrong: 0 }
    }

    pub(crate) fn take(&mut self, bytes: &[u8], fds: &[OwnedFd]) -> Outcome<()> {
        let expected = &self.ring[self.taken % self.ring.len()];
        let mut right = bytes == expected.as_slice() && fds.len() == self.fds;
        if self.taken.is_multiple_of(SAMPLE) {
            for fd in fds {
                right &= fstat(fd)?.st_ino == self.inode;
            }
        }
        self.taken += 1;
        self.wrong += usize::from(!right);
        Ok(())
    }

    pub(crate) fn wrong(&self) -> usize {
        self.wrong
    }

    /// Says that a batch is complete, and starts the next one.
    pub(crate) fn report(&mut self, end: u64) -> Outcome<()> {
        let open = read_dir("/proc/self/fd")?.count();
        println!(r#"{{"event":"done","end":"{end}","wrong":{},"open":{open}}}"#, self.wrong);
        self.taken = 0;
        self.wrong = 0;
        Ok(())
    }
}

/// Round trips one after the other, each timed.
pub(crate) fn trips(
    link: &mut impl Transport,
    ring: &[Vec<u8>],
    fds: &[BorrowedFd<'_>],
    count: usize,
    tally: &mut Tally<'_>,
) -> Outcome<()> {
    let mut took = Vec::with_capacity(count);
    let mut back = Vec::with_capacity(fds.len());
    let start = monotonic_ns();
    for i in 0..count {
        let before = monotonic_ns();
        link.send(&ring[i % ring.len()], fds, None)?;
        link.flush()?;
        let (bytes, _) = link.receive(&mut back)?;
        took.push(monotonic_ns() - before);
        tally.take(bytes, &back)?;
        back.clear();
    }
    took.sort_unstable();
    println!(
        r#"{{"event":"sent","start":"{start}","p50":{},"p99":{},"wrong":{}}}"#,
        took[count / 2],
        took[count * 99 / 100],
        tally.wrong()
    );
    Ok(())
}

/// The clock of `process.hrtime`, so that both ends may be of different languages.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
