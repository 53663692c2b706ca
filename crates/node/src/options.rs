//! Options as JavaScript passes them. `lib/options` has checked them.

use std::time::Duration;

use fdwire_channel::{Framing, Limits};
use fdwire_socket::{Address, Binding, Errno, SocketSetup, SyscallError, Unlink};
use fdwire_wire::Protocol;
use fdwire_wire::codec::{self, Codec, Delimiter, LengthField};
use napi::Either;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::error::syscall_error;

/// The options of a channel.
#[napi(object)]
pub struct ChannelOptions {
    /// The name of the protocol.
    pub protocol: String,
    /// Maximum length of a received message in bytes.
    pub max_message: u32,
    /// Maximum number of descriptors of a received message.
    pub max_fds: u32,
    /// The number of open received descriptors at which the channel stops reading.
    pub max_open_fds: u32,
    /// The number of queued bytes of a stream above which `send` returns a sequence number.
    pub high_water_mark: u32,
    /// Maximum number of bytes in a queue. Each destination of datagrams has its own queue.
    pub max_queued: u32,
    /// Maximum number of bytes in all queues of a datagram socket together; 0 for no limit.
    pub max_queued_total: u32,
    /// Maximum number of descriptors in a queue.
    pub max_queued_fds: u32,
    /// How long a datagram may be queued (ms); 0 for no limit.
    pub send_timeout: u32,
    /// How long no byte may move in either direction of a connection (ms); 0 for no limit.
    pub idle_timeout: u32,
    /// How long a message of a stream may take in all (ms); 0 for no limit.
    pub message_timeout: u32,
    /// How long to poll for the next message (µs); 0 for not at all.
    pub busy_poll: u32,
    /// Whether payloads are text.
    pub text: bool,
    /// Whether payloads are JSON.
    pub json: bool,
    /// jsoncomm: whether a message may be sent and received in a memfd.
    pub memfd: bool,
    /// uds_comms: whether to decode everything that the original implementation decodes.
    pub lenient: bool,
    /// lines: whether the bytes after the last delimiter are a message.
    pub final_line: bool,
    /// lines: what ends each message, in UTF-8 or as bytes.
    #[napi(ts_type = "string | Uint8Array")]
    pub delimiter: Either<String, Uint8Array>,
    /// length_prefixed: the size of the length in bytes.
    pub length_bytes: u8,
    /// length_prefixed: whether the length begins with its lowest byte.
    pub little_endian: bool,
    /// length_prefixed: what is added to the received number to get the size of the message.
    pub length_adjustment: i64,
    /// Datagrams: whether each message comes with the credentials of its sender.
    pub credentials: bool,
    /// TCP: whether small messages are sent at once.
    pub no_delay: bool,
    /// TCP: the idle time before the first keep-alive probe (s), 0 for the kernel's default; false
    /// for no probes.
    #[napi(ts_type = "number | false")]
    pub keep_alive: Either<u32, bool>,
    /// TCP listeners: whether other sockets may listen on the same port.
    pub reuse_port: bool,
    /// The size of the send buffer in bytes; absent for the kernel's default.
    #[napi(ts_type = "number | undefined")]
    pub send_buffer_size: Option<u32>,
    /// TCP: the size of the receive buffer in bytes; absent for the kernel's default.
    #[napi(ts_type = "number | undefined")]
    pub recv_buffer_size: Option<u32>,
}

impl ChannelOptions {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_message: self.max_message as usize,
            max_fds: self.max_fds as usize,
            max_open_fds: self.max_open_fds as usize,
            high_water_mark: self.high_water_mark as usize,
            max_queued: self.max_queued as usize,
            max_queued_total: match self.max_queued_total {
                0 => usize::MAX,
                limit => limit as usize,
            },
            max_queued_fds: self.max_queued_fds as usize,
            memfd: self.memfd,
            busy_poll: Duration::from_micros(self.busy_poll.into()),
            send_timeout: timeout(self.send_timeout),
            idle_timeout: timeout(self.idle_timeout),
            message_timeout: timeout(self.message_timeout),
        }
    }

    pub(crate) fn setup(&self) -> SocketSetup {
        SocketSetup {
            no_delay: self.no_delay,
            keep_alive: match self.keep_alive {
                Either::A(idle) => Some(Duration::from_secs(idle.into())),
                Either::B(_) => None,
            },
            reuse_port: self.reuse_port,
            refuse_fds: self.limits().refuses_fds(),
            credentials: self.credentials,
            send_buffer: self.send_buffer_size,
            receive_buffer: self.recv_buffer_size,
        }
    }

    pub(crate) fn protocol(&self) -> Result<Protocol, SyscallError> {
        let protocol = Protocol::from_name(&self.protocol).ok_or(Errno::PROTONOSUPPORT);
        protocol.map_err(syscall_error("protocol"))
    }

    pub(crate) fn framing(&self) -> Result<Framing, SyscallError> {
        let invalid = || syscall_error("framing")(Errno::INVAL);
        let delimiter = match &self.delimiter {
            Either::A(text) => text.as_bytes(),
            Either::B(bytes) => bytes,
        };
        let options = codec::Options {
            max_message: self.max_message as usize,
            text: self.text,
            lenient: self.lenient,
            final_line: self.final_line,
            delimiter: Delimiter::new(delimiter).ok_or_else(invalid)?,
            length_field: LengthField::new(
                self.length_bytes,
                self.little_endian,
                self.length_adjustment,
            )
            .ok_or_else(invalid)?,
        };
        let codec = Codec::new(self.protocol()?, options).ok_or(Errno::PROTONOSUPPORT);
        let codec = codec.map_err(syscall_error("protocol"))?;
        Ok(Framing { codec, text: self.text, json: self.json })
    }
}

/// Returns a time limit that is given in ms, where 0 means no limit.
fn timeout(ms: u32) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms.into()))
}

/// How a socket is bound to a path.
#[napi(object)]
pub struct PathOptions {
    /// The permissions of the socket file.
    pub mode: u32,
    /// When to remove a socket file that already exists at the path.
    #[napi(ts_type = "'stale' | 'always' | 'never'")]
    pub unlink: String,
}

impl PathOptions {
    /// Returns how a socket is bound to `address`.
    pub(crate) fn binding<'a>(&self, address: &'a Address) -> Binding<'a> {
        let unlink = match self.unlink.as_str() {
            "always" => Unlink::Always,
            "never" => Unlink::Never,
            _ => Unlink::Stale,
        };
        Binding { address, mode: self.mode, unlink }
    }
}
