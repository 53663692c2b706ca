//! The floor of the benchmark: the same messages over the same syscalls, without Node.
//!
//! Speaks the protocol of `bench/peers/common.mjs`: arguments are `key=value`, the sender starts
//! its receiver, takes one line from stdin for each batch, and both report in lines of JSON.

mod batch;
mod link;
mod messages;

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, stdin};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use batch::{Tally, monotonic_ns};
use link::Link;
use messages::ring;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What this run sends, and how: one field for each argument.
struct Options {
    receives: bool,
    trips: bool,
    path: Option<String>,
    file: String,
    size: usize,
    fds: usize,
    count: usize,
    batches: usize,
}

fn main() -> Outcome<()> {
    let options = Options::parse()?;
    if options.receives { receive(&options) } else { send(&options) }
}

impl Options {
    fn parse() -> Outcome<Self> {
        let given: HashMap<String, String> = env::args()
            .skip(1)
            .filter_map(|a| a.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
            .collect();
        let text = |key: &str| given.get(key).cloned().ok_or_else(|| format!("{key}= is missing"));
        let number = |key: &str| -> Outcome<usize> { Ok(text(key)?.parse()?) };
        Ok(Self {
            receives: text("role")? == "receive",
            trips: text("work")? == "trips",
            path: (text("topology")? == "path").then(|| text("path")).transpose()?,
            file: text("file")?,
            size: number("size")?,
            fds: number("fds")?,
            count: number("count")?,
            batches: number("batches")?,
        })
    }
}

/// Takes every batch; with `work=trips` each message goes back to where it came from.
fn receive(options: &Options) -> Outcome<()> {
    let socket = match &options.path {
        Some(path) => link::bound(path)?,
        // The sender hands its receiver the other end of the pair as stdin: the one inherited
        // descriptor that can be had without `unsafe`.
        None => stdin().as_fd().try_clone_to_owned()?,
    };
    let mut link = Link::new(socket, options.fds);
    let ring = ring(options.size, options.fds);
    let mut tally = Tally::new(&ring, options.fds, File::open(&options.file)?.metadata()?.ino());
    let mut fds = Vec::with_capacity(options.fds);

    println!(r#"{{"event":"ready"}}"#);
    for _ in 0..options.batches {
        for i in 0..options.count {
            let (bytes, from) = link.receive(&mut fds)?;
            tally.take(bytes, &fds)?;
            if options.trips {
                let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                link.send(&ring[i % ring.len()], &borrowed, from.as_ref())?;
            }
            fds.clear();
        }
        tally.report(monotonic_ns())?;
    }
    Ok(())
}

/// Starts the receiver, then sends a batch for each line on stdin.
fn send(options: &Options) -> Outcome<()> {
    let (ours, theirs) = match &options.path {
        Some(_) => (None, None),
        None => {
            let (a, b) = link::pair()?;
            (Some(a), Some(b))
        }
    };
    let mut receiver = start_receiver(theirs)?;
    let mut lines = stdin().lock().lines();
    let mut go = || lines.next().transpose();

    // The first line says that the receiver has bound its path.
    if go()?.is_none() {
        return Ok(());
    }
    let socket = match (ours, &options.path) {
        (Some(end), _) => end,
        (None, Some(path)) => link::connected(path)?,
        (None, None) => return Err("no path and no pair".into()),
    };
    let file = File::open(&options.file)?;
    let ring = ring(options.size, options.fds);
    let mut link = Link::new(socket, options.fds);
    let fds = vec![file.as_fd(); options.fds];
    loop {
        if options.trips {
            let mut tally = Tally::new(&ring, options.fds, file.metadata()?.ino());
            batch::trips(&mut link, &ring, &fds, options.count, &mut tally)?;
        } else {
            let start = monotonic_ns();
            for i in 0..options.count {
                link.send(&ring[i % ring.len()], &fds, None)?;
            }
            println!(r#"{{"event":"sent","start":"{start}"}}"#);
        }
        if go()?.is_none() {
            break;
        }
    }
    let status = receiver.wait()?;
    if status.success() { Ok(()) } else { Err(format!("the receiver ended: {status}").into()) }
}

/// The same program with `role=receive`, and stdout shared with us.
fn start_receiver(socket: Option<OwnedFd>) -> Outcome<Child> {
    let arguments = env::args().skip(1).map(|a| a.replace("role=send", "role=receive"));
    let stdin = socket.map_or_else(Stdio::null, Stdio::from);
    Ok(Command::new(env::current_exe()?).args(arguments).stdin(stdin).spawn()?)
}
