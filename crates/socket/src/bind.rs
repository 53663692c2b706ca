//! Binding a socket to a path: a stale socket file is replaced under a lock, and the new one is
//! removed on drop.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::net;

use crate::error::{SyscallError, syscall_error};
use crate::{Address, Datagram, Errno};

/// When to remove a socket file that already exists at the path.
///
/// Files that are not sockets are never removed: binding fails with `EEXIST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlink {
    /// If no process has its socket open (the default of the API).
    Stale,
    /// Always, even if its socket is in use.
    Always,
    /// Never: binding fails with `EADDRINUSE`.
    Never,
}

/// A Unix address to bind a socket to.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// A path, an abstract address, or unnamed for an abstract address that the kernel chooses.
    pub address: &'a Address,
    /// The permissions of the socket file, if the address is a path.
    pub mode: u32,
    /// When to remove a socket file that already exists, if the address is a path.
    pub unlink: Unlink,
}

impl Binding<'_> {
    /// Binds a socket, and calls `activate` before another process can bind the same path. Returns
    /// the socket file, if the address is a path.
    pub(crate) fn bind(
        &self,
        socket: BorrowedFd<'_>,
        activate: impl FnOnce(BorrowedFd<'_>) -> Result<(), SyscallError>,
    ) -> Result<Option<Box<Bound>>, SyscallError> {
        let Self { address, mode, unlink } = *self;
        if address.is_path() {
            let bound = bind_socket(socket, address, mode, unlink, activate)?;
            return Ok(Some(Box::new(bound)));
        }
        net::bind(socket, address).map_err(syscall_error("bind"))?;
        activate(socket)?;
        Ok(None)
    }
}

/// Binds `socket` to `path`. The socket file gets exactly the permissions `mode`, whatever the
/// umask.
///
/// A file is removed only under an exclusive `flock` on the directory, which covers the check for a
/// stale socket, the unlinking and the binding. So if several processes start at once on a stale
/// path, exactly one of them gets it. In a directory that we may not read, or on a file system
/// without locks, no file is ever removed: a socket file at the path fails with `EADDRINUSE`,
/// whatever `unlink` says.
///
/// A free path is bound without the lock if another process holds it. Otherwise any process that
/// may open the directory could prevent the binding. The lock is released before the function
/// returns.
///
/// # Errors
///
/// `EADDRINUSE` if `unlink` does not allow the removal of a socket file at the path, `EEXIST` if
/// there is a file of another type, `ESTALE` if the directory was moved or the file was replaced in
/// the meantime, `EINVAL` if `path` is not a path, and the errors of the system calls. `EAGAIN` of
/// `flock` if a socket file is to be removed and another process holds the lock: the caller should
/// retry later. After an error the socket may be bound already and must not be used.
pub fn bind_path(
    socket: impl AsFd,
    path: &Address,
    mode: u32,
    unlink: Unlink,
) -> Result<Bound, SyscallError> {
    bind_socket(socket.as_fd(), path, mode, unlink, |_| Ok(()))
}

/// Like [`bind_path`], but also calls `activate` with the bound socket, under the lock if it is
/// held, so that no other process considers the socket stale.
fn bind_socket(
    socket: BorrowedFd<'_>,
    path: &Address,
    mode: u32,
    unlink: Unlink,
    activate: impl FnOnce(BorrowedFd<'_>) -> Result<(), SyscallError>,
) -> Result<Bound, SyscallError> {
    let mode = Mode::from_raw_mode(mode) & PERMISSIONS;
    let (dir, name) = split(path)?;
    let dir = open_directory(&dir)?;
    let lock = match unlink {
        // No file is removed, so no lock is needed.
        Unlink::Never => Err(syscall_error("bind")(Errno::ADDRINUSE)),
        Unlink::Stale | Unlink::Always => Lock::acquire(&dir).map_err(|errno| match errno {
            Errno::WOULDBLOCK => syscall_error("flock")(Errno::AGAIN),
            _ => syscall_error("bind")(Errno::ADDRINUSE),
        }),
    };
    make_room(&dir, &name, path, unlink, lock.as_ref().err())?;
    // The kernel creates the file with `mode & !umask`, so it never has more permissions than
    // `mode`.
    fs::fchmod(socket, mode).map_err(syscall_error("fchmod"))?;
    net::bind(socket, path).map_err(syscall_error("bind"))?;
    let stat =
        fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(syscall_error("lstat"))?;
    // `path` was resolved twice. If the directory was moved in between, `name` in `dir` is not the
    // file that `bind` created.
    let at_path = match lstat(path) {
        Err(errno) if errno != Errno::NOENT => return Err(syscall_error("lstat")(errno)),
        at_path => at_path.ok(),
    };
    if !is_socket(&stat) || at_path.as_ref().map(inode) != Some(inode(&stat)) {
        return Err(syscall_error("bind")(Errno::STALE));
    }
    // This precedes the release of the lock, so the next process that acquires it finds the mode
    // set and the socket active.
    if let Err(error) = set_mode(&dir, &name, &stat, mode).and_then(|()| activate(socket)) {
        let _ = fs::unlinkat(&dir, &name, AtFlags::empty());
        return Err(error);
    }
    drop(lock);
    Ok(Bound { dir, name, inode: inode(&stat), kept: false })
}

/// A socket file that we have created. Dropping it removes the file.
///
/// The removal goes through the open directory, so it works after `chdir` or a rename of a parent
/// directory. A file that has replaced ours is not removed. Drop this before the socket is closed:
/// the open socket keeps the inode number from being reused, and keeps other processes from
/// considering the file stale.
#[derive(Debug)]
pub struct Bound {
    dir: OwnedFd,
    name: CString,
    inode: Inode,
    kept: bool,
}

impl Bound {
    /// Removes the file now.
    pub fn unlink(self) {
        drop(self);
    }

    /// Leaves the file in place for the next owner of the socket.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // The lock keeps other fdwire processes from replacing the file between the check and the
        // unlinking. If it cannot be acquired, the file is removed anyway, because it would
        // otherwise remain forever.
        let _lock = Lock::acquire(&self.dir);
        let found = fs::statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|stat| inode(&stat) == self.inode) {
            let _ = fs::unlinkat(&self.dir, &self.name, AtFlags::empty());
        }
    }
}

/// An exclusive `flock` on a directory.
///
/// The lock belongs to the open file description, so it also excludes other threads. It must be
/// released explicitly, because a [`Bound`] keeps the description open.
struct Lock<'dir>(&'dir OwnedFd);

impl<'dir> Lock<'dir> {
    fn acquire(dir: &'dir OwnedFd) -> Result<Self, Errno> {
        fs::flock(dir, FlockOperation::NonBlockingLockExclusive).map(|()| Self(dir))
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        let _ = fs::flock(self.0, FlockOperation::Unlock);
    }
}

/// Frees the path: removes a socket file there if `unlink` permits it. `unlocked` is the error to
/// return if a file would have to be removed without the lock.
fn make_room(
    dir: &OwnedFd,
    name: &CString,
    path: &Address,
    unlink: Unlink,
    unlocked: Option<&SyscallError>,
) -> Result<(), SyscallError> {
    let found = match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if !is_socket(&stat) => return Err(syscall_error("bind")(Errno::EXIST)),
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(syscall_error("lstat")(errno)),
    };
    let removable = match unlink {
        Unlink::Never => false,
        Unlink::Always => true,
        // `is_stale` resolves the path again, so check that it led to the file to be removed.
        Unlink::Stale => is_stale(path)? && lstat(path).map(|at| inode(&at)) == Ok(inode(&found)),
    };
    if !removable {
        return Err(syscall_error("bind")(Errno::ADDRINUSE));
    }
    if let Some(error) = unlocked {
        return Err(*error);
    }
    match fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(syscall_error("unlink")(errno)),
    }
}

/// Returns whether no process has the socket open, which only the error `ECONNREFUSED` proves.
///
/// A listener of another type fails with `EPROTOTYPE`, a connected datagram socket with `EPERM`.
fn is_stale(path: &Address) -> Result<bool, SyscallError> {
    let probe = Datagram::new().map_err(syscall_error("socket"))?;
    Ok(probe.connect(path) == Err(Errno::CONNREFUSED))
}

/// Adds the permissions that the umask has removed.
fn set_mode(dir: &OwnedFd, name: &CString, stat: &Stat, mode: Mode) -> Result<(), SyscallError> {
    if Mode::from_raw_mode(stat.st_mode) & PERMISSIONS == mode {
        return Ok(());
    }
    // `fchmodat` would follow a symbolic link that has just replaced the file. Open the inode
    // instead, verify it, and change its mode through /proc.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node = fs::openat(dir, name, flags, NO_MODE).map_err(syscall_error("open"))?;
    if inode(&fs::fstat(&node).map_err(syscall_error("fstat"))?) != inode(stat) {
        return Err(syscall_error("bind")(Errno::STALE));
    }
    match fs::chmod(format!("/proc/self/fd/{}", node.as_raw_fd()), mode) {
        // /proc is not mounted.
        Err(Errno::NOENT) => fs::chmodat(dir, name, mode, AtFlags::empty()),
        result => result,
    }
    .map_err(syscall_error("chmod"))
}

/// Opens a directory for locking and for access to its files. If we may not read the directory, the
/// descriptor only allows the latter.
fn open_directory(dir: &CString) -> Result<OwnedFd, SyscallError> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    match fs::open(dir, flags | OFlags::RDONLY, NO_MODE) {
        Err(Errno::ACCESS) => fs::open(dir, flags | OFlags::PATH, NO_MODE),
        result => result,
    }
    .map_err(syscall_error("open"))
}

/// Splits a path into its directory and the file name.
fn split(path: &Address) -> Result<(CString, CString), SyscallError> {
    let bytes = path.as_bytes();
    let (dir, name) = match bytes.iter().rposition(|&byte| byte == b'/') {
        None => (&b"."[..], bytes),
        Some(0) => (&b"/"[..], &bytes[1..]),
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
    };
    // A path that ends in a slash names a directory.
    let name = if name.is_empty() { b"." } else { name };
    match (CString::new(dir), CString::new(name)) {
        (Ok(dir), Ok(name)) if path.is_path() => Ok((dir, name)),
        _ => Err(syscall_error("bind")(Errno::INVAL)),
    }
}

fn lstat(path: &Address) -> Result<Stat, Errno> {
    fs::lstat(path.as_bytes())
}

fn is_socket(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Socket
}

/// Device and inode number.
type Inode = (u64, u64);

fn inode(stat: &Stat) -> Inode {
    (stat.st_dev, stat.st_ino)
}

const PERMISSIONS: Mode = Mode::from_raw_mode(0o7777);
/// The mode argument of calls that create no file.
const NO_MODE: Mode = Mode::empty();
