//! The kernel limits how many descriptors a user has in flight (ETOOMANYREFS), and wakes nobody
//! when there are fewer again: a queued message is tried again after pauses.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::env;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use common::{World, bound, limits, name, recv};
use fdwire_channel::{SendError, Sent};
use fdwire_socket::{Datagram, Errno};
use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};

const CHILD: &str = "FDWIRE_TEST_CHILD";
/// A user who has nothing else in flight.
const USER: &str = "64999";

#[test]
fn a_queued_message_waits_until_there_are_fewer() {
    if env::var_os(CHILD).is_some() || !getuid().is_root() {
        return unprivileged();
    }
    // Root is exempt. Another user may not get to where the test was built.
    let copy = env::temp_dir().join(format!("fdwire-in-flight-{}", std::process::id()));
    fs::copy(env::current_exe().unwrap(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = Command::new("setpriv")
        .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
        .arg(&copy)
        .args(["--exact", "a_queued_message_waits_until_there_are_fewer", "--nocapture"])
        .env(CHILD, "1")
        .current_dir("/")
        .output();
    fs::remove_file(&copy).unwrap();
    let ran = ran.expect("setpriv of util-linux");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{ran:?}");
}

fn unprivileged() {
    let limit = Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let name = name();
    let receiver = bound(&name);
    let mut world = World::new();
    let channel = world.add(bound(&common::name()), limits());
    while world.send(channel, b"0 ", Some(&name)) == Sent::Now {}
    let fd = receiver.as_fd();
    for _ in 0..3 {
        assert!(world.try_send(channel, b"1 ", &[fd], Some(&name)).is_ok());
    }
    // Others put more in flight than the limit.
    let (one, two) = Datagram::pair().unwrap();
    while one.send(b"x", &[fd; 20], None).is_ok() {}
    assert_eq!(one.send(b"x", &[fd], None), Err(Errno::TOOMANYREFS));
    let mut got = 0;
    while recv(&receiver).is_some() {
        got += 1;
    }
    world.wakeups = 0;
    world.wakeups_in(Duration::from_millis(300));
    while let Some((_, fds)) = recv(&receiver) {
        assert_eq!(fds.len(), 0);
        got += 1;
    }
    assert_eq!(world.queued(channel).0, 3, "those with descriptors wait");
    assert!(world.wakeups < 20, "{} wake-ups", world.wakeups);
    // A message that needs not wait in line hears of it.
    let (socket, _end) = Datagram::pair().unwrap();
    let direct = world.add(socket, limits());
    let refused = world.try_send(direct, b"x", &[fd], None);
    assert_eq!(refused, Err(SendError::Refused(Errno::TOOMANYREFS)));
    assert_eq!(world.queued(direct).0, 0);
    while recv(&two).is_some() {}
    let mut with_fds = 0;
    world.work_until(|world, _| {
        while let Some((_, fds)) = recv(&receiver) {
            with_fds += fds.len();
        }
        world.queued(channel).0 == 0
    });
    while let Some((_, fds)) = recv(&receiver) {
        with_fds += fds.len();
    }
    assert_eq!(with_fds, 3);
    assert!(got > 10);
}
