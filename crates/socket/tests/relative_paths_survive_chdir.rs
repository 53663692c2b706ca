//! A socket file bound by a relative path is removed even after the process has changed its working
//! directory. The file has a single test, because the working directory belongs to the process.

mod common;

use std::{env, fs};

use common::TestDir;
use fdwire_socket::{Address, Datagram, Unlink, bind_path};

#[test]
fn relative_paths_survive_chdir() {
    let (dir, other) = (TestDir::new(), TestDir::new());
    fs::create_dir(dir.join("sub")).unwrap();
    fs::create_dir(other.join("sub")).unwrap();
    for name in ["sock", "./sock", "sub/sock", "sub/../sock"] {
        env::set_current_dir(&dir.0).unwrap();
        let (socket, path) = (Datagram::new().unwrap(), Address::from_bytes(name.as_bytes()));
        let bound = bind_path(&socket, &path.clone().unwrap(), 0o600, Unlink::Stale).unwrap();
        assert_eq!(socket.local_address(), Ok(path.unwrap()));
        assert!(fs::symlink_metadata(dir.join(name)).is_ok());

        env::set_current_dir(&other.0).unwrap();
        fs::write(other.join(name), "another file").unwrap();
        drop(bound);
        assert!(fs::symlink_metadata(dir.join(name)).is_err());
        assert!(other.join(name).exists());
    }
}
