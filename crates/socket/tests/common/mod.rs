//! Helpers shared by the tests of this crate.
#![allow(dead_code, missing_docs, unreachable_pub, unused_imports, clippy::unwrap_used)]

mod open_fds;

use std::fs::{self, Permissions};
use std::io::IoSliceMut;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use fdwire_socket::{Address, Control, Datagram, Errno, ForeignFd, Received};
pub use open_fds::{first_open_fds, open_fds, wait_for_open_fds};

/// A temporary directory, which is removed with its contents on drop.
pub struct TestDir(pub PathBuf);

impl TestDir {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fdw-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        // A failed test may have left the directory unreadable.
        let _ = fs::set_permissions(&self.0, Permissions::from_mode(0o700));
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn address(path: &Path) -> Address {
    Address::from_bytes(path.as_os_str().as_bytes()).unwrap()
}

/// A received message.
pub struct Message {
    pub bytes: Vec<u8>,
    pub fds: Vec<ForeignFd>,
    pub from: Address,
    pub received: Received,
}

/// Receives into two buffers of `first` and `second` bytes.
pub fn recv_into(socket: &Datagram, first: usize, second: usize) -> Result<Message, Errno> {
    let (mut one, mut two) = (vec![0; first], vec![0; second]);
    let (mut fds, mut from) = (Vec::new(), Address::UNNAMED);
    let received = socket.recv(
        &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)],
        &mut Control::new(),
        &mut fds,
        &mut from,
    )?;
    let mut bytes = [one, two].concat();
    bytes.truncate(received.len);
    Ok(Message { bytes, fds, from, received })
}

pub fn recv(socket: &Datagram) -> Message {
    recv_into(socket, 64, 1024).unwrap()
}
