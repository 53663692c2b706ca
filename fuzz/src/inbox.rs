//! A channel over a stream finds the same messages in hostile bytes as its codec alone.

use std::io::IoSlice;

use fdwire_channel::{Event, Framing, Limits, Refusal};
use fdwire_socket::Stream;

use crate::channel::{Driver, Report, limits};
use crate::input::Input;
use crate::subject::{Decoded, Subject, Value};

/// Writes a stream in pieces to a channel, and compares what it reports with `Subject::whole`.
///
/// ```text
/// input  | protocol | limit | number of cuts | cut | cut | … | stream |
/// ```
///
/// # Panics
///
/// If they differ.
pub(crate) fn inbox(data: &[u8]) {
    let mut input = Input(data);
    let subjects = Subject::all_framed();
    let Some(subject) = input.byte().map(|byte| subjects[byte % subjects.len()]) else { return };
    let Some(limit) = input.byte() else { return };
    let subject = if limit < 128 { subject.limited(limit) } else { subject };
    let Some(pieces) = input.pieces() else { return };

    let (peer, own) = Stream::pair().expect("a pair");
    let options = subject.options;
    let framing = Framing { codec: subject.codec(), text: options.text, json: false };
    let limits = Limits { max_message: options.max_message, ..limits() };
    let mut driver = Driver::new().expect("epoll is available");
    let channel = driver.reactor.add_stream(own, false, framing, limits);
    let channel = channel.unwrap_or_else(|(errno, _)| panic!("{errno}"));
    driver.reactor.set_reading(channel, true);

    let mut found = Decoded::default();
    let mut ended = false;
    for piece in &pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !ended {
            // The channel has closed the socket if this fails, and the next run reports why.
            rest = &rest[peer.send(&[IoSlice::new(rest)], &[]).unwrap_or(0)..];
            ended = note(driver.run(false), &mut found);
        }
    }
    peer.shutdown_send().expect("the peer is open");
    while !ended {
        let reports = driver.run(true);
        assert!(!reports.is_empty(), "the channel reports the end: {subject:?}");
        ended = note(reports, &mut found);
    }
    let mut expected = subject.whole(&pieces.concat());
    // A channel does not report bytes outside frames.
    expected.noise = 0;
    assert_eq!(found, expected, "{subject:?}: {pieces:02x?}");
}

/// Adds what a channel reports to `found`. Returns whether the stream has ended.
fn note(reports: Vec<Report>, found: &mut Decoded) -> bool {
    let mut ended = false;
    for report in reports {
        assert!(!ended, "nothing follows the end");
        match report {
            Report::Message(message) => found.items.push(Ok(if message.is_text {
                Value::Text(String::from_utf8(message.bytes).expect("a text is UTF-8"))
            } else {
                Value::Bytes(message.bytes)
            })),
            Report::Other(Event::Refused(Refusal::Malformed(why), ..)) => {
                found.items.push(Err(why));
            }
            Report::Other(Event::End) => ended = true,
            Report::Other(Event::Cut(missing)) => {
                found.missing = Some(missing);
                ended = true;
            }
            Report::Other(Event::Lost(why, _)) => {
                found.lost = Some(why);
                ended = true;
            }
            Report::Other(other) => panic!("{other:?}"),
        }
    }
    ended
}
