//! The floor of the benchmark: the same messages over the same system calls, without Node.
//!
//! It implements the protocol that `bench/peers/common.mjs` documents: arguments are `key=value`,
//! the sender starts its receiver and sends a batch for each line on its stdin, and both report in
//! lines of JSON.

mod batch;
mod connections;
mod http;
mod link;
mod messages;
mod options;
mod stream;

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::stdin;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use batch::{Tally, cpu_us, monotonic_ns};
use link::{Link, Transport};
use messages::ring;
use options::{Options, Topology, Work};
use rustix::net::SocketType;
use stream::Stream;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let options = Options::parse()?;
    if options.receives { receive(&options) } else { send(&options) }
}

/// Receives all batches.
fn receive(options: &Options) -> Outcome<()> {
    let ring = ring(options.size, options.fds);
    let mut tally = Tally::new(&ring, options.fds, File::open(&options.file)?.metadata()?.ino());
    if options.work.is_connections() {
        return connections::serve(options, &mut tally);
    }
    let ready = || println!(r#"{{"event":"ready"}}"#);
    match options.topology {
        Topology::Stream => {
            let listener = stream::listening(&options.path)?;
            ready();
            let socket = stream::accepted(&listener)?;
            take_batches(&mut Stream::new(socket, options.fds), options, &ring, &mut tally)
        }
        Topology::Path => {
            let socket = link::bound(&options.path)?;
            ready();
            take_batches(&mut Link::new(socket, options.fds), options, &ring, &mut tally)
        }
        Topology::Pair | Topology::Seqpacket => {
            // The sender passes the other end of the pair as stdin, because any other inherited
            // descriptor would need `unsafe`.
            let socket = stdin().as_fd().try_clone_to_owned()?;
            ready();
            take_batches(&mut Link::new(socket, options.fds), options, &ring, &mut tally)
        }
    }
}

/// With `work=trips` each message is sent back to its sender.
fn take_batches(
    link: &mut impl Transport,
    options: &Options,
    ring: &[Vec<u8>],
    tally: &mut Tally<'_>,
) -> Outcome<()> {
    let mut fds = Vec::with_capacity(options.fds);
    for _ in 0..options.batches {
        for i in 0..options.count {
            let (bytes, from) = link.receive(&mut fds)?;
            tally.take(bytes, &fds)?;
            if options.work == Work::RoundTrips {
                let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                link.send(&ring[i % ring.len()], &borrowed, from.as_ref())?;
                link.flush()?;
            }
            fds.clear();
        }
        tally.report(monotonic_ns(), 0)?;
    }
    Ok(())
}

/// Starts the receiver, then sends a batch for each line on stdin.
fn send(options: &Options) -> Outcome<()> {
    let pair_of = match options.topology {
        Topology::Pair => Some(SocketType::DGRAM),
        Topology::Seqpacket => Some(SocketType::SEQPACKET),
        Topology::Path | Topology::Stream => None,
    };
    let (ours, theirs) = pair_of.map(link::pair).transpose()?.unzip();
    let mut lines = stdin().lines();
    let mut go = move || Ok(lines.next().transpose()?.is_some());
    if options.work == Work::Pairs {
        println!(r#"{{"event":"ready"}}"#);
        return if go()? { connections::send_batches(options, &[], go) } else { Ok(()) };
    }
    let mut receiver = start_receiver(options, theirs)?;

    // The runner writes the first line when the receiver is ready.
    if go()? {
        if options.work == Work::Http {
            http::send_batches(options, go)?;
        } else if options.work.is_connections() {
            connections::send_batches(options, &ring(options.size, options.fds), go)?;
        } else {
            match (ours, options.topology) {
                (None, Topology::Stream) => {
                    let socket = stream::connected(&options.path)?;
                    send_batches(&mut Stream::new(socket, options.fds), options, go)?;
                }
                (ours, _) => {
                    let socket = ours.map_or_else(|| link::connected(&options.path), Ok)?;
                    send_batches(&mut Link::new(socket, options.fds), options, go)?;
                }
            }
        }
    }
    if options.receiver.is_some() {
        // The receiver does not know how many batches there are.
        receiver.kill()?;
        receiver.wait()?;
        return Ok(());
    }
    let status = receiver.wait()?;
    if status.success() { Ok(()) } else { Err(format!("The receiver failed: {status}").into()) }
}

fn send_batches(
    link: &mut impl Transport,
    options: &Options,
    mut go: impl FnMut() -> Outcome<bool>,
) -> Outcome<()> {
    let file = File::open(&options.file)?;
    let ring = ring(options.size, options.fds);
    let fds = vec![file.as_fd(); options.fds];
    loop {
        if options.work == Work::RoundTrips {
            let mut tally = Tally::new(&ring, options.fds, file.metadata()?.ino());
            batch::trips(link, &ring, &fds, options.count, &mut tally)?;
        } else {
            let start = monotonic_ns();
            for i in 0..options.count {
                link.send(&ring[i % ring.len()], &fds, None)?;
            }
            link.flush()?;
            println!(r#"{{"event":"sent","start":"{start}","cpu":{}}}"#, cpu_us());
        }
        if !go()? {
            return Ok(());
        }
    }
}

/// Starts the receiver, which shares our stdout: this program again, or the script of
/// `options.receiver`.
fn start_receiver(options: &Options, socket: Option<OwnedFd>) -> Outcome<Child> {
    let arguments = env::args().skip(1).map(|a| a.replace("role=send", "role=receive"));
    let stdin = socket.map_or_else(Stdio::null, Stdio::from);
    let mut command = match &options.receiver {
        Some((script, node)) => {
            let mut command = Command::new(node);
            command.arg(script);
            command
        }
        None => Command::new(env::current_exe()?),
    };
    Ok(command.args(arguments).stdin(stdin).spawn()?)
}
