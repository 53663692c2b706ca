//! Methods that act on a channel or a listener. All except `detach` ignore an index that belongs to
//! neither.

use std::os::fd::IntoRawFd;

use fdwire_channel::Channel;
use fdwire_socket::Errno;
use napi::bindgen_prelude::{Buffer, BufferSlice, Env, Uint8Array};
use napi::{Result, Status};
use napi_derive::napi;

use crate::environment::{Environment, index};
use crate::error::syscall_error;
use crate::sending::unframeable;

#[napi]
impl Environment {
    /// Removes a channel and returns the descriptor of its socket, which stays open.
    ///
    /// Throws EBADF if there is no such channel, or if it has no socket.
    #[napi]
    pub fn detach(&self, channel: i32) -> Result<i32> {
        self.attempt(|state| {
            let fd = state.remove(index(channel)).and_then(Channel::into_fd);
            fd.map(IntoRawFd::into_raw_fd).ok_or(Errno::BADF).map_err(syscall_error("detach"))
        })
    }

    /// Sets whether a `Progress` record reports that messages have left the queue of a channel.
    #[napi]
    pub fn watch_queue(&self, channel: i32, watched: bool) -> Result<()> {
        self.with(|state| state.reactor.set_reports_progress(index(channel), watched))
    }

    /// Lets the connection of a channel be replaced: its loss drops no message that was not sent at
    /// all.
    #[napi]
    pub fn keep_on_loss(&self, channel: i32) -> Result<()> {
        self.with(|state| state.reactor.keep_on_loss(index(channel)))
    }

    /// Queues the messages of a datagram or seqpacket socket instead of sending them.
    #[napi]
    pub fn hold(&self, channel: i32) -> Result<()> {
        self.with(|state| state.reactor.hold(index(channel)))
    }

    /// Drops the connection of a channel. With `keep` the queued messages stay, except one that was
    /// sent in part. Returns the sequence numbers of the dropped messages.
    #[napi]
    pub fn disconnect(&self, channel: i32, keep: bool) -> Result<Vec<f64>> {
        #[expect(clippy::cast_precision_loss, reason = "no channel sends 2^53 messages or bytes")]
        self.with(|state| {
            let dropped = state.reactor.disconnect(index(channel), keep);
            dropped.into_iter().map(|seq| seq as f64).collect()
        })
    }

    /// Moves the connection of the channel `from`, which is new and is removed, to a channel whose
    /// connection is lost.
    #[napi]
    pub fn reconnect(&self, channel: i32, from: i32) -> Result<()> {
        self.attempt(|state| {
            state.end_turn_of(index(from));
            match state.reactor.reconnect(index(channel), index(from)) {
                true => Ok(()),
                false => Err(syscall_error("connect")(Errno::BADF)),
            }
        })?;
        self.inner.run_due_turns();
        Ok(())
    }

    /// Sets whether JavaScript is occupied with messages of a channel, which stops the clocks of its
    /// deadlines.
    #[napi]
    pub fn set_busy(&self, channel: i32, busy: bool) -> Result<()> {
        self.with(|state| state.reactor.set_busy(index(channel), busy))
    }

    /// Makes a record report, once, that the connection is shut down in both directions.
    #[napi]
    pub fn watch_hang_up(&self, channel: i32) -> Result<()> {
        self.with(|state| state.reactor.watch_hang_up(index(channel)))
    }

    /// Counts a message as malformed instead of received.
    #[napi]
    pub fn count_malformed(&self, channel: i32, bytes: u32, fds: u32) -> Result<()> {
        self.with(|state| {
            state.reactor.count_malformed(index(channel), bytes as usize, fds as usize);
        })
    }

    /// Returns 0 if the protocol of a stream can carry these bytes, otherwise the error code of
    /// `send`.
    #[napi]
    pub fn check_frame(&self, channel: i32, payload: Uint8Array) -> Result<i32> {
        let checked = self.with(|state| state.reactor.check_frame(index(channel), &payload))?;
        Ok(checked.map_or_else(unframeable, |()| 0))
    }

    /// Makes one non-blocking attempt to send everything that is queued.
    #[napi]
    pub fn try_all(&self) -> Result<()> {
        self.with(|state| state.reactor.try_all())
    }

    /// Half-closes a connection once its queue is empty.
    #[napi]
    pub fn finish(&self, channel: i32) -> Result<()> {
        self.with(|state| state.reactor.finish(index(channel)))
    }

    /// Discards the input of a connection, which closes as soon as its queue is empty.
    #[napi]
    pub fn discard_input(&self, channel: i32) -> Result<()> {
        self.with(|state| state.reactor.discard_input(index(channel)))
    }

    /// Adds bytes to a channel's input that were read from the socket before it was adopted.
    #[napi]
    pub fn unshift(&self, channel: i32, bytes: Uint8Array) -> Result<()> {
        self.with(|state| state.reactor.feed(index(channel), Some(&bytes)))
    }

    /// Adds bytes to the input of a channel without a socket. Without `bytes`, ends the input.
    #[napi]
    pub fn feed(&self, channel: i32, bytes: Option<Uint8Array>) -> Result<()> {
        self.with(|state| state.reactor.feed(index(channel), bytes.as_deref()))?;
        self.inner.run_due_turns();
        Ok(())
    }

    /// Returns the bytes that a channel without a socket has to send. They count as queued until
    /// `settle` reports them as sent.
    #[napi(ts_return_type = "Buffer")]
    pub fn fetch<'env>(&self, env: &'env Env, channel: i32) -> Result<BufferSlice<'env>> {
        let bytes = self.with(|state| state.reactor.fetch(index(channel)))?;
        BufferSlice::copy_from(env, bytes)
    }

    /// Reports that `bytes` of the fetched bytes have been sent.
    #[napi]
    pub fn settle(&self, channel: i32, bytes: u32) -> Result<()> {
        self.with(|state| state.reactor.settle_fetched(index(channel), bytes as usize))?;
        self.inner.run_due_turns();
        Ok(())
    }

    /// Returns the text of a `Large` record of this turn, and other bytes before it. They must not
    /// reach user code: the end of the environment frees them, even if they have been moved to
    /// another thread.
    #[napi]
    pub fn take_large(&self, place: u32) -> Result<Buffer> {
        self.with(|state| state.take_large(place).into())
    }

    /// Fills `target` with the bytes of a `Large` record of this turn, and frees them here.
    #[napi]
    pub fn move_large(&self, place: u32, mut target: BufferSlice<'_>) -> Result<()> {
        let message = self.with(|state| state.take_large(place))?;
        let target: &mut [u8] = &mut target;
        let payload = message.len().checked_sub(target.len()).map(|start| &message[start..]);
        target.copy_from_slice(
            payload
                .ok_or_else(|| napi::Error::new(Status::InvalidArg, "There is no such message"))?,
        );
        Ok(())
    }

    /// Lets the loop poll for messages of the channels that have the option `busyPoll`.
    #[napi]
    pub fn start_busy_polling(&self) -> Result<()> {
        self.inner.start_busy_polling()
    }

    /// Removes the paths that channels and listeners have bound.
    ///
    /// For `process.exit`, which ends the main thread without ending its environment.
    #[napi]
    pub fn unlink_all(&self) -> Result<()> {
        self.with(|state| state.reactor.unlink_all())
    }
}
