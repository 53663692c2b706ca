//! An HTTP client that makes each request over a connection of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::sockopt::set_socket_linger;

use crate::Outcome;
use crate::batch::{cpu_us, monotonic_ns};
use crate::options::Options;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Number of connections at the same time: enough that no process waits for another.
const AT_ONCE: usize = 256;

/// A connection that waits for its response.
struct Waiting {
    socket: TcpStream,
    response: Vec<u8>,
}

/// Sends a batch for each `go`. The server tells its port over the Unix socket at `path`, and
/// reports each batch after a line on it.
pub(crate) fn send_batches(
    options: &Options,
    mut go: impl FnMut() -> Outcome<bool>,
) -> Outcome<()> {
    let mut control = UnixStream::connect(&options.path)?;
    let mut line = String::new();
    BufReader::new(control.try_clone()?).read_line(&mut line)?;
    let port: u16 = line.trim().parse()?;
    loop {
        let start = monotonic_ns();
        let wrong = run_batch(options, port)?;
        let (end, cpu) = (monotonic_ns(), cpu_us());
        println!(
            r#"{{"event":"sent","start":"{start}","end":"{end}","cpu":{cpu},"wrong":{wrong}}}"#
        );
        control.write_all(b"end\n")?;
        if !go()? {
            return Ok(());
        }
    }
}

/// Makes all requests of a batch, and returns how many responses were wrong.
fn run_batch(options: &Options, port: u16) -> Outcome<usize> {
    let count = options.count;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut waiting = Vec::new();
    for slot in 0..AT_ONCE.min(count) {
        waiting.push(connect(port)?);
        add(&epoll, &waiting[slot], slot)?;
    }
    let (mut started, mut done, mut wrong) = (waiting.len(), 0, 0);
    let mut events: Vec<Event> = Vec::with_capacity(AT_ONCE);
    while done < count {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let data = event.data;
            let slot = usize::try_from(data.u64())?;
            if !has_ended(&mut waiting[slot])? {
                continue;
            }
            wrong += usize::from(!is_right(&waiting[slot].response, options.size));
            done += 1;
            if started < count {
                started += 1;
                waiting[slot] = connect(port)?;
                add(&epoll, &waiting[slot], slot)?;
            }
        }
    }
    Ok(wrong)
}

fn connect(port: u16) -> Outcome<Waiting> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    // Then closing the socket leaves no connection in TIME_WAIT, which would use up the local ports.
    set_socket_linger(&socket, Some(Duration::ZERO))?;
    socket.write_all(REQUEST)?;
    socket.set_nonblocking(true)?;
    Ok(Waiting { socket, response: Vec::new() })
}

fn add(epoll: impl std::os::fd::AsFd, waiting: &Waiting, slot: usize) -> Outcome<()> {
    epoll::add(epoll, &waiting.socket, EventData::new_u64(slot as u64), EventFlags::IN)?;
    Ok(())
}

/// Reads what has arrived. Returns whether the server has closed the connection.
fn has_ended(waiting: &mut Waiting) -> Outcome<bool> {
    let mut bytes = [0; 4096];
    loop {
        match waiting.socket.read(&mut bytes) {
            Ok(0) => return Ok(true),
            Ok(len) => waiting.response.extend_from_slice(&bytes[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_right(response: &[u8], size: usize) -> bool {
    let body = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4);
    let is_body = |at: usize| response[at..].iter().all(|&byte| byte == b'x');
    response.starts_with(b"HTTP/1.1 200 OK\r\n")
        && body.is_some_and(|at| response.len() - at == size && is_body(at))
}
