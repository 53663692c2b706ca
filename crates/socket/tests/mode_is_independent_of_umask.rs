//! A socket file has the requested permissions. The file has a single test, because the umask
//! applies to the process.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;

use common::{TestDir, address};
use fdwire_socket::{Datagram, Unlink, bind_path};
use rustix::fs::{Mode, fstat};
use rustix::process::umask;

#[test]
fn mode_is_independent_of_umask() {
    let dir = TestDir::new();
    for mask in [0o000, 0o022, 0o077, 0o777] {
        umask(Mode::from_raw_mode(mask));
        for mode in [0o600, 0o666, 0o660, 0o777, 0o000] {
            let (socket, path) = (Datagram::new().unwrap(), dir.join("sock"));
            let bound = bind_path(&socket, &address(&path), mode, Unlink::Stale).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode, "umask {mask:o}");
            // The socket had them before it was bound, so the file never had more permissions.
            assert_eq!(fstat(&socket).unwrap().st_mode & 0o7777, mode);
            drop(bound);
        }
        assert_eq!(umask(Mode::from_raw_mode(mask)).as_raw_mode(), mask);
    }
}
