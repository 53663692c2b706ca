//! Properties of `fdwire_wire::json`, checked against a byte-by-byte reference and a strict parser.

mod balanced;
mod elements;
mod joined;
mod texts;
