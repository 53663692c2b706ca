//! How results and options cross.

use std::time::Duration;

use fdwire_channel::{Channel, Framing, Limits};
use fdwire_socket::{Errno, Name, SyscallError};
use fdwire_wire::Protocol;
use fdwire_wire::codec::{self, Codec, Unframeable};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::table::{HAS_DELIMITER, TOO_LONG};

/// A channel's index, or the system call that failed.
#[napi(object)]
pub struct Outcome {
    /// The index; -1 where there is none.
    pub channel: i32,
    /// 0, or the errno; 0 without an index: the path is locked by somebody, try again.
    pub errno: i32,
    /// The system call.
    pub syscall: String,
    /// Whether the connection is yet to be made, of which a record tells.
    pub connecting: bool,
}

impl Outcome {
    pub(crate) fn channel(index: usize) -> Self {
        let channel = i32::try_from(index).unwrap_or(i32::MAX);
        Self { channel, ..Self::locked() }
    }

    pub(crate) fn locked() -> Self {
        Self { channel: -1, errno: 0, syscall: String::new(), connecting: false }
    }
}

/// A system call that failed, on its way to an `Outcome`.
pub(crate) struct Failed(pub(crate) Errno, pub(crate) &'static str);

impl From<SyscallError> for Failed {
    fn from(error: SyscallError) -> Self {
        Self(error.errno, error.syscall)
    }
}

impl From<Failed> for Outcome {
    fn from(Failed(errno, syscall): Failed) -> Self {
        Self { errno: errno.raw_os_error(), syscall: syscall.into(), ..Self::locked() }
    }
}

/// Names the system call of a failure.
pub(crate) fn in_call(syscall: &'static str) -> impl Fn(Errno) -> Failed {
    move |errno| Failed(errno, syscall)
}

/// What a channel is made with; `lib/options.ts` has checked it.
#[napi(object)]
pub struct ChannelOptions {
    /// The name of the protocol.
    pub protocol: String,
    /// Bytes.
    pub max_message: u32,
    /// Descriptors a message may bring.
    pub max_fds: u32,
    /// Received descriptors at which reading stops.
    pub max_open_fds: u32,
    /// Unsent bytes of a stream above which `send` says so.
    pub high_water_mark: u32,
    /// Bytes, for each destination.
    pub max_queued: u32,
    /// Descriptors, for each destination.
    pub max_queued_fds: u32,
    /// Milliseconds; 0 for none.
    pub send_timeout: u32,
    /// Whether payloads are text.
    pub text: bool,
    /// Whether that is JSON.
    pub json: bool,
    /// Datagrams: whether each message tells its sender's credentials.
    pub credentials: bool,
    /// jsoncomm: whether a message may be in a file in memory.
    pub memfd: bool,
    /// uds_comms: to decode what the original decodes.
    pub lenient: bool,
    /// lines: what stands behind the last delimiter is a message too.
    pub final_line: bool,
}

impl ChannelOptions {
    pub(crate) fn limits(&self) -> Limits {
        let timeout = Duration::from_millis(self.send_timeout.into());
        Limits {
            max_message: self.max_message as usize,
            max_fds: self.max_fds as usize,
            max_open_fds: self.max_open_fds as usize,
            high_water_mark: self.high_water_mark as usize,
            max_queued: self.max_queued as usize,
            max_queued_fds: self.max_queued_fds as usize,
            memfd: self.memfd,
            send_timeout: (!timeout.is_zero()).then_some(timeout),
        }
    }

    pub(crate) fn protocol(&self) -> Result<Protocol, Failed> {
        Protocol::from_name(&self.protocol).ok_or(Failed(Errno::PROTONOSUPPORT, "protocol"))
    }

    pub(crate) fn framing(&self) -> Result<Framing, Failed> {
        let options = codec::Options {
            max_message: self.max_message as usize,
            text: self.text,
            lenient: self.lenient,
            final_line: self.final_line,
        };
        let codec = Codec::new(self.protocol()?, options);
        let codec = codec.ok_or(Failed(Errno::PROTONOSUPPORT, "protocol"))?;
        Ok(Framing { codec, text: self.text, json: self.json })
    }
}

/// What a channel has done and has waiting.
#[napi(object)]
pub struct ChannelStats {
    /// Messages received whole.
    pub received: f64,
    /// Their bytes.
    pub received_bytes: f64,
    /// Their descriptors.
    pub received_fds: f64,
    /// Messages refused.
    pub refused: f64,
    /// Messages taken by the kernel or a queue.
    pub sent: f64,
    /// Their bytes.
    pub sent_bytes: f64,
    /// Their descriptors.
    pub sent_fds: f64,
    /// Queued messages that were given up.
    pub undelivered: f64,
    /// Messages in the queues.
    pub queued: f64,
    /// Their bytes.
    pub queued_bytes: f64,
    /// Their descriptors.
    pub queued_fds: f64,
    /// Received descriptors that nobody has taken or closed.
    pub open_fds: f64,
    /// Bytes of a stream outside of any frame.
    pub noise: f64,
    /// Bytes of a stream that were read and are no message yet.
    pub in_hand: f64,
}

/// The numbers of queued messages.
#[napi(object)]
#[derive(Default)]
pub struct QueueNumbers {
    /// The oldest that is still queued; 0 where nothing is.
    pub oldest: f64,
    /// The next that will be queued.
    pub next: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
impl ChannelStats {
    pub(crate) fn of(channel: &Channel) -> Self {
        let done = channel.counters();
        let queued = channel.queued();
        Self {
            received: done.received as f64,
            received_bytes: done.received_bytes as f64,
            received_fds: done.received_fds as f64,
            refused: done.refused as f64,
            sent: done.sent as f64,
            sent_bytes: done.sent_bytes as f64,
            sent_fds: done.sent_fds as f64,
            undelivered: done.undelivered as f64,
            queued: queued.messages as f64,
            queued_bytes: queued.bytes as f64,
            queued_fds: queued.fds as f64,
            open_fds: channel.open_fds() as f64,
            noise: done.noise as f64,
            in_hand: channel.buffered_input() as f64,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
impl QueueNumbers {
    pub(crate) fn new((oldest, next): (Option<u64>, u64)) -> Self {
        Self { oldest: oldest.unwrap_or(0) as f64, next: next as f64 }
    }
}

/// The name of a socket.
#[napi(object)]
pub struct SocketName {
    /// A Unix socket's, empty where it has none; absent for TCP.
    pub unix: Option<Buffer>,
    /// A TCP socket's address; absent for Unix.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<u16>,
}

impl From<Name> for SocketName {
    fn from(name: Name) -> Self {
        match name {
            Name::Unix(address) => {
                Self { unix: Some(address.as_bytes().to_vec().into()), host: None, port: None }
            }
            Name::Inet(address) => Self {
                unix: None,
                host: Some(address.ip().to_string()),
                port: Some(address.port()),
            },
        }
    }
}

/// The error code of what a protocol can't carry.
pub(crate) fn unframeable(why: Unframeable) -> i32 {
    match why {
        Unframeable::Delimiter => HAS_DELIMITER,
        Unframeable::TooLong => TOO_LONG,
    }
}
