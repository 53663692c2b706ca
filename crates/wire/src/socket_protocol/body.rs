//! The body of a socket_protocol frame: JSON and a checksum, with three numbers either in the JSON
//! or before it.
//!
//! ```text
//!  pure_json    ┌───────────────────────────────────────────────┬─────────────┐
//!               │ {"data_id":1,"service_id":10,"status":0,"dat… │ CRC-32      │
//!               └───────────────────────────────────────────────┴─────────────┘
//!  struct_json  ┌─────────────┬─────────────┬─────────────┬─────┬─────────────┐
//!               │ 00 00 00 00 │ 00 00 00 0a │ 00 00 00 01 │ 2…  │ CRC-32      │
//!               │ status      │ service id  │ data id     │ data│             │
//!               └─────────────┴─────────────┴─────────────┴─────┴─────────────┘
//!                 32-bit big-endian integers; the checksum covers all bytes before it
//! ```
//!
//! This layout is fdwire's own, version 1: only the original's documentation is available, and it
//! does not specify the bytes. The checksum is the CRC-32 of IEEE 802.3, as in zlib's `crc32`. It
//! detects accidental changes, not attacks.

use alloc::vec::Vec;

/// The layout of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object, which contains the three numbers.
    PureJson,
    /// The three numbers, then the data as JSON.
    StructJson,
}

/// The three numbers of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The result of the operation.
    pub status: u32,
    /// The service that the message concerns.
    pub service_id: u32,
    /// The data item of that service.
    pub data_id: u32,
}

/// The parts of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// The numbers of a `struct_json` body.
    pub ids: Option<Ids>,
    /// The object (`pure_json`) or the data (`struct_json`); not yet parsed.
    pub json: &'a [u8],
    /// Whether the checksum is correct. If not, the other fields may be wrong.
    pub checksum_matches: bool,
}

/// Splits a body into its parts, or returns None if it is shorter than its fixed-size parts.
#[must_use]
pub fn decode(form: Form, bytes: &[u8]) -> Option<Body<'_>> {
    let (checked, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
    let checksum_matches = crc32fast::hash(checked) == u32::from_be_bytes(*sum);
    match form {
        Form::PureJson => Some(Body { ids: None, json: checked, checksum_matches }),
        Form::StructJson => {
            let (header, json) = checked.split_first_chunk::<HEADER>()?;
            Some(Body { ids: Some(Ids::from_bytes(header)), json, checksum_matches })
        }
    }
}

/// Appends a body to `out`: `struct_json` if `ids` are given, otherwise `pure_json`, whose JSON
/// contains the numbers.
pub fn encode(ids: Option<Ids>, json: &str, out: &mut Vec<u8>) {
    let from = out.len();
    out.reserve(HEADER + json.len() + CHECKSUM);
    if let Some(Ids { status, service_id, data_id }) = ids {
        for number in [status, service_id, data_id] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
    out.extend_from_slice(json.as_bytes());
    let sum = crc32fast::hash(&out[from..]);
    out.extend_from_slice(&sum.to_be_bytes());
}

impl Ids {
    fn from_bytes(header: &[u8; HEADER]) -> Self {
        let number = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        Self { status: number(0), service_id: number(4), data_id: number(8) }
    }
}

/// Length in bytes of the numbers before the data.
const HEADER: usize = 12;
/// Length of the checksum in bytes.
const CHECKSUM: usize = 4;
