//! Fuzz targets: each is a function that asserts what must hold for any bytes.
//!
//! `npm run fuzz` runs them with libFuzzer, and `tests/corpus.rs` with the inputs in `corpus/`, which has a
//! folder for each target.
//!
//! | file | contents |
//! | --- | --- |
//! | `main.rs` | the program for libFuzzer |
//! | `laws.rs`, `subject.rs` | the codecs, with the laws that they obey; the tests of crates/wire use both |
//! | `inbox.rs` | a channel that receives a hostile stream |
//! | `outbox.rs` | a channel that sends to a slow peer |
//! | `descriptors.rs` | a channel that receives descriptors |
//! | `exchange.rs`, `operations.rs`, `bin/exchange.rs` | an exchange, and other uses of sockets and files, whose system calls `tests/errnos.rs` makes fail |
//! | `control.rs` | the parser of control messages |
//! | `json.rs`, `scalar_json.rs` | the scan of JSON texts, and its reference |
//! | `utf16.rs` | the conversion of JavaScript's texts |
//! | `channel.rs`, `input.rs` | what the targets share |

#![forbid(unsafe_code)]

mod channel;
mod control;
mod descriptors;
pub mod exchange;
mod inbox;
mod input;
mod json;
mod laws;
mod operations;
mod outbox;
pub mod scalar_json;
pub mod subject;
mod utf16;

use fdwire_wire::Protocol;

pub use laws::assert_laws;

type Body = Box<dyn Fn(&[u8])>;

/// A fuzz target.
pub struct Target {
    /// Its name, which is that of its folder in the corpus.
    pub name: &'static str,
    run: Body,
}

impl Target {
    fn new(name: &'static str, run: impl Fn(&[u8]) + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }

    /// Runs it with an input.
    ///
    /// # Panics
    ///
    /// If what the target asserts does not hold.
    pub fn run(&self, input: &[u8]) {
        (self.run)(input);
    }
}

/// Returns all fuzz targets. Each protocol with frames has one.
#[must_use]
pub fn targets() -> Vec<Target> {
    let mut protocols: Vec<Protocol> =
        subject::Subject::all_framed().iter().map(|subject| subject.protocol).collect();
    protocols.sort_by_key(|protocol| protocol.name());
    protocols.dedup();
    let codecs = protocols
        .into_iter()
        .map(|protocol| Target::new(protocol.name(), move |input| laws::streams(protocol, input)));
    codecs
        .chain([
            Target::new("control", control::control),
            Target::new("descriptors", descriptors::descriptors),
            Target::new("inbox", inbox::inbox),
            Target::new("json", json::json),
            Target::new("outbox", outbox::outbox),
            Target::new("utf16", utf16::utf16),
        ])
        .collect()
}
