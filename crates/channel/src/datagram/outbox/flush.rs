//! How queued messages go out: on whose sign, how many at a time, and what is waited for next.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use fdwire_socket::{Datagram, Errno};
use fdwire_wire::jsoncomm;

use super::{Outbox, Surroundings};
use crate::batch::{Event, Undelivered, UndeliveredReason};
use crate::datagram::attempt::{Blocked, Failure, attempt, probe};
use crate::datagram::carried::{file_of, is_for_file};
use crate::datagram::lane::{LOOK, Lane, RETRY, Wait};
use crate::datagram::share::PROBE;
use crate::poll::{EventFlags, Token};

/// What a lane settles in one go: messages, and bytes. Then others have their turn.
const BURST: (usize, usize) = (128, 1024 * 1024);

impl Outbox {
    /// Sends what can be sent to the peer, for whom the channel's socket has room again.
    pub(crate) fn on_writable(&mut self, around: &Surroundings<'_>, events: &mut Vec<Event>) {
        if let Some(lane) = self.peer {
            self.flush(around, lane, BURST, Instant::now(), events);
        }
    }

    /// Sends what can be sent to those who hold their share: somebody has read.
    pub(crate) fn on_news(&mut self, around: &Surroundings<'_>, events: &mut Vec<Event>) {
        if let Some(shares) = &mut self.shares {
            shares.read_sum(around.socket);
        }
        self.flush_all(around, events, BURST, |lane| lane.news);
    }

    /// Sends what can be sent to the lane whose receiver has room again, or is gone.
    pub(crate) fn on_receiver(
        &mut self,
        around: &Surroundings<'_>,
        lane: usize,
        events: &mut Vec<Event>,
    ) {
        // A readiness that was reported before the lane's end may come after it.
        if self.lanes.get(lane).is_some_and(|lane| matches!(lane.wait, Wait::Receiver(_))) {
            self.flush(around, lane, BURST, Instant::now(), events);
        }
    }

    /// Tries again where it is time, and gives up what has waited for too long.
    pub(crate) fn on_time(
        &mut self,
        around: &Surroundings<'_>,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        if let Some(shares) = &mut self.shares {
            shares.read_sum(around.socket);
        }
        let due: Vec<usize> =
            self.timers.iter().take_while(|&&(at, _)| at <= now).map(|&(_, lane)| lane).collect();
        for lane in due {
            self.flush(around, lane, BURST, now, events);
        }
    }

    /// One non-blocking attempt for everything that is queued, for the process's last moment.
    pub(crate) fn try_all(&mut self, around: &Surroundings<'_>, events: &mut Vec<Event>) {
        self.flush_all(around, events, (usize::MAX, usize::MAX), |_| true);
    }

    fn flush_all(
        &mut self,
        around: &Surroundings<'_>,
        events: &mut Vec<Event>,
        burst: (usize, usize),
        which: impl Fn(&Lane) -> bool,
    ) {
        let lanes: Vec<usize> =
            self.lanes.iter().filter(|(_, lane)| which(lane)).map(|(index, _)| index).collect();
        for lane in lanes {
            self.flush(around, lane, burst, Instant::now(), events);
        }
    }

    /// Sends from the front of a lane until it is empty, has to wait again, or has had its turn.
    fn flush(
        &mut self,
        around: &Surroundings<'_>,
        index: usize,
        (mut messages, mut bytes): (usize, usize),
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        while let Some(front) = self.lanes[index].queue.front() {
            if messages == 0 || bytes == 0 {
                // What it waits for may have come already and not come again.
                self.lanes[index].retry_at = Some(now);
                self.retime(index);
                return;
            }
            messages -= 1;
            bytes = bytes.saturating_sub(front.bytes.len());
            let outcome = if front.deadline.is_some_and(|deadline| deadline <= now) {
                Some(UndeliveredReason::Expired)
            } else {
                match self.attempt_front(around, index, now) {
                    Ok(()) => None,
                    Err(Failure::Refused(errno)) => Some(UndeliveredReason::Refused(errno)),
                    Err(Failure::Blocked(blocked)) => {
                        self.wait_for(around, index, blocked, now);
                        return;
                    }
                }
            };
            let message = self.settle(index);
            let lane = &mut self.lanes[index];
            match (message, outcome) {
                (Some(message), Some(reason)) => {
                    self.undelivered += 1;
                    let to = lane.to.clone();
                    events.push(Event::Undelivered(Undelivered { reason, seq: message.seq, to }));
                }
                // It reads: the next pause is short again.
                _ => lane.pause = Duration::ZERO,
            }
        }
        let to = self.close_lane(around, index);
        events.push(Event::Drained(to));
    }

    /// Hands the oldest message of a lane to the kernel, in a file where it is too large.
    fn attempt_front(
        &mut self,
        around: &Surroundings<'_>,
        index: usize,
        now: Instant,
    ) -> Result<(), Failure> {
        match self.attempt_as_is(around, index, now) {
            Err(Failure::Refused(errno)) if self.carry_front(around, index, errno) => {
                self.attempt_as_is(around, index, now)
            }
            result => result,
        }
        .map_err(|failure| match failure {
            // It may yet be taken: a caller who waits in line doesn't hear of this.
            Failure::Refused(Errno::NOBUFS | Errno::TOOMANYREFS | Errno::NOMEM) => {
                Failure::Blocked(Blocked::Short)
            }
            failure => failure,
        })
    }

    /// Puts the oldest message of a lane in a file, if that helps against the kernel's refusal.
    fn carry_front(&mut self, around: &Surroundings<'_>, index: usize, errno: Errno) -> bool {
        let lane = &mut self.lanes[index];
        let Some(front) = lane.queue.front_mut() else { return false };
        if !is_for_file(around.limits, front.bytes.len(), front.fds.len(), errno) {
            return false;
        }
        let Ok(file) = file_of(&front.bytes, front.fds.len()) else { return false };
        front.bytes = jsoncomm::MARKER.into();
        front.fds.insert(0, file);
        lane.fds += 1;
        self.fds += 1;
        true
    }

    fn attempt_as_is(
        &mut self,
        around: &Surroundings<'_>,
        index: usize,
        now: Instant,
    ) -> Result<(), Failure> {
        let Some(front) = self.lanes[index].queue.front() else { return Ok(()) };
        let in_file = front.in_file();
        if let Some(len) = in_file
            && !self.has_room_for_file(around, len)
        {
            return Err(Failure::Blocked(Blocked::Share));
        }
        let lane = &self.lanes[index];
        let Some(front) = lane.queue.front() else { return Ok(()) };
        let fds: Vec<BorrowedFd<'_>> = front.fds.iter().map(AsFd::as_fd).collect();
        let to = lane.to.as_ref();
        let mut shares = self.shares.as_mut();
        let bytes = &front.bytes;
        let result = match attempt(shares.as_deref_mut(), around.socket, bytes, &fds, to) {
            // It may be about to read: only a longer wait makes a suspect.
            Err(Failure::Blocked(Blocked::Share)) if lane.pause >= PROBE => {
                probe(shares, around.socket, bytes, &fds, to, now)
            }
            result => result,
        };
        if result.is_ok() {
            self.carried += in_file.unwrap_or(0);
        }
        result
    }

    pub(super) fn wait_for(
        &mut self,
        around: &Surroundings<'_>,
        index: usize,
        blocked: Blocked,
        now: Instant,
    ) {
        let lane = &self.lanes[index];
        if let (Blocked::Share, Wait::Share) = (blocked, &lane.wait)
            && lane.retry_at.is_some_and(|at| at > now)
        {
            // This was news of somebody else: the pause goes on.
            return;
        }
        let (wait, pauses) = match blocked {
            Blocked::Peer => (Wait::Writable, None),
            Blocked::Share => (Wait::Share, Some(LOOK)),
            Blocked::Short => (Wait::Pause, Some(RETRY)),
            Blocked::Receiver => match self.receiver(around, index) {
                Ok(socket) => (Wait::Receiver(socket), None),
                // No descriptor left for it, or the receiver is gone or takes from others only:
                // trying again tells.
                Err(_) => (Wait::Pause, Some(LOOK)),
            },
        };
        self.set_wait(around, index, wait, pauses, now);
    }

    /// An unnamed socket that is connected to the lane's receiver and polled for writing.
    ///
    /// A new one each time: by now the name may be another socket's.
    fn receiver(&self, around: &Surroundings<'_>, lane: usize) -> Result<Datagram, Errno> {
        let socket = Datagram::new()?;
        if let Some(to) = &self.lanes[lane].to {
            socket.connect(to)?;
        }
        let token = Token::Receiver { channel: around.site.index, lane };
        around.site.poller.add(&socket, token, EventFlags::OUT)?;
        Ok(socket)
    }
}
