//! Runs an exchange twice, the second time with calls that may fail: `exchange KIND FOLDER`.
//!
//! Prints `START` before the second and `END` after it, then `complete`, `refused`, or `ended` and an errno; or only
//! `early`. The first exchange opens what stays open: a socket to the thread that closes descriptors.

use std::path::Path;

use fdwire_fuzz::exchange::{END, Failure, START, exchange, open_fds};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, kind, folder] = &args[..] else { panic!("usage: exchange KIND FOLDER") };
    let folder = Path::new(folder);
    // How often a call of TCP occurs varies, so that one of the first exchange may fail instead.
    if exchange(kind, folder).is_some() {
        println!("early");
        return;
    }
    let before = open_fds();
    print!("{START}");
    let ended = exchange(kind, folder);
    print!("{END}");
    assert_eq!(open_fds(), before, "descriptors stay open");
    match ended {
        None => println!("complete"),
        Some(Failure::Refused) => println!("refused"),
        Some(Failure::Errno(errno)) => println!("ended {}", errno.raw_os_error()),
    }
}
