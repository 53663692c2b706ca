//! The layout of the memory that native code and JavaScript share: one slab of bytes, one table of
//! 32-bit words. `lib/native.ts` allocates both by these sizes.
//!
//! ```text
//! slab   | messages of a turn | names of senders | names of destinations |
//! table  | head | records | descriptors of a turn's messages | descriptors for the next send |
//! ```

#![expect(clippy::cast_possible_truncation, reason = "sizes far below 2^32, checked by eye")]

use fdwire_channel::{MAX_EVENTS, MAX_FDS, NAMES};
use napi_derive::napi;

/// Bytes of the slab that hold messages.
const MESSAGES: usize = 512 * 1024;

/// Where the part of the slab begins that a turn reads into, and where it ends.
pub(crate) const BATCH_BYTES: usize = MESSAGES + NAMES;

/// Bytes of the slab.
#[napi]
pub const SLAB_BYTES: u32 = (BATCH_BYTES + NAMES) as u32;

/// Word 0: how many messages of a failed or cut off `sendMany` were taken.
#[napi]
pub const TAKEN: u32 = 0;

/// The first word of the first record.
#[napi]
pub const RECORDS: u32 = 8;

/// The number of words of a record.
#[napi]
pub const RECORD_WORDS: u32 = 8;

/// The word of a record that holds its `RecordKind`.
#[napi]
pub const RECORD_KIND: u32 = 0;

/// The word of a record that holds where its bytes begin in the slab, or a number that depends on its
/// kind.
#[napi]
pub const RECORD_PLACE: u32 = 1;

/// The word of a record that holds the number of its bytes.
#[napi]
pub const RECORD_LENGTH: u32 = 2;

/// The word of a record that holds the position of its first descriptor, counted from `FDS_IN`.
#[napi]
pub const RECORD_FIRST_FD: u32 = 3;

/// The word of a record that holds the number of its descriptors.
#[napi]
pub const RECORD_FDS: u32 = 4;

/// The word of a record that holds where a name begins in the slab, or one of the `FROM_` values.
#[napi]
pub const RECORD_NAME: u32 = 5;

/// The word of a record that holds the length of the name; see `CREDENTIALS`.
#[napi]
pub const RECORD_NAME_LENGTH: u32 = 6;

/// The word of a record that holds a `PayloadKind` (see `JOINED`), a `RefusalReason`, a `LossReason` or
/// the number of a queued message, depending on its kind.
#[napi]
pub const RECORD_DETAIL: u32 = 7;

/// The detail of a message is its payload, and this many times how many messages from it on are
/// joined into one JSON array: from the byte before the first to the one behind the last.
#[napi]
pub const JOINED: i32 = 16;

/// The word of a name's length is that, and this many times the place in the slab of the sender's
/// credentials (0 for none): pid, uid and gid, of 32 bits each, little-endian.
#[napi]
pub const CREDENTIALS: i32 = 128;

/// The first word of the descriptors that came with the messages of this turn.
#[napi]
pub const FDS_IN: u32 = RECORDS + MAX_EVENTS as u32 * RECORD_WORDS;

/// The first word of the descriptors that go with the next message.
#[napi]
pub const FDS_OUT: u32 = FDS_IN + MAX_FDS as u32;

/// The most descriptors of a message.
#[napi]
pub const FDS_OUT_MAX: u32 = fdwire_socket::MAX_FDS as u32;

/// Words of the table.
#[napi]
pub const TABLE_WORDS: u32 = FDS_OUT + FDS_OUT_MAX;

/// What a record tells.
#[napi]
#[derive(Clone, Copy)]
pub enum RecordKind {
    /// A message in the slab; detail: how to read it.
    Message,
    /// A message in memory of its own, which `takeLarge(place)` gives; detail: how to read it.
    Large,
    /// A refused message, its first bytes in the slab; detail: a `RefusalReason`.
    Refused,
    /// A destination's queue is empty.
    Drained,
    /// A queued message was given up; place: the errno, 0 where it expired; detail: its number.
    Undelivered,
    /// Queued messages were settled.
    Progress,
    /// Reading stopped at the limit of open descriptors.
    FdsHeld,
    /// The socket failed; place: the errno; the name: of the system call.
    Failed,
    /// The connection is made.
    Connected,
    /// A listener has a connection; place: the channel's index.
    Accepted,
    /// The peer has ended.
    End,
    /// The peer has ended inside of a frame; place: the bytes that are missing at least.
    Cut,
    /// Nothing more can be understood of the stream, from these bytes in the slab on; detail: a
    /// `LossReason`.
    Lost,
}

/// Why nothing more can be understood of a stream.
#[napi]
#[derive(Clone, Copy)]
pub enum LossReason {
    /// A frame is larger than `maxMessage`.
    TooLarge,
    /// A header is none of the protocol's.
    BadHeader,
}

/// How the bytes of a message are to be read.
#[napi]
#[derive(Clone, Copy)]
pub enum PayloadKind {
    /// Text below 0x80.
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
    /// The next frame begins in it.
    CutOff,
    /// It has an escape that is none.
    BadEscape,
    /// It is larger than `maxMessage`.
    TooLarge,
    /// It came with more descriptors than `maxFds`.
    TooManyFds,
    /// The kernel could not install all its descriptors.
    FdsTruncated,
    /// It should be in a file in memory, and is not.
    NoMemoryFile,
}

/// The sender is the one peer.
#[napi]
pub const FROM_PEER: i32 = -1;

/// The sender has no name.
#[napi]
pub const FROM_UNNAMED: i32 = -2;

/// The sender is the same as that of the channel's message before.
#[napi]
pub const FROM_SAME: i32 = -3;

/// What `send` gives where the destination's queue is full; other negative values are errnos.
#[napi]
pub const QUEUE_FULL: i32 = -10_000;

/// What `send` gives where the message goes in a file, beside which there is no room for its
/// descriptors.
#[napi]
pub const NO_ROOM_FOR_FILE: i32 = -10_004;

/// What `send` gives where the destination is no address.
#[napi]
pub const BAD_ADDRESS: i32 = -10_001;

/// What `send` gives where the message holds the protocol's delimiter.
#[napi]
pub const HAS_DELIMITER: i32 = -10_002;

/// What `send` gives where the message is longer than the protocol's header can say.
#[napi]
pub const TOO_LONG: i32 = -10_003;
