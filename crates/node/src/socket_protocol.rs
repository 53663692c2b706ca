//! Bodies of socket_protocol: JavaScript has JSON and three numbers, and bytes have a checksum.

use fdwire_wire::socket_protocol::body::{self, Form, Ids};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

/// A body that was taken apart.
#[napi(object)]
pub struct SocketProtocolBody {
    /// Whether the checksum is right.
    pub is_sound: bool,
    /// The object of `pure_json`, the data of `struct_json`; null where it isn't UTF-8.
    pub json: Option<String>,
    /// `struct_json`: what came of it.
    pub status: Option<u32>,
    /// `struct_json`: the service.
    pub service_id: Option<u32>,
    /// `struct_json`: the datum of the service.
    pub data_id: Option<u32>,
}

/// The body of `pure_json` that carries an object.
#[napi]
pub fn write_pure_json(json: String) -> Buffer {
    written(None, &json)
}

/// The body of `struct_json` that carries data.
#[napi]
pub fn write_struct_json(status: u32, service_id: u32, data_id: u32, json: String) -> Buffer {
    written(Some(Ids { status, service_id, data_id }), &json)
}

/// Takes a body apart: of `struct_json`, or else of `pure_json`. null where it is too short.
#[napi]
pub fn read_socket_protocol(is_struct: bool, bytes: &[u8]) -> Option<SocketProtocolBody> {
    let form = if is_struct { Form::StructJson } else { Form::PureJson };
    let body = body::read(form, bytes)?;
    Some(SocketProtocolBody {
        is_sound: body.is_sound,
        json: str::from_utf8(body.json).ok().map(str::to_owned),
        status: body.ids.map(|ids| ids.status),
        service_id: body.ids.map(|ids| ids.service_id),
        data_id: body.ids.map(|ids| ids.data_id),
    })
}

fn written(ids: Option<Ids>, json: &str) -> Buffer {
    let mut bytes = Vec::new();
    body::write(ids, json, &mut bytes);
    bytes.into()
}
