//! Many connections to one server: the client, whoever the server is, so that the server alone
//! makes the difference; and the server that the floor itself is.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::Outcome;
use crate::batch::{Tally, monotonic_ns};
use crate::options::{Options, Work};
use crate::stream::{HEAD, listening};

/// Opens a batch of connections and says something on each, then waits for all the echoes. Those of
/// `work=idle` stay open in `kept`.
pub(crate) fn open(options: &Options, ring: &[Vec<u8>], kept: &mut Vec<UnixStream>) -> Outcome<()> {
    let frames: Vec<Vec<u8>> = ring.iter().map(|message| framed(message)).collect();
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
    println!(r#"{{"event":"sent","start":"{start}","end":"{end}","wrong":{wrong}}}"#);
    if options.work == Work::Idle {
        kept.append(&mut opened);
    }
    Ok(())
}

/// Accepts one connection after the other and echoes its message; a batch is over when the peer has
/// closed them all.
pub(crate) fn serve(options: &Options, tally: &mut Tally<'_>) -> Outcome<()> {
    let listener = UnixListener::from(listening(&options.path)?);
    let mut frame = vec![0; HEAD + options.size];
    println!(r#"{{"event":"ready"}}"#);
    for _ in 0..options.batches {
        let mut open = Vec::with_capacity(options.count);
        for _ in 0..options.count {
            let (mut one, _) = listener.accept()?;
            one.read_exact(&mut frame)?;
            tally.take(&frame[HEAD..], &[])?;
            one.write_all(&frame)?;
            open.push(one);
        }
        for mut one in open.drain(..) {
            one.read_to_end(&mut Vec::new())?;
        }
        tally.report(monotonic_ns())?;
    }
    Ok(())
}

/// A message behind its length.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], message].concat()
}
