//! The laws of `fdwire_wire::json`, held against a byte-by-byte reference and a strict parser.

mod closed;
mod elements;
mod joined;
mod scalar;
mod texts;
