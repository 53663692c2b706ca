//! A directory that we may search and write but not read cannot be locked, so no file in it is
//! removed for binding.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use common::{TestDir, address};
use fdwire_socket::{Datagram, Errno, Unlink, bind_path};

#[test]
fn no_socket_is_replaced_in_a_directory_that_cannot_be_locked() {
    // Root may read all directories, so as root the test runs itself again as the user nobody.
    if rustix::process::geteuid().is_root() {
        let test = std::env::current_exe().unwrap();
        let copy = std::env::temp_dir().join(format!("fdw-unreadable-{}", std::process::id()));
        fs::copy(test, &copy).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
        let mut as_nobody = Command::new("setpriv");
        as_nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
        let output = as_nobody.output();
        fs::remove_file(&copy).unwrap();
        match output {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => eprintln!("skipped: setpriv: {error}"),
        }
        return;
    }
    let dir = TestDir::new();
    let path = dir.join("sock");
    drop(UnixDatagram::bind(&path).unwrap());
    fs::set_permissions(&dir.0, Permissions::from_mode(0o300)).unwrap();
    let bind = |unlink| bind_path(Datagram::new().unwrap(), &address(&path), 0o600, unlink);
    for unlink in [Unlink::Stale, Unlink::Always, Unlink::Never] {
        assert_eq!(bind(unlink).unwrap_err().errno, Errno::ADDRINUSE);
    }
    fs::remove_file(&path).unwrap();
    bind(Unlink::Stale).unwrap().unlink();
    assert!(fs::symlink_metadata(&path).is_err());
}
