//! Every call that can fail does fail, with every error that it can return, and some in a row.
//!
//! strace makes the calls fail; `errnos.txt` is the table of calls and errors. Afterwards the exchange
//! is complete, or a function or channel has reported that error, and nothing stays open.
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

use fdwire_fuzz::exchange::{END, KINDS, START};

/// Calls of the program itself and of its runtime.
const RUNTIME: [&str; 11] = [
    "brk",
    "exit_group",
    "futex",
    "getdents64",
    "getpid",
    "mmap",
    "munmap",
    "openat",
    "pipe2",
    "sigaltstack",
    "write",
];

/// Of a call that occurs more often, only the first three, the middle and the last two fail.
const ALL: usize = 6;

/// The errors that may come many times in a row, and how many times they do.
const STORMS: [&str; 2] = ["EAGAIN", "EINTR"];
const STORM: usize = 40;

/// Seconds after which a run has hung. A refused `epoll_ctl` is retried for ten seconds.
const HANGS: &str = "60";

/// One run: which call fails how. Occurrences are counted from the start of the program.
struct Case {
    kind: &'static str,
    call: String,
    error: String,
    /// Which occurrences of the call fail, as strace takes them.
    when: String,
}

/// Returns the errors of each call; None if none is injected.
fn table() -> BTreeMap<String, Option<Vec<String>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("errnos.txt");
    let text = fs::read_to_string(path).expect("the table is readable");
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let mut words = row.split(' ').map(str::to_owned);
        let call = words.next().expect("a row begins with a call");
        let errors: Vec<String> = words.collect();
        let none = errors.first().is_some_and(|first| first == "-");
        (call, (!none).then_some(errors))
    })
    .collect()
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("fdwire-errnos-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for sockets");
    folder
}

fn strace(kind: &str, folder: &Path, options: &[String]) -> Output {
    let mut command = Command::new("timeout");
    command.args([HANGS, "strace", "-qq"]).args(options).arg(env!("CARGO_BIN_EXE_exchange"));
    command.arg(kind).arg(folder).output().expect("the tests need the program strace")
}

/// Returns the numbers of calls before the second exchange and in it, by name.
fn calls(kind: &str, folder: &Path) -> BTreeMap<String, (usize, usize)> {
    let log = folder.join(format!("{kind}.log"));
    let run = strace(kind, folder, &["-o".to_owned(), log.display().to_string()]);
    assert!(run.status.success(), "{kind}: {}", String::from_utf8_lossy(&run.stderr));
    let log = fs::read_to_string(log).expect("strace has written it");
    let (mut calls, mut started) = (BTreeMap::<String, (usize, usize)>::new(), false);
    for line in log.lines() {
        let Some((call, _)) = line.split_once('(') else { continue };
        if call == "write" && line.contains(&format!("{END:?}")) {
            return calls;
        }
        let count = calls.entry(call.to_owned()).or_default();
        if started {
            count.1 += 1;
        } else {
            count.0 += 1;
        }
        started |= call == "write" && line.contains(&format!("{START:?}"));
    }
    panic!("the second exchange of {kind} has not ended");
}

fn cases(kind: &'static str, folder: &Path, seen: &mut BTreeSet<String>) -> Vec<Case> {
    let table = table();
    let mut cases = Vec::new();
    for (call, (before, after)) in calls(kind, folder) {
        if RUNTIME.contains(&&*call) || after == 0 {
            continue;
        }
        let errors = table.get(&call).unwrap_or_else(|| panic!("{call} is not in errnos.txt"));
        seen.insert(call.clone());
        for error in errors.iter().flatten() {
            let few = [1, 2, 3, after / 2, after - 1, after];
            let nths = if after > ALL { few.to_vec() } else { (1..=after).collect() };
            cases.extend(nths.into_iter().map(|nth| {
                let (call, error) = (call.clone(), error.clone());
                Case { kind, call, error, when: (before + nth).to_string() }
            }));
            if STORMS.contains(&&**error) {
                let (call, error) = (call.clone(), error.clone());
                let when = format!("{}..{}", before + 1, before + STORM);
                cases.push(Case { kind, call, error, when });
            }
        }
    }
    cases
}

/// Runs a case. Returns what is wrong with its outcome.
fn fault(case: &Case, folder: &Path) -> Option<String> {
    let Case { kind, call, error, when } = case;
    let inject = format!("inject={call}:error={error}:when={when}");
    let log = folder.join(format!("{kind}-{call}-{error}-{when}.log"));
    let options =
        ["-o".to_owned(), log.display().to_string(), "-e".to_owned(), format!("trace={call}")];
    let run = strace(kind, folder, &[&options[..], &["-e".to_owned(), inject]].concat());
    let text = String::from_utf8_lossy(&run.stdout);
    let outcome = text.lines().last().unwrap_or_default();
    let injected = fs::read_to_string(&log).unwrap_or_default();
    let line = injected.lines().find(|line| line.contains("(INJECTED)")).unwrap_or("not injected");
    let ended = line.contains(error.as_str()) && outcome == format!("ended {}", number(error));
    let _ = fs::remove_file(&log);
    if run.status.success() && (outcome == "complete" || ended) {
        return None;
    }
    let stderr = String::from_utf8_lossy(&run.stderr);
    let reason = stderr
        .lines()
        .find(|line| line.contains("panicked"))
        .map_or("", |_| stderr.lines().nth(2).unwrap_or_default());
    Some(format!("{kind}: {line}: {outcome:?}, {}, {reason}", run.status))
}

/// Returns the number of an error.
fn number(error: &str) -> i32 {
    use rustix::io::Errno;
    let errno = match error {
        "EACCES" => Errno::ACCESS,
        "EADDRINUSE" => Errno::ADDRINUSE,
        "EAFNOSUPPORT" => Errno::AFNOSUPPORT,
        "EAGAIN" => Errno::AGAIN,
        "EBADF" => Errno::BADF,
        "EBUSY" => Errno::BUSY,
        "ECONNABORTED" => Errno::CONNABORTED,
        "ECONNREFUSED" => Errno::CONNREFUSED,
        "ECONNRESET" => Errno::CONNRESET,
        "EINTR" => Errno::INTR,
        "EINVAL" => Errno::INVAL,
        "EIO" => Errno::IO,
        "ELOOP" => Errno::LOOP,
        "EMFILE" => Errno::MFILE,
        "EMSGSIZE" => Errno::MSGSIZE,
        "ENETDOWN" => Errno::NETDOWN,
        "ENFILE" => Errno::NFILE,
        "ENOBUFS" => Errno::NOBUFS,
        "ENOENT" => Errno::NOENT,
        "ENOLCK" => Errno::NOLCK,
        "ENOMEM" => Errno::NOMEM,
        "ENOPROTOOPT" => Errno::NOPROTOOPT,
        "ENOSPC" => Errno::NOSPC,
        "ENOSYS" => Errno::NOSYS,
        "ENOTCONN" => Errno::NOTCONN,
        "ENOTDIR" => Errno::NOTDIR,
        "ENOTTY" => Errno::NOTTY,
        "EOPNOTSUPP" => Errno::OPNOTSUPP,
        "EPERM" => Errno::PERM,
        "EPIPE" => Errno::PIPE,
        "EPROTO" => Errno::PROTO,
        "EPROTOTYPE" => Errno::PROTOTYPE,
        "EROFS" => Errno::ROFS,
        "ETOOMANYREFS" => Errno::TOOMANYREFS,
        unknown => panic!("errnos.txt has {unknown}, which number() does not know"),
    };
    errno.raw_os_error()
}

#[test]
fn an_exchange_completes_or_ends_with_the_error_of_the_call_that_failed() {
    let folder = folder();
    let mut seen = BTreeSet::new();
    let cases: Vec<Case> =
        KINDS.into_iter().flat_map(|kind| cases(kind, &folder, &mut seen)).collect();
    let rows = table().into_iter().filter(|(_, errors)| errors.is_some());
    let unseen: Vec<String> =
        rows.map(|(call, _)| call).filter(|call| !seen.contains(call)).collect();
    assert!(unseen.is_empty(), "no exchange makes these calls of errnos.txt: {unseen:?}");
    let count = cases.len();
    let (waiting, faults) = (Mutex::new(cases.into_iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(case) = waiting.lock().expect("no panic").next() else { return };
                    faults.lock().expect("no panic").extend(fault(&case, &folder));
                }
            });
        }
    });
    let _ = fs::remove_dir_all(&folder);
    let faults = faults.into_inner().expect("no panic");
    println!("{count} cases");
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
}
