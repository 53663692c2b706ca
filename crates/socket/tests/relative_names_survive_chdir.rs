//! A name given as a relative path goes with its socket, wherever the process has gone meanwhile. One
//! test: the working directory is the whole process's.

mod common;

use std::{env, fs};

use common::TestDir;
use fdwire_socket::{Address, BindOutcome, Datagram, Unlink, bind_path};

#[test]
fn relative_names_survive_chdir() {
    let (dir, other) = (TestDir::new(), TestDir::new());
    fs::create_dir(dir.join("sub")).unwrap();
    fs::create_dir(other.join("sub")).unwrap();
    for name in ["sock", "./sock", "sub/sock", "sub/../sock"] {
        env::set_current_dir(&dir.0).unwrap();
        let (socket, path) = (Datagram::new().unwrap(), Address::from_bytes(name.as_bytes()));
        let outcome = bind_path(&socket, &path.clone().unwrap(), 0o600, Unlink::Stale).unwrap();
        let BindOutcome::Bound(bound) = outcome else { panic!("nobody holds the lock") };
        assert_eq!(socket.local_address(), Ok(path.unwrap()));
        assert!(fs::symlink_metadata(dir.join(name)).is_ok());

        env::set_current_dir(&other.0).unwrap();
        fs::write(other.join(name), "another's").unwrap();
        drop(bound);
        assert!(fs::symlink_metadata(dir.join(name)).is_err());
        assert!(other.join(name).exists());
    }
}
