//! Binding a socket to a path, so that nobody is robbed of theirs and nothing of ours is left behind.

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::net;

use crate::{Address, Datagram, Errno};

/// What happens to a socket that has the path already.
///
/// What is no socket always stays, and is `EEXIST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlink {
    /// It goes if nobody has it open any more (the default of the API).
    Stale,
    /// It goes, even from under a living owner.
    Always,
    /// It stays.
    Never,
}

/// How an attempt to bind ended.
#[derive(Debug)]
pub enum BindOutcome {
    /// The socket has the path.
    Bound(Bound),
    /// Somebody else is binding in this directory right now; try again later.
    Locked,
}

/// Which system call failed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindError {
    /// What the kernel said, or what this module says in its place (`EADDRINUSE`, `EEXIST`).
    pub errno: Errno,
    /// The system call's name.
    pub syscall: &'static str,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.syscall, self.errno)
    }
}

impl std::error::Error for BindError {}

/// Binds `socket` to `path` and gives the name exactly the permissions `mode`, whatever the umask.
///
/// The decision what is stale, the unlinking and the binding happen under a lock (flock) on the
/// directory, so that of many processes that start at once on a stale path exactly one wins. In a
/// directory that we may not read, or whose file system has no locks, nothing is ever unlinked to
/// make room: a name that is taken is `EADDRINUSE`, whatever `unlink` says.
///
/// The lock is not held any more when this returns.
///
/// # Errors
///
/// `EADDRINUSE` when a socket has the path and `unlink` does not let it go, `EEXIST` when something
/// else has it, `ESTALE` when the directory was moved or the name replaced meanwhile, `EINVAL` when
/// `path` is no path, and what the system calls say. After an error the socket may be bound already
/// and is good for nothing.
pub fn bind_path(
    socket: &Datagram,
    path: &Address,
    mode: u32,
    unlink: Unlink,
) -> Result<BindOutcome, BindError> {
    bind_socket(socket.as_fd(), path, mode, unlink, |_| Ok(()))
}

/// As [`bind_path`] for any Unix socket; `begin` makes it live, before anybody may take it for stale.
pub(crate) fn bind_socket(
    socket: BorrowedFd<'_>,
    path: &Address,
    mode: u32,
    unlink: Unlink,
    begin: impl FnOnce(BorrowedFd<'_>) -> Result<(), BindError>,
) -> Result<BindOutcome, BindError> {
    let mode = Mode::from_raw_mode(mode) & PERMISSIONS;
    let (dir, name) = split(path)?;
    let dir = open_directory(&dir)?;
    let lock = match Lock::take(&dir) {
        Ok(lock) => Some(lock),
        Err(Errno::WOULDBLOCK) => return Ok(BindOutcome::Locked),
        Err(_) => None,
    };
    make_room(&dir, &name, path, if lock.is_some() { unlink } else { Unlink::Never })?;
    // The inode gets `mode & !umask` in the moment it appears: never more than was asked for.
    fs::fchmod(socket, mode).map_err(in_call("fchmod"))?;
    net::bind(socket, path).map_err(in_call("bind"))?;
    let stat = fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(in_call("lstat"))?;
    // The path led to a directory twice. Had it been moved in between, this is not what we bound.
    if !is_socket(&stat) || lstat(path).map(|at_path| inode(&at_path)) != Ok(inode(&stat)) {
        return Err(in_call("bind")(Errno::STALE));
    }
    // Whoever finds it finds it with its mode, and live.
    if let Err(error) = set_mode(&dir, &name, &stat, mode).and_then(|()| begin(socket)) {
        let _ = fs::unlinkat(&dir, &name, AtFlags::empty());
        return Err(error);
    }
    drop(lock);
    let bound = Bound { dir, name, inode: inode(&stat), kept: false };
    Ok(BindOutcome::Bound(bound))
}

/// A name in the file system that is ours; dropping it removes the name.
///
/// It goes through the directory, which is held open, so neither `chdir` nor a rename of a parent
/// keeps it, and what somebody else has put in its place stays. Drop it before the socket closes:
/// the open socket keeps the inode's number from being given to another file, and nobody can take
/// the name for stale in between.
#[derive(Debug)]
pub struct Bound {
    dir: OwnedFd,
    name: CString,
    inode: Inode,
    kept: bool,
}

impl Bound {
    /// Removes the name now.
    pub fn unlink(self) {
        drop(self);
    }

    /// Leaves the name to whoever has the socket from now on.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Between looking and unlinking nobody who binds as we do puts another socket there. Without
        // the lock the name goes all the same: it would be left behind for ever.
        let _lock = Lock::take(&self.dir);
        let there = fs::statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        if there.is_ok_and(|stat| inode(&stat) == self.inode) {
            let _ = fs::unlinkat(&self.dir, &self.name, AtFlags::empty());
        }
    }
}

/// An exclusive flock on a directory.
///
/// It belongs to the open file description, so it also holds between threads; it is let go by
/// name, since the description lives on in a [`Bound`].
struct Lock<'dir>(&'dir OwnedFd);

impl<'dir> Lock<'dir> {
    fn take(dir: &'dir OwnedFd) -> Result<Self, Errno> {
        fs::flock(dir, FlockOperation::NonBlockingLockExclusive).map(|()| Self(dir))
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        let _ = fs::flock(self.0, FlockOperation::Unlock);
    }
}

/// Sees to it that nothing has the name, as far as `unlink` allows.
fn make_room(
    dir: &OwnedFd,
    name: &CString,
    path: &Address,
    unlink: Unlink,
) -> Result<(), BindError> {
    let there = match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if !is_socket(&stat) => return Err(in_call("bind")(Errno::EXIST)),
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(in_call("lstat")(errno)),
    };
    let goes = match unlink {
        Unlink::Never => false,
        Unlink::Always => true,
        // The probe takes the path, so make sure that it led to what is about to be unlinked.
        Unlink::Stale => is_stale(path)? && lstat(path).map(|at| inode(&at)) == Ok(inode(&there)),
    };
    if !goes {
        return Err(in_call("bind")(Errno::ADDRINUSE));
    }
    match fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(in_call("unlink")(errno)),
    }
}

/// Whether nobody has the socket open: of all answers only `ECONNREFUSED` says so.
///
/// A listener of another type answers `EPROTOTYPE`, a connected datagram socket `EPERM`.
fn is_stale(path: &Address) -> Result<bool, BindError> {
    let probe = Datagram::new().map_err(in_call("socket"))?;
    Ok(probe.connect(path) == Err(Errno::CONNREFUSED))
}

/// Gives the inode the bits that the umask took away.
fn set_mode(dir: &OwnedFd, name: &CString, stat: &Stat, mode: Mode) -> Result<(), BindError> {
    if Mode::from_raw_mode(stat.st_mode) & PERMISSIONS == mode {
        return Ok(());
    }
    // fchmodat would follow a symbolic link that somebody put there just now, so take hold of the
    // inode and go through /proc, which leads to it and nowhere else.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node = fs::openat(dir, name, flags, NO_MODE).map_err(in_call("open"))?;
    if inode(&fs::fstat(&node).map_err(in_call("fstat"))?) != inode(stat) {
        return Err(in_call("bind")(Errno::STALE));
    }
    match fs::chmod(format!("/proc/self/fd/{}", node.as_raw_fd()), mode) {
        // There is no /proc here.
        Err(Errno::NOENT) => fs::chmodat(dir, name, mode, AtFlags::empty()),
        done => done,
    }
    .map_err(in_call("chmod"))
}

/// Opens a directory to lock it and to reach names in it; one that we may not read only for the
/// latter.
fn open_directory(dir: &CString) -> Result<OwnedFd, BindError> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    match fs::open(dir, flags | OFlags::RDONLY, NO_MODE) {
        Err(Errno::ACCESS) => fs::open(dir, flags | OFlags::PATH, NO_MODE),
        opened => opened,
    }
    .map_err(in_call("open"))
}

/// A path's directory and the name in it.
fn split(path: &Address) -> Result<(CString, CString), BindError> {
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
        _ => Err(in_call("bind")(Errno::INVAL)),
    }
}

fn lstat(path: &Address) -> Result<Stat, Errno> {
    fs::lstat(path.as_bytes())
}

fn is_socket(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Socket
}

/// Device and number.
type Inode = (u64, u64);

fn inode(stat: &Stat) -> Inode {
    (stat.st_dev, stat.st_ino)
}

pub(crate) fn in_call(syscall: &'static str) -> impl Fn(Errno) -> BindError {
    move |errno| BindError { errno, syscall }
}

const PERMISSIONS: Mode = Mode::from_raw_mode(0o7777);
/// For calls that create nothing.
const NO_MODE: Mode = Mode::empty();
