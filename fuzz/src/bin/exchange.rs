//! Runs an exchange twice, the second time with calls that may fail: `exchange KIND FOLDER`.
//!
//! Prints `START` before the second and `END` after it, then `complete`, or `ended` and an errno. The first
//! exchange opens what stays open: a socket to the thread that closes descriptors.

use std::path::Path;

use fdwire_fuzz::exchange::{END, START, exchange, open_fds};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, kind, folder] = &args[..] else { panic!("usage: exchange KIND FOLDER") };
    let folder = Path::new(folder);
    assert_eq!(exchange(kind, folder), None, "no call fails in the first exchange");
    let before = open_fds();
    print!("{START}");
    let ended = exchange(kind, folder);
    print!("{END}");
    assert_eq!(open_fds(), before, "descriptors stay open");
    match ended {
        None => println!("complete"),
        Some(errno) => println!("ended {}", errno.raw_os_error()),
    }
}
