//! Sockets that the caller already has. If a method throws, the caller keeps the descriptor.

use std::os::fd::{IntoRawFd, OwnedFd};

use fdwire_channel::Channel;
use fdwire_socket::{Datagram, Errno, Stream, SyscallError};
use napi::Result;
use napi_derive::napi;

use super::add;
use crate::environment::{Environment, number};
use crate::error::syscall_error;
use crate::fds::take_over;
use crate::options::ChannelOptions;

#[napi]
impl Environment {
    /// Creates a channel over a datagram or seqpacket socket.
    #[napi]
    pub fn adopt_datagram(&self, fd: i32, options: ChannelOptions) -> Result<i32> {
        self.attempt(|state| {
            let protocol = options.protocol()?;
            let owned = take_over(fd).map_err(syscall_error("adopt"))?;
            let mut socket = Datagram::adopt(owned).map_err(give_back)?;
            if let Err(errno) = socket.set_up(&options.setup()) {
                return Err(give_back((errno, socket.into_fd())));
            }
            let channel = Channel::datagram(socket, protocol, options.limits());
            let channel =
                channel.map_err(|(errno, socket)| give_back((errno, socket.into_fd())))?;
            Ok(add(state, channel))
        })
    }

    /// Creates a channel over a connected stream socket.
    #[napi]
    pub fn adopt_stream(&self, fd: i32, options: ChannelOptions) -> Result<i32> {
        self.attempt(|state| {
            let framing = options.framing()?;
            let owned = take_over(fd).map_err(syscall_error("adopt"))?;
            let socket = Stream::adopt(owned).map_err(give_back)?;
            if let Err(errno) = socket.set_up(&options.setup()) {
                return Err(give_back((errno, socket.into_fd())));
            }
            let added = state.reactor.add_stream(socket, false, framing, options.limits());
            added.map(number).map_err(|(errno, socket)| give_back((errno, socket.into_fd())))
        })
    }
}

/// Leaves a descriptor open for the caller, which still owns it.
fn give_back((errno, fd): (Errno, OwnedFd)) -> SyscallError {
    let _number = fd.into_raw_fd();
    syscall_error("adopt")(errno)
}
