//! Nobody is robbed of a name, and none of ours is left.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use common::{TestDir, address, recv};
use fdwire_socket::{Address, BindError, BindOutcome, Bound, Datagram, Errno, Unlink, bind_path};

fn bind(socket: &Datagram, path: &Path, unlink: Unlink) -> Result<Bound, BindError> {
    match bind_path(socket, &address(path), 0o600, unlink)? {
        BindOutcome::Bound(bound) => Ok(bound),
        BindOutcome::Locked => panic!("nobody holds the lock"),
    }
}

fn new_bound(path: &Path, unlink: Unlink) -> Result<(Datagram, Bound), Errno> {
    let socket = Datagram::new().unwrap();
    bind(&socket, path, unlink).map(|bound| (socket, bound)).map_err(|error| error.errno)
}

fn reachable(path: &Path, socket: &Datagram) {
    Datagram::new().unwrap().send(b"there?", &[], Some(&address(path))).unwrap();
    assert_eq!(recv(socket).bytes, b"there?");
}

fn gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err()
}

#[test]
fn a_free_name_is_taken_and_given_back() {
    let dir = TestDir::new();
    for unlink in [Unlink::Stale, Unlink::Always, Unlink::Never] {
        let path = dir.join("sock");
        let (socket, bound) = new_bound(&path, unlink).unwrap();
        reachable(&path, &socket);
        assert_eq!(socket.local_address().unwrap(), address(&path));
        bound.unlink();
        assert!(gone(&path));
    }
}

#[test]
fn a_stale_name_goes_for_stale_and_always_but_not_for_never() {
    let dir = TestDir::new();
    let path = dir.join("sock");
    for (unlink, taken) in [(Unlink::Stale, true), (Unlink::Always, true), (Unlink::Never, false)] {
        drop(UnixDatagram::bind(&path).unwrap());
        match new_bound(&path, unlink) {
            Ok((socket, _bound)) if taken => reachable(&path, &socket),
            Err(Errno::ADDRINUSE) if !taken => assert!(!gone(&path)),
            other => panic!("{unlink:?}: {other:?}"),
        }
    }
}

#[test]
fn a_living_name_goes_for_always_alone_whatever_its_socket() {
    let dir = TestDir::new();
    let path = dir.join("sock");
    let datagram = UnixDatagram::bind(&path).unwrap();
    assert_eq!(new_bound(&path, Unlink::Stale).err(), Some(Errno::ADDRINUSE));
    assert_eq!(new_bound(&path, Unlink::Never).err(), Some(Errno::ADDRINUSE));
    // Connected to somebody else it answers EPERM, which is no proof of death either.
    let other = UnixDatagram::bind(dir.join("other")).unwrap();
    datagram.connect(dir.join("other")).unwrap();
    assert_eq!(new_bound(&path, Unlink::Stale).err(), Some(Errno::ADDRINUSE));
    drop((datagram, other));
    fs::remove_file(&path).unwrap();

    let _listener = UnixListener::bind(&path).unwrap();
    assert_eq!(new_bound(&path, Unlink::Stale).err(), Some(Errno::ADDRINUSE));
    let (socket, _bound) = new_bound(&path, Unlink::Always).unwrap();
    reachable(&path, &socket);
}

#[test]
fn what_is_no_socket_stays() {
    let dir = TestDir::new();
    fs::write(dir.join("file"), "mine").unwrap();
    fs::create_dir(dir.join("dir")).unwrap();
    symlink("nowhere", dir.join("link")).unwrap();
    for name in ["file", "dir", "dir/", "link"] {
        for unlink in [Unlink::Stale, Unlink::Always, Unlink::Never] {
            assert_eq!(new_bound(&dir.join(name), unlink).err(), Some(Errno::EXIST), "{name}");
        }
    }
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"mine");
    assert!(!gone(&dir.join("link")));
}

#[test]
fn an_error_says_the_call_it_came_from() {
    let dir = TestDir::new();
    let socket = Datagram::new().unwrap();
    let error = |name: &Address| bind_path(&socket, name, 0o600, Unlink::Stale).unwrap_err();
    let missing = error(&address(&dir.join("missing/sock")));
    assert_eq!(missing, BindError { errno: Errno::NOENT, syscall: "open" });
    assert!(missing.to_string().starts_with("open: "));
    for name in [Address::UNNAMED, Address::from_bytes(b"\0abstract").unwrap()] {
        assert_eq!(error(&name), BindError { errno: Errno::INVAL, syscall: "bind" });
    }
}

#[test]
fn a_socket_that_cannot_be_bound_leaves_nothing() {
    let dir = TestDir::new();
    let (socket, bound) = new_bound(&dir.join("first"), Unlink::Stale).unwrap();
    let again = bind(&socket, &dir.join("second"), Unlink::Stale).unwrap_err();
    assert_eq!(again, BindError { errno: Errno::INVAL, syscall: "bind" });
    assert!(gone(&dir.join("second")));
    drop(bound);
}

#[test]
fn the_name_goes_even_after_a_rename_of_its_parent() {
    let dir = TestDir::new();
    fs::create_dir(dir.join("a")).unwrap();
    let (_socket, bound) = new_bound(&dir.join("a/sock"), Unlink::Stale).unwrap();
    fs::rename(dir.join("a"), dir.join("b")).unwrap();
    fs::create_dir(dir.join("a")).unwrap();
    fs::write(dir.join("a/sock"), "another's").unwrap();
    drop(bound);
    assert!(gone(&dir.join("b/sock")));
    assert!(!gone(&dir.join("a/sock")));
}

#[test]
fn the_name_stays_when_it_is_another_s() {
    let dir = TestDir::new();
    let path = dir.join("sock");
    let (_socket, bound) = new_bound(&path, Unlink::Stale).unwrap();
    let (successor, theirs) = new_bound(&path, Unlink::Always).unwrap();
    drop(bound);
    reachable(&path, &successor);
    drop(theirs);

    let (_socket, bound) = new_bound(&path, Unlink::Stale).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a file").unwrap();
    drop(bound);
    assert_eq!(fs::read(&path).unwrap(), b"a file");

    let (_socket, bound) = new_bound(&dir.join("gone"), Unlink::Stale).unwrap();
    fs::remove_file(dir.join("gone")).unwrap();
    drop(bound);
}

#[test]
fn a_held_lock_is_told_and_ours_is_let_go() {
    let dir = TestDir::new();
    let path = dir.join("sock");
    let holder = fs::File::open(&dir.0).unwrap();
    holder.lock().unwrap();
    let socket = Datagram::new().unwrap();
    let outcome = bind_path(&socket, &address(&path), 0o600, Unlink::Stale).unwrap();
    assert!(matches!(outcome, BindOutcome::Locked));
    assert!(gone(&path));
    holder.unlock().unwrap();
    let bound = bind(&socket, &path, Unlink::Stale).unwrap();
    holder.try_lock().unwrap();
    // The name goes even while somebody else holds the lock.
    drop(bound);
    assert!(gone(&path));
}

#[test]
fn of_fifty_at_once_on_a_stale_name_one_wins_and_is_reachable() {
    for _ in 0..20 {
        let dir = TestDir::new();
        let path = dir.join("sock");
        drop(UnixDatagram::bind(&path).unwrap());
        let start = Barrier::new(50);
        let contend = || {
            let socket = Datagram::new().unwrap();
            start.wait();
            loop {
                match bind_path(&socket, &address(&path), 0o600, Unlink::Stale) {
                    Ok(BindOutcome::Bound(bound)) => return Some((socket, bound)),
                    Ok(BindOutcome::Locked) => thread::yield_now(),
                    Err(error) => {
                        assert_eq!(error.errno, Errno::ADDRINUSE);
                        return None;
                    }
                }
            }
        };
        let mut winners: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..50).map(|_| scope.spawn(contend)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(winners.len(), 1);
        let (socket, bound) = winners.remove(0);
        reachable(&path, &socket);
        drop(bound);
        assert!(gone(&path));
    }
}
