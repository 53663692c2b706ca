//! Binding replaces a file only as `Unlink` permits, and leaves no socket file behind.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use common::{TestDir, address, recv};
use fdwire_socket::{Address, Bound, Datagram, Errno, SyscallError, Unlink, bind_path};

fn bind(socket: &Datagram, path: &Path, unlink: Unlink) -> Result<Bound, SyscallError> {
    bind_path(socket, &address(path), 0o600, unlink)
}

fn new_bound(path: &Path, unlink: Unlink) -> Result<(Datagram, Bound), Errno> {
    let socket = Datagram::new().unwrap();
    bind(&socket, path, unlink).map(|bound| (socket, bound)).map_err(|error| error.errno)
}

fn assert_reachable(path: &Path, socket: &Datagram) {
    Datagram::new().unwrap().send(b"ping", &[], Some(&address(path))).unwrap();
    assert_eq!(recv(socket).bytes, b"ping");
}

fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err()
}

#[test]
fn a_free_path_is_bound_and_removed() {
    let dir = TestDir::new();
    for unlink in [Unlink::Stale, Unlink::Always, Unlink::Never] {
        let path = dir.join("sock");
        let (socket, bound) = new_bound(&path, unlink).unwrap();
        assert_reachable(&path, &socket);
        assert_eq!(socket.local_address().unwrap(), address(&path));
        bound.unlink();
        assert!(is_absent(&path));
    }
}

#[test]
fn a_stale_socket_is_replaced_unless_unlink_is_never() {
    let dir = TestDir::new();
    let path = dir.join("sock");
    for (unlink, replaced) in
        [(Unlink::Stale, true), (Unlink::Always, true), (Unlink::Never, false)]
    {
        drop(UnixDatagram::bind(&path).unwrap());
        match new_bound(&path, unlink) {
            Ok((socket, _bound)) if replaced => assert_reachable(&path, &socket),
            Err(Errno::ADDRINUSE) if !replaced => assert!(!is_absent(&path)),
            other => panic!("{unlink:?}: {other:?}"),
        }
    }
}

#[test]
fn a_socket_in_use_is_replaced_only_if_unlink_is_always() {
    let dir = TestDir::new();
    let path = dir.join("sock");
    let datagram = UnixDatagram::bind(&path).unwrap();
    assert_eq!(new_bound(&path, Unlink::Stale).err(), Some(Errno::ADDRINUSE));
    assert_eq!(new_bound(&path, Unlink::Never).err(), Some(Errno::ADDRINUSE));
    // A datagram socket that is connected to another one fails with EPERM. It is in use as well.
    let other = UnixDatagram::bind(dir.join("other")).unwrap();
    datagram.connect(dir.join("other")).unwrap();
    assert_eq!(new_bound(&path, Unlink::Stale).err(), Some(Errno::ADDRINUSE));
    drop((datagram, other));
    fs::remove_file(&path).unwrap();

    let _listener = UnixListener::bind(&path).unwrap();
    assert_eq!(new_bound(&path, Unlink::Stale).err(), Some(Errno::ADDRINUSE));
    let (socket, _bound) = new_bound(&path, Unlink::Always).unwrap();
    assert_reachable(&path, &socket);
}

#[test]
fn a_file_that_is_not_a_socket_is_never_removed() {
    let dir = TestDir::new();
    fs::write(dir.join("file"), "contents").unwrap();
    fs::create_dir(dir.join("dir")).unwrap();
    symlink("nowhere", dir.join("link")).unwrap();
    for name in ["file", "dir", "dir/", "link"] {
        for unlink in [Unlink::Stale, Unlink::Always, Unlink::Never] {
            assert_eq!(new_bound(&dir.join(name), unlink).err(), Some(Errno::EXIST), "{name}");
        }
    }
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"contents");
    assert!(!is_absent(&dir.join("link")));
}

#[test]
fn an_error_names_the_system_call() {
    let dir = TestDir::new();
    let socket = Datagram::new().unwrap();
    let error = |name: &Address| bind_path(&socket, name, 0o600, Unlink::Stale).unwrap_err();
    let missing = error(&address(&dir.join("missing/sock")));
    assert_eq!(missing, SyscallError { errno: Errno::NOENT, syscall: "open" });
    assert!(missing.to_string().starts_with("open: "));
    for name in [Address::UNNAMED, Address::from_bytes(b"\0abstract").unwrap()] {
        assert_eq!(error(&name), SyscallError { errno: Errno::INVAL, syscall: "bind" });
    }
}

#[test]
fn a_socket_that_is_already_bound_creates_no_second_file() {
    let dir = TestDir::new();
    let (socket, bound) = new_bound(&dir.join("first"), Unlink::Stale).unwrap();
    let again = bind(&socket, &dir.join("second"), Unlink::Stale).unwrap_err();
    assert_eq!(again, SyscallError { errno: Errno::INVAL, syscall: "bind" });
    assert!(is_absent(&dir.join("second")));
    drop(bound);
}

#[test]
fn the_file_is_removed_after_a_rename_of_its_directory() {
    let dir = TestDir::new();
    fs::create_dir(dir.join("a")).unwrap();
    let (_socket, bound) = new_bound(&dir.join("a/sock"), Unlink::Stale).unwrap();
    fs::rename(dir.join("a"), dir.join("b")).unwrap();
    fs::create_dir(dir.join("a")).unwrap();
    fs::write(dir.join("a/sock"), "another file").unwrap();
    drop(bound);
    assert!(is_absent(&dir.join("b/sock")));
    assert!(!is_absent(&dir.join("a/sock")));
}

#[test]
fn a_file_that_has_replaced_the_socket_file_is_not_removed() {
    let dir = TestDir::new();
    let path = dir.join("sock");
    let (_socket, bound) = new_bound(&path, Unlink::Stale).unwrap();
    let (successor, successor_bound) = new_bound(&path, Unlink::Always).unwrap();
    drop(bound);
    assert_reachable(&path, &successor);
    drop(successor_bound);

    let (_socket, bound) = new_bound(&path, Unlink::Stale).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a file").unwrap();
    drop(bound);
    assert_eq!(fs::read(&path).unwrap(), b"a file");

    let (_socket, bound) = new_bound(&dir.join("removed"), Unlink::Stale).unwrap();
    fs::remove_file(dir.join("removed")).unwrap();
    drop(bound);
}

#[test]
fn a_stale_socket_in_a_locked_directory_is_reported_and_our_lock_is_released() {
    let dir = TestDir::new();
    let path = dir.join("sock");
    drop(UnixDatagram::bind(&path).unwrap());
    let holder = fs::File::open(&dir.0).unwrap();
    holder.lock_shared().unwrap();
    let socket = Datagram::new().unwrap();
    for unlink in [Unlink::Stale, Unlink::Always] {
        let error = bind(&socket, &path, unlink).unwrap_err();
        assert_eq!(error, SyscallError { errno: Errno::AGAIN, syscall: "flock" });
        assert!(!is_absent(&path));
    }
    assert_eq!(new_bound(&path, Unlink::Never).err(), Some(Errno::ADDRINUSE));
    holder.unlock().unwrap();
    let bound = bind(&socket, &path, Unlink::Stale).unwrap();
    holder.try_lock().unwrap();
    // The file is removed even while another process holds the lock.
    drop(bound);
    assert!(is_absent(&path));
}

#[test]
fn a_path_from_which_nothing_is_removed_needs_no_lock() {
    let dir = TestDir::new();
    fs::write(dir.join("file"), "contents").unwrap();
    let live = UnixDatagram::bind(dir.join("live")).unwrap();
    let holder = fs::File::open(&dir.0).unwrap();
    holder.lock_shared().unwrap();
    for unlink in [Unlink::Stale, Unlink::Always, Unlink::Never] {
        let path = dir.join("free");
        let (socket, bound) = new_bound(&path, unlink).unwrap();
        assert_reachable(&path, &socket);
        drop(bound);
        assert!(is_absent(&path));
        assert_eq!(new_bound(&dir.join("file"), unlink).err(), Some(Errno::EXIST));
    }
    for unlink in [Unlink::Stale, Unlink::Never] {
        assert_eq!(new_bound(&dir.join("live"), unlink).err(), Some(Errno::ADDRINUSE));
    }
    drop(live);
}

#[test]
fn exactly_one_of_fifty_concurrent_binds_to_a_stale_path_succeeds() {
    for _ in 0..20 {
        let dir = TestDir::new();
        let path = dir.join("sock");
        drop(UnixDatagram::bind(&path).unwrap());
        let start = Barrier::new(50);
        let contend = || {
            let socket = Datagram::new().unwrap();
            start.wait();
            loop {
                match bind(&socket, &path, Unlink::Stale) {
                    Ok(bound) => return Some((socket, bound)),
                    Err(SyscallError { errno: Errno::AGAIN, .. }) => thread::yield_now(),
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
        assert_reachable(&path, &socket);
        drop(bound);
        assert!(is_absent(&path));
    }
}
