//! The layout of the memory that native code and JavaScript share: a slab of bytes, a table of
//! 32-bit words, and a block of bytes. `lib/native` allocates them in these sizes.
//!
//! ```text
//! slab   | messages of a turn | senders, samples | other names |
//! table  | head | records | spans | descriptors of a turn | descriptors of the next send |
//!        | records of gathered messages | counters |
//! block  | bytes of gathered messages |
//! ```

#![expect(clippy::cast_possible_truncation, reason = "the sizes are constants far below 2^31")]

use fdwire_channel::{MAX_EVENTS, MAX_FDS, NAMES};
use napi_derive::napi;

use crate::counters;

/// Size in bytes of the part of the slab that holds messages.
const MESSAGES: usize = 512 * 1024;

/// Size in bytes of the part of the slab that a batch fills: messages, and the addresses and
/// samples that belong to them.
pub(crate) const BATCH_BYTES: usize = MESSAGES + NAMES;

/// The size of the slab in bytes.
#[napi]
pub const SLAB_BYTES: u32 = (BATCH_BYTES + NAMES) as u32;

/// The word of the table that holds the number of messages that the last `sendMany` sent or queued.
#[napi]
pub const TAKEN: u32 = 0;

/// The word of the table that holds how many bytes JavaScript may gather for the stream to which
/// the last message was sent; see `Channel::room` in crates/channel.
#[napi]
pub const ROOM: u32 = 1;

/// The word of the table at which the first record begins.
#[napi]
pub const RECORDS: u32 = 8;

/// The number of words of a record.
#[napi]
pub const RECORD_WORDS: u32 = 8;

/// The word of a record that holds its `RecordKind`.
#[napi]
pub const RECORD_KIND: u32 = 0;

/// The word of a record that holds the offset of its bytes in the slab, the index of its (first)
/// span, or a number that depends on its kind.
#[napi]
pub const RECORD_PLACE: u32 = 1;

/// The word of a record that holds the number of its bytes, or of its spans.
#[napi]
pub const RECORD_LENGTH: u32 = 2;

/// The word of a record that holds the index of its first descriptor, counted from `FDS_IN`.
#[napi]
pub const RECORD_FIRST_FD: u32 = 3;

/// The word of a record that holds the number of its descriptors.
#[napi]
pub const RECORD_FDS: u32 = 4;

/// The word of a record that holds the offset of a name in the slab, or one of the `FROM_` values.
/// A name is an address, or a system call.
#[napi]
pub const RECORD_NAME: u32 = 5;

/// The word of a record that holds the length of the name; see `CREDENTIALS`.
#[napi]
pub const RECORD_NAME_LENGTH: u32 = 6;

/// The word of a record that holds a `PayloadKind`, a `RefusalReason`, a `LossReason` or the
/// sequence number of a queued message, depending on its kind.
#[napi]
pub const RECORD_DETAIL: u32 = 7;

/// The factor of the second number in `RECORD_NAME_LENGTH`. The first number is the length of the
/// name. The second is the offset of the sender's credentials in the slab, or 0 for none. The
/// credentials are pid, uid and gid as 32-bit little-endian integers.
#[napi]
pub const CREDENTIALS: i32 = 128;

/// The word of the table at which the first span begins: the payload of a message in the slab.
#[napi]
pub const SPANS: u32 = RECORDS + MAX_EVENTS as u32 * RECORD_WORDS;

/// The number of words of a span.
#[napi]
pub const SPAN_WORDS: u32 = 3;

/// The word of a span that holds the offset of the payload in the slab.
#[napi]
pub const SPAN_START: u32 = 0;

/// The word of a span that holds the length of the payload in bytes.
#[napi]
pub const SPAN_LENGTH: u32 = 1;

/// The word of a span that holds the `PayloadKind`, and, multiplied by `JOINED`, the number of
/// messages that are joined into one JSON array, starting with this one (0: none). The array begins
/// one byte before the first message and ends one byte after the last.
#[napi]
pub const SPAN_KIND: u32 = 2;

/// See `SPAN_KIND`.
#[napi]
pub const JOINED: i32 = 16;

/// The word of the table at which the descriptors of a turn's messages begin.
#[napi]
pub const FDS_IN: u32 = SPANS + MAX_EVENTS as u32 * SPAN_WORDS;

/// The word of the table at which the descriptors of the next sent message begin.
#[napi]
pub const FDS_OUT: u32 = FDS_IN + MAX_FDS as u32;

/// Maximum number of descriptors of one message.
#[napi]
pub const FDS_OUT_MAX: u32 = fdwire_socket::MAX_FDS as u32;

/// The word of the table at which the records of gathered messages begin. Each has two words: the
/// index of the channel, and `GATHERED_LENGTH` times the length plus 1 for a text. The length is in
/// bytes, or in UTF-16 code units for a text.
#[napi]
pub const GATHERED: u32 = FDS_OUT + FDS_OUT_MAX;

/// The number of words of the record of a gathered message.
#[napi]
pub const GATHERED_WORDS: u32 = 2;

/// The factor of the length in the record of a gathered message.
#[napi]
pub const GATHERED_LENGTH: i32 = 2;

/// Maximum number of gathered messages.
#[napi]
pub const MAX_GATHERED: u32 = 4_096;

/// The largest number of bytes that JavaScript gathers for a stream.
#[napi]
pub const MAX_ROOM: u32 = fdwire_channel::FLUSH as u32;

/// What JavaScript counts for the framing of a gathered message, in bytes.
#[napi]
pub const FRAME_OVERHEAD: u32 = fdwire_channel::OVERHEAD as u32;

/// The largest length of a gathered frame, as a multiple of what JavaScript counts for it.
#[napi]
pub const FRAME_EXPANSION: u32 = fdwire_channel::EXPANSION as u32;

/// The size in bytes of the block that holds the gathered messages that are bytes, in order.
#[napi]
pub const BLOCK_BYTES: u32 = 128 * 1024;

/// The word of the table at which the counters of a channel begin: the low and the high word of
/// each `Counter`, which `stats` and `close` write.
#[napi]
pub const COUNTERS: u32 = GATHERED + MAX_GATHERED * GATHERED_WORDS;

/// The size of the table in words.
#[napi]
pub const TABLE_WORDS: u32 = COUNTERS + 2 * counters::COUNT as u32;

/// What a record describes.
#[napi]
#[derive(Clone, Copy)]
pub enum RecordKind {
    /// Plain messages: from the connected peer, without descriptors. The place is the index of the
    /// first span, and the length the number of spans.
    Messages,
    /// A message that is not plain. The place is the index of its span.
    Message,
    /// A message that did not fit into the slab. `takeLarge(place)` returns it. The detail is its
    /// `PayloadKind`.
    Large,
    /// A refused message. Its first bytes are in the slab; the detail is a `RefusalReason`.
    Refused,
    /// The queue for a destination is empty. The name is that of the destination.
    Drained,
    /// A queued message could not be delivered. The place is the errno, 0 if it expired, or
    /// `EVICTED`; the
    /// name is that of the destination; the detail is the low 31 bits of its sequence number.
    Undelivered,
    /// Messages have left the queue.
    Progress,
    /// The channel has stopped reading at its limit of open descriptors.
    FdsHeld,
    /// The socket failed. The place is the errno; the name is that of the system call.
    Failed,
    /// The connection is established.
    Connected,
    /// A listener has accepted a connection. The place is the index of its channel.
    Accepted,
    /// A listener of `acceptUnread` has accepted connections: the descriptors of the record.
    Connections,
    /// A watched descriptor may be readable. The place is 1 if its peer has ended the connection.
    Readable,
    /// The peer has ended the connection.
    End,
    /// The peer has ended the connection within a frame. The place is the least number of bytes
    /// that are missing.
    Cut,
    /// The connection is shut down in both directions: nothing can be sent any more.
    HungUp,
    /// A deadline of the connection has passed. The detail is a `Deadline`.
    Late,
    /// The rest of the stream cannot be decoded. Its first bytes are in the slab; the detail is a
    /// `LossReason`.
    Lost,
}

/// A deadline of a connection.
#[napi]
#[derive(Clone, Copy)]
pub enum Deadline {
    /// No byte has moved in either direction for `idleTimeout`.
    Idle,
    /// A message has not ended within `messageTimeout`.
    Message,
}

/// Why the rest of a stream cannot be decoded.
#[napi]
#[derive(Clone, Copy)]
pub enum LossReason {
    /// A frame is larger than `maxMessage`.
    TooLarge,
    /// A frame header is invalid.
    BadHeader,
}

/// How the bytes of a message are read.
#[napi]
#[derive(Clone, Copy)]
pub enum PayloadKind {
    /// Text in ASCII.
    Ascii,
    /// Text in UTF-8.
    Utf8,
    /// Bytes.
    Bytes,
}

/// Why a message was refused.
#[napi]
#[derive(Clone, Copy)]
pub enum RefusalReason {
    /// It is empty.
    Empty,
    /// It is not valid UTF-8.
    NotUtf8,
    /// It is not valid base64.
    NotBase64,
    /// The next frame begins within it.
    CutOff,
    /// It contains an invalid escape sequence.
    BadEscape,
    /// It is larger than `maxMessage`.
    TooLarge,
    /// It came with more descriptors than `maxFds`.
    TooManyFds,
    /// The kernel could not install all of its descriptors.
    FdsTruncated,
    /// It announces a memfd that is missing or invalid.
    NoMemoryFile,
}

/// `RECORD_NAME` of a record that concerns the connected peer.
#[napi]
pub const FROM_PEER: i32 = -1;

/// `RECORD_NAME` of a message from an unbound socket.
#[napi]
pub const FROM_UNNAMED: i32 = -2;

/// `RECORD_NAME` of a message from the same sender as the channel's previous message.
#[napi]
pub const FROM_SAME: i32 = -3;

/// `RECORD_PLACE` of an undelivered message that was dropped at the limit of all queues together.
#[napi]
pub const EVICTED: i32 = -1;

/// The error code of `send` if the queue for the destination is full.
#[napi]
pub const QUEUE_FULL: i32 = -10_000;

/// The error code of `send` if the destination is not a valid address.
#[napi]
pub const BAD_ADDRESS: i32 = -10_001;

/// The error code of `send` if the message contains the delimiter of the protocol.
#[napi]
pub const HAS_DELIMITER: i32 = -10_002;

/// The error code of `send` if the message is longer than the header of the protocol can announce.
#[napi]
pub const TOO_LONG: i32 = -10_003;

/// The error code of `send` if the message needs a memfd, but already has the maximum number of
/// descriptors.
#[napi]
pub const NO_ROOM_FOR_FILE: i32 = -10_004;
