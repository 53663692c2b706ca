//! The command-line arguments.

use std::collections::HashMap;
use std::env;

use crate::Outcome;

/// The arguments.
pub(crate) struct Options {
    pub(crate) receives: bool,
    pub(crate) work: Work,
    pub(crate) topology: Topology,
    pub(crate) path: String,
    pub(crate) file: String,
    pub(crate) size: usize,
    pub(crate) fds: usize,
    pub(crate) count: usize,
    pub(crate) batches: usize,
    /// The script that receives in place of this program, and the `node` that runs it.
    pub(crate) receiver: Option<(String, String)>,
}

/// What a batch does; `bench/scenario.mjs` describes each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    OneWay,
    RoundTrips,
    Pairs,
    Connect,
    Close,
    Accept,
    Idle,
    Http,
}

impl Work {
    /// Returns whether a batch consists of connections instead of messages.
    pub(crate) fn is_connections(self) -> bool {
        !matches!(self, Self::OneWay | Self::RoundTrips)
    }
}

/// What connects the two processes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    /// A datagram socket that the receiver has bound and the sender is connected to.
    Path,
    /// An inherited pair of datagram sockets.
    Pair,
    /// An inherited pair of seqpacket sockets.
    Seqpacket,
    /// A stream from the sender to a path on which the receiver listens.
    Stream,
}

impl Options {
    pub(crate) fn parse() -> Outcome<Self> {
        let given: HashMap<String, String> = env::args()
            .skip(1)
            .filter_map(|a| a.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
            .collect();
        let text = |key: &str| {
            given.get(key).cloned().ok_or_else(|| format!("Argument {key}= is missing"))
        };
        let number = |key: &str| -> Outcome<usize> { Ok(text(key)?.parse()?) };
        Ok(Self {
            receives: text("role")? == "receive",
            work: match text("work")?.as_str() {
                "oneway" => Work::OneWay,
                "trips" => Work::RoundTrips,
                "pairs" => Work::Pairs,
                "connect" => Work::Connect,
                "close" => Work::Close,
                "accept" => Work::Accept,
                "idle" => Work::Idle,
                "http" => Work::Http,
                other => return Err(format!("Unknown work={other}").into()),
            },
            topology: match text("topology")?.as_str() {
                "path" => Topology::Path,
                "pair" => Topology::Pair,
                "seqpacket" => Topology::Seqpacket,
                "stream" => Topology::Stream,
                other => return Err(format!("Unknown topology={other}").into()),
            },
            path: text("path")?,
            file: text("file")?,
            size: number("size")?,
            fds: number("fds")?,
            count: number("count")?,
            batches: number("batches")?,
            receiver: given.get("receiver").cloned().zip(given.get("node").cloned()),
        })
    }
}
