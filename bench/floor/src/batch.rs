//! The checks, times and reports of a batch.

use std::fs::read_dir;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::fstat;
use rustix::time::{ClockId, clock_gettime};

use crate::Outcome;
use crate::link::Transport;

/// The descriptors of every 64th message are checked with `fstat`; bytes and the number of
/// descriptors are always checked.
const SAMPLE: usize = 64;

/// Compares the received messages with the sent ones.
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

    /// Reports that a batch has ended, and starts the next one. `kept` descriptors stay open on
    /// purpose.
    pub(crate) fn report(&mut self, end: u64, kept: usize) -> Outcome<()> {
        let open = read_dir("/proc/self/fd")?.count() - kept;
        let (cpu, wrong) = (cpu_us(), self.wrong);
        println!(r#"{{"event":"done","end":"{end}","cpu":{cpu},"wrong":{wrong},"open":{open}}}"#);
        self.taken = 0;
        self.wrong = 0;
        Ok(())
    }
}

/// The times of a batch of round trips.
pub(crate) struct RoundTrips {
    start: u64,
    took: Vec<u64>,
}

impl RoundTrips {
    pub(crate) fn new(count: usize) -> Self {
        Self { took: Vec::with_capacity(count), start: monotonic_ns() }
    }

    /// Times one round trip.
    pub(crate) fn time<T>(&mut self, trip: impl FnOnce() -> T) -> T {
        let before = monotonic_ns();
        let result = trip();
        self.took.push(monotonic_ns() - before);
        result
    }

    /// Reports the batch, in which `wrong` replies were wrong.
    pub(crate) fn report(mut self, wrong: usize) {
        self.took.sort_unstable();
        let (start, cpu, count) = (self.start, cpu_us(), self.took.len());
        let (p50, p99) = (self.took[count / 2], self.took[count * 99 / 100]);
        println!(
            r#"{{"event":"sent","start":"{start}","cpu":{cpu},"p50":{p50},"p99":{p99},"wrong":{wrong}}}"#
        );
    }
}

/// Makes a batch of round trips, one after the other.
pub(crate) fn trips(
    link: &mut impl Transport,
    ring: &[Vec<u8>],
    fds: &[BorrowedFd<'_>],
    count: usize,
    tally: &mut Tally<'_>,
) -> Outcome<()> {
    let mut back = Vec::with_capacity(fds.len());
    let mut trips = RoundTrips::new(count);
    for message in ring.iter().cycle().take(count) {
        let (bytes, _) = trips.time(|| {
            link.send(message, fds, None)?;
            link.flush()?;
            link.receive(&mut back)
        })?;
        tally.take(bytes, &back)?;
        back.clear();
    }
    trips.report(tally.wrong());
    Ok(())
}

/// Returns the time of the clock that `process.hrtime` reads, so that the peer can be a Node
/// process (ns).
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Returns the CPU time that this process has used (µs).
pub(crate) fn cpu_us() -> u64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec.cast_unsigned() * 1_000_000 + used.tv_nsec.cast_unsigned() / 1_000
}
