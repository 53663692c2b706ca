//! Bodies of socket_protocol messages: JSON, up to three numbers, and a checksum.

use fdwire_wire::socket_protocol::body::{self, Form, Ids};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

/// The contents of a body.
#[napi(object)]
pub struct SocketProtocolBody {
    /// Whether the checksum is correct.
    pub checksum_matches: bool,
    /// The JSON of the body; absent if it is not UTF-8.
    pub json: Option<String>,
    /// The status, in `struct_json`.
    pub status: Option<u32>,
    /// The id of the service, in `struct_json`.
    pub service_id: Option<u32>,
    /// The id of the data item, in `struct_json`.
    pub data_id: Option<u32>,
}

/// Returns the body of `pure_json` that carries a JSON object.
#[napi]
pub fn encode_pure_json(json: String) -> Buffer {
    body_of(None, &json)
}

/// Returns the body of `struct_json` that carries JSON data.
#[napi]
pub fn encode_struct_json(status: u32, service_id: u32, data_id: u32, json: String) -> Buffer {
    body_of(Some(Ids { status, service_id, data_id }), &json)
}

/// Returns the contents of a body of `struct_json` or `pure_json`; null if it is too short.
#[napi]
pub fn decode_socket_protocol(is_struct: bool, bytes: &[u8]) -> Option<SocketProtocolBody> {
    let form = if is_struct { Form::StructJson } else { Form::PureJson };
    let body = body::decode(form, bytes)?;
    Some(SocketProtocolBody {
        checksum_matches: body.checksum_matches,
        json: str::from_utf8(body.json).ok().map(str::to_owned),
        status: body.ids.map(|ids| ids.status),
        service_id: body.ids.map(|ids| ids.service_id),
        data_id: body.ids.map(|ids| ids.data_id),
    })
}

fn body_of(ids: Option<Ids>, json: &str) -> Buffer {
    let mut bytes = Vec::new();
    body::encode(ids, json, &mut bytes);
    bytes.into()
}
