//! What is in a frame of socket_protocol: JSON and a checksum, with the three numbers in the JSON or
//! before it.
//!
//! ```text
//!  pure_json    ┌───────────────────────────────────────────────┬─────────────┐
//!               │ {"data_id":1,"service_id":10,"status":0,"dat… │ CRC-32      │
//!               └───────────────────────────────────────────────┴─────────────┘
//!  struct_json  ┌─────────────┬─────────────┬─────────────┬─────┬─────────────┐
//!               │ 00 00 00 00 │ 00 00 00 0a │ 00 00 00 01 │ 2…  │ CRC-32      │
//!               │ status      │ service id  │ data id     │ data│             │
//!               └─────────────┴─────────────┴─────────────┴─────┴─────────────┘
//!                 32 bits, big-endian: the numbers as the checksum, which is over all before it
//! ```
//!
//! These bytes are fdwire's own, version 1: of the original only the documentation could be had, and
//! it doesn't say them. The checksum is the CRC-32 of IEEE 802.3, that of zlib's `crc32`. It finds
//! accidents, not attacks.

use alloc::vec::Vec;

/// The two forms of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object.
    PureJson,
    /// The three numbers, then the data as JSON.
    StructJson,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// What came of it.
    pub status: u32,
    /// The service.
    pub service_id: u32,
    /// The datum of the service.
    pub data_id: u32,
}

/// A body that was taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// The numbers, where they stand before the JSON.
    pub ids: Option<Ids>,
    /// What should be JSON: the object, or the data.
    pub json: &'a [u8],
    /// Whether the checksum is right. Where it isn't, nothing else may be either.
    pub is_sound: bool,
}

/// Takes a body apart; None where it is too short for one.
#[must_use]
pub fn read(form: Form, bytes: &[u8]) -> Option<Body<'_>> {
    let (checked, sum) = bytes.split_last_chunk::<CHECKSUM>()?;
    let is_sound = crc32fast::hash(checked) == u32::from_be_bytes(*sum);
    match form {
        Form::PureJson => Some(Body { ids: None, json: checked, is_sound }),
        Form::StructJson => {
            let (header, json) = checked.split_first_chunk::<HEADER>()?;
            Some(Body { ids: Some(Ids::from_bytes(header)), json, is_sound })
        }
    }
}

/// Appends the body that carries `json` to `out`: `struct_json` where there are numbers for its
/// header, else `pure_json`, whose JSON has them.
pub fn write(ids: Option<Ids>, json: &str, out: &mut Vec<u8>) {
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

const HEADER: usize = 12;
const CHECKSUM: usize = 4;
