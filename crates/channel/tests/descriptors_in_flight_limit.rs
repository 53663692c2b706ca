//! The kernel limits the descriptors that a user has in flight (ETOOMANYREFS), and reports no
//! readiness when there are fewer: a queued message is retried after pauses.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::env;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use common::{Harness, bound, limits, name, recv};
use fdwire_channel::{SendError, Sent};
use fdwire_socket::{Datagram, Errno};
use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};

const CHILD: &str = "FDWIRE_TEST_CHILD";
/// The id of a user who has nothing else in flight.
const USER: &str = "64999";

#[test]
fn retries_a_queued_message_until_fewer_descriptors_are_in_flight() {
    if env::var_os(CHILD).is_some() || !getuid().is_root() {
        return unprivileged();
    }
    // The limit does not apply to root. Another user may have no access to the build directory.
    let copy = env::temp_dir().join(format!("fdwire-in-flight-{}", std::process::id()));
    fs::copy(env::current_exe().unwrap(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = Command::new("setpriv")
        .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
        .arg(&copy)
        .args([
            "--exact",
            "retries_a_queued_message_until_fewer_descriptors_are_in_flight",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .current_dir("/")
        .output();
    fs::remove_file(&copy).unwrap();
    let ran = ran.expect("setpriv of util-linux");
    let stdout = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && stdout.contains("1 passed"), "{ran:?}");
}

fn unprivileged() {
    let limit = Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let name = name();
    let receiver = bound(&name);
    let mut harness = Harness::new();
    let channel = harness.add(bound(&common::name()), limits());
    while harness.send(channel, b"0 ", Some(&name)) == Sent::Now {}
    let fd = receiver.as_fd();
    for _ in 0..3 {
        assert!(harness.try_send(channel, b"1 ", &[fd], Some(&name)).is_ok());
    }
    // Another channel puts more descriptors in flight than the limit.
    let (one, two) = Datagram::pair().unwrap();
    while one.send(b"x", &[fd; 20], None).is_ok() {}
    assert_eq!(one.send(b"x", &[fd], None), Err(Errno::TOOMANYREFS));
    let mut got = 0;
    while recv(&receiver).is_some() {
        got += 1;
    }
    harness.wakeups = 0;
    harness.wakeups_in(Duration::from_millis(300));
    while let Some((_, fds)) = recv(&receiver) {
        assert_eq!(fds.len(), 0);
        got += 1;
    }
    assert_eq!(harness.queued(channel).0, 3, "messages with descriptors stay queued");
    assert!(harness.wakeups < 20, "{} wake-ups", harness.wakeups);
    // With an empty queue the message is refused.
    let (socket, _end) = Datagram::pair().unwrap();
    let direct = harness.add(socket, limits());
    let refused = harness.try_send(direct, b"x", &[fd], None);
    assert_eq!(refused, Err(SendError::Refused(Errno::TOOMANYREFS)));
    assert_eq!(harness.queued(direct).0, 0);
    while recv(&two).is_some() {}
    let mut with_fds = 0;
    harness.run_until(|harness, _| {
        while let Some((_, fds)) = recv(&receiver) {
            with_fds += fds.len();
        }
        harness.queued(channel).0 == 0
    });
    while let Some((_, fds)) = recv(&receiver) {
        with_fds += fds.len();
    }
    assert_eq!(with_fds, 3);
    assert!(got > 10);
}
