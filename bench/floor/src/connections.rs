//! Batches of connections: as a client, as a server, or as both in one process.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::Outcome;
use crate::batch::{RoundTrips, Tally, cpu_us, monotonic_ns};
use crate::options::{Options, Work};
use crate::stream::{HEAD, listening};

/// Sends a batch for each `go`.
pub(crate) fn send_batches(
    options: &Options,
    ring: &[Vec<u8>],
    mut go: impl FnMut() -> Outcome<bool>,
) -> Outcome<()> {
    let frames: Vec<Vec<u8>> = ring.iter().map(|message| framed(message)).collect();
    let mut kept = Vec::new();
    loop {
        match options.work {
            Work::Pairs => create_pairs(options)?,
            Work::Connect => connect_each(options, &frames)?,
            Work::Close => close_each(options)?,
            _ => open_all(options, &frames, &mut kept)?,
        }
        if !go()? {
            return Ok(());
        }
    }
}

/// Creates connected pairs and closes them. The only process is this one, so it reports both ends
/// of the batch.
fn create_pairs(options: &Options) -> Outcome<()> {
    let start = monotonic_ns();
    for _ in 0..options.count {
        drop(UnixStream::pair()?);
    }
    let end = monotonic_ns();
    println!(r#"{{"event":"sent","start":"{start}","cpu":{}}}"#, cpu_us());
    println!(r#"{{"event":"done","end":"{end}","cpu":0,"wrong":0,"open":0}}"#);
    Ok(())
}

/// Connects, sends a message and receives its reply, one connection after the other.
fn connect_each(options: &Options, frames: &[Vec<u8>]) -> Outcome<()> {
    let mut echo = vec![0; HEAD + options.size];
    let mut wrong = 0;
    let mut trips = RoundTrips::new(options.count);
    for frame in frames.iter().cycle().take(options.count) {
        trips.time(|| -> Outcome<()> {
            let mut one = UnixStream::connect(&options.path)?;
            one.write_all(frame)?;
            one.read_exact(&mut echo)?;
            Ok(())
        })?;
        wrong += usize::from(echo != *frame);
    }
    trips.report(wrong);
    Ok(())
}

/// Connects and closes, one connection after the other.
fn close_each(options: &Options) -> Outcome<()> {
    let start = monotonic_ns();
    for _ in 0..options.count {
        drop(UnixStream::connect(&options.path)?);
    }
    println!(r#"{{"event":"sent","start":"{start}","cpu":{}}}"#, cpu_us());
    Ok(())
}

/// Opens all connections of a batch and sends a message on each, then receives all replies. Those
/// of `work=idle` stay open in `kept`.
fn open_all(options: &Options, frames: &[Vec<u8>], kept: &mut Vec<UnixStream>) -> Outcome<()> {
    let mut opened = Vec::with_capacity(options.count);
    let start = monotonic_ns();
    for frame in frames.iter().cycle().take(options.count) {
        let mut one = UnixStream::connect(&options.path)?;
        one.write_all(frame)?;
        opened.push(one);
    }
    let mut echo = vec![0; HEAD + options.size];
    let mut wrong = 0;
    for (one, frame) in opened.iter_mut().zip(frames.iter().cycle()) {
        one.read_exact(&mut echo)?;
        wrong += usize::from(echo != *frame);
    }
    let end = monotonic_ns();
    let cpu = cpu_us();
    println!(r#"{{"event":"sent","start":"{start}","end":"{end}","cpu":{cpu},"wrong":{wrong}}}"#);
    if options.work == Work::Idle {
        kept.append(&mut opened);
    }
    Ok(())
}

/// Accepts one connection after the other and echoes its message. A batch ends when the client has
/// closed all its connections; with `work=idle`, when the last message has been echoed.
pub(crate) fn serve(options: &Options, tally: &mut Tally<'_>) -> Outcome<()> {
    let listener = UnixListener::from(listening(&options.path)?);
    let mut kept = Vec::new();
    println!(r#"{{"event":"ready"}}"#);
    for _ in 0..options.batches {
        let mut open = Vec::with_capacity(options.count);
        for _ in 0..options.count {
            let (mut one, _) = listener.accept()?;
            if options.work != Work::Close {
                echo(&mut one, options, tally)?;
            }
            match options.work {
                Work::Idle => kept.push(one),
                Work::Accept => open.push(one),
                _ => await_end(one)?,
            }
        }
        open.into_iter().try_for_each(await_end)?;
        tally.report(monotonic_ns(), kept.len())?;
    }
    Ok(())
}

fn echo(one: &mut UnixStream, options: &Options, tally: &mut Tally<'_>) -> Outcome<()> {
    let mut frame = vec![0; HEAD + options.size];
    one.read_exact(&mut frame)?;
    tally.take(&frame[HEAD..], &[])?;
    one.write_all(&frame)?;
    Ok(())
}

fn await_end(mut one: UnixStream) -> Outcome<()> {
    one.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Returns the frame of a message: its length, then the message.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], message].concat()
}
