//! Every call that can fail does fail, with every error that it can return, and some in a row.
//!
//! strace makes the calls fail; `errnos.txt` is the table of calls and errors. Afterwards the exchange
//! is complete, or a function or channel has reported that error, and nothing stays open.
//!
//! `errnos.json` has the number of cases of each call and error. FDWIRE_ERRNOS_RECORD=1 writes it.
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use fdwire_fuzz::exchange::{END, KINDS, START};

/// Calls of the program itself and of its runtime. Some of `mmap` and `openat` are ours: see [`is_own`].
const RUNTIME: [&str; 13] = [
    "brk",
    "exit_group",
    "futex",
    "getdents64",
    "getpid",
    "mmap",
    "munmap",
    "openat",
    "pipe2",
    "poll",
    "read",
    "sigaltstack",
    "write",
];

/// Calls that only some processors have.
const ABSENT: &[&str] = if cfg!(target_arch = "x86_64") { &[] } else { &["open"] };

/// What may be refused without the error: a message in a file that cannot be read, a connection whose options
/// cannot be set, or a used path that cannot be checked.
const REFUSED: [&str; 5] = ["adopted", "files", "memfd", "paths", "tcp"];

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

/// Whether a call is one of the crates, and not of the program or its runtime.
fn is_own(call: &str, line: &str) -> bool {
    match call {
        // Memory is allocated without a file.
        "mmap" => !line.contains("MAP_ANONYMOUS"),
        // Only the crates open files relative to a directory.
        "openat" => !line.contains("AT_FDCWD"),
        _ => !RUNTIME.contains(&call),
    }
}

/// Returns the occurrences of each own call in the second exchange. They are counted from 1 and from the
/// start of the program.
fn calls(kind: &str, folder: &Path) -> BTreeMap<String, Vec<usize>> {
    let log = folder.join(format!("{kind}.log"));
    let run = strace(kind, folder, &["-o".to_owned(), log.display().to_string()]);
    assert!(run.status.success(), "{kind}: {}", String::from_utf8_lossy(&run.stderr));
    let log = fs::read_to_string(log).expect("strace has written it");
    let (mut calls, mut started) = (BTreeMap::<String, Vec<usize>>::new(), false);
    let mut counts = BTreeMap::<String, usize>::new();
    for line in log.lines() {
        let Some((call, _)) = line.split_once('(') else { continue };
        if call == "write" && line.contains(&format!("{END:?}")) {
            return calls;
        }
        let count = counts.entry(call.to_owned()).or_default();
        *count += 1;
        if started && is_own(call, line) {
            calls.entry(call.to_owned()).or_default().push(*count);
        }
        started |= call == "write" && line.contains(&format!("{START:?}"));
    }
    panic!("the second exchange of {kind} has not ended");
}

fn cases(kind: &'static str, folder: &Path, seen: &mut BTreeSet<String>) -> Vec<Case> {
    let table = table();
    let mut cases = Vec::new();
    for (call, occurrences) in calls(kind, folder) {
        let errors = table.get(&call).unwrap_or_else(|| panic!("{call} is not in errnos.txt"));
        seen.insert(call.clone());
        let chosen = match occurrences.len() {
            len if len > ALL => {
                [0, 1, 2, len / 2, len - 2, len - 1].map(|at| occurrences[at]).to_vec()
            }
            _ => occurrences,
        };
        for error in errors.iter().flatten().filter(|error| !is_impossible(kind, &call, error)) {
            cases.extend(chosen.iter().map(|nth| {
                let (call, error) = (call.clone(), error.clone());
                Case { kind, call, error, when: nth.to_string() }
            }));
            if STORMS.contains(&&**error) {
                let (call, error) = (call.clone(), error.clone());
                let when = format!("{}..{}", chosen[0], chosen[0] + STORM - 1);
                cases.push(Case { kind, call, error, when });
            }
        }
    }
    cases
}

/// After EINTR the kernel continues to connect a TCP socket, whereas strace has skipped the call.
fn is_impossible(kind: &str, call: &str, error: &str) -> bool {
    ["tcp", "adopted"].contains(&kind) && call == "connect" && error == "EINTR"
}

/// Runs a case. Returns how it has ended (`missed`: the call did not occur that often), or what is wrong
/// with its outcome.
fn outcome(case: &Case, folder: &Path) -> Result<&'static str, String> {
    let Case { kind, call, error, when } = case;
    let inject = format!("inject={call}:error={error}:when={when}");
    let log = folder.join(format!("{kind}-{call}-{error}-{when}.log"));
    let options =
        ["-o".to_owned(), log.display().to_string(), "-e".to_owned(), format!("trace={call}")];
    // Processes that bind in one directory lock it.
    let own = folder.join(format!("{call}-{error}-{when}"));
    fs::create_dir_all(&own).expect("a folder for sockets");
    let run = strace(kind, &own, &[&options[..], &["-e".to_owned(), inject]].concat());
    let _ = fs::remove_dir_all(&own);
    let text = String::from_utf8_lossy(&run.stdout);
    let outcome = text.lines().last().unwrap_or_default();
    let injected = fs::read_to_string(&log).unwrap_or_default();
    let line = injected.lines().find(|line| line.contains("(INJECTED)")).unwrap_or("not injected");
    let is_injected = line.contains(error.as_str());
    let is_error = outcome == format!("ended {}", number(error));
    let is_refused = outcome == "refused" && REFUSED.contains(kind);
    let _ = fs::remove_file(&log);
    match outcome {
        _ if !run.status.success() => {}
        "early" if is_injected => return Ok("missed"),
        "complete" if is_injected => return Ok("complete"),
        "complete" => return Ok("missed"),
        _ if is_injected && is_error => return Ok("ended"),
        _ if is_injected && is_refused => return Ok("refused"),
        _ => {}
    }
    let stderr = String::from_utf8_lossy(&run.stderr);
    let reason = stderr
        .lines()
        .find(|line| line.contains("panicked"))
        .map_or("", |_| stderr.lines().nth(2).unwrap_or_default());
    Err(format!("{kind}: {line}: {outcome:?}, {}, {reason}", run.status))
}

/// Returns the number of an error.
fn number(error: &str) -> i32 {
    use rustix::io::Errno;
    let errno = match error {
        "EACCES" => Errno::ACCESS,
        "EADDRINUSE" => Errno::ADDRINUSE,
        "EADDRNOTAVAIL" => Errno::ADDRNOTAVAIL,
        "EAFNOSUPPORT" => Errno::AFNOSUPPORT,
        "EAGAIN" => Errno::AGAIN,
        "EBADF" => Errno::BADF,
        "EBUSY" => Errno::BUSY,
        "ECONNABORTED" => Errno::CONNABORTED,
        "ECONNREFUSED" => Errno::CONNREFUSED,
        "ECONNRESET" => Errno::CONNRESET,
        "EFBIG" => Errno::FBIG,
        "EHOSTDOWN" => Errno::HOSTDOWN,
        "EHOSTUNREACH" => Errno::HOSTUNREACH,
        "EINTR" => Errno::INTR,
        "EINVAL" => Errno::INVAL,
        "EIO" => Errno::IO,
        "ELOOP" => Errno::LOOP,
        "EMFILE" => Errno::MFILE,
        "EMSGSIZE" => Errno::MSGSIZE,
        "ENETDOWN" => Errno::NETDOWN,
        "ENETUNREACH" => Errno::NETUNREACH,
        "ENFILE" => Errno::NFILE,
        "ENOBUFS" => Errno::NOBUFS,
        "ENODATA" => Errno::NODATA,
        "ENOENT" => Errno::NOENT,
        "ENOLCK" => Errno::NOLCK,
        "ENOMEM" => Errno::NOMEM,
        "ENONET" => Errno::NONET,
        "ENOPROTOOPT" => Errno::NOPROTOOPT,
        "ENOSPC" => Errno::NOSPC,
        "ENOSYS" => Errno::NOSYS,
        "ENOTCONN" => Errno::NOTCONN,
        "ENOTDIR" => Errno::NOTDIR,
        "ENOTTY" => Errno::NOTTY,
        "ENXIO" => Errno::NXIO,
        "EOPNOTSUPP" => Errno::OPNOTSUPP,
        "EPERM" => Errno::PERM,
        "EPIPE" => Errno::PIPE,
        "EPROTO" => Errno::PROTO,
        "EPROTOTYPE" => Errno::PROTOTYPE,
        "EROFS" => Errno::ROFS,
        "ESRCH" => Errno::SRCH,
        "ETIMEDOUT" => Errno::TIMEDOUT,
        "ETOOMANYREFS" => Errno::TOOMANYREFS,
        unknown => panic!("errnos.txt has {unknown}, which number() does not know"),
    };
    errno.raw_os_error()
}

/// The number of cases of each call and error in which the call has failed.
type Pairs = BTreeMap<String, BTreeMap<String, usize>>;

/// Returns the pairs as JSON, each call in a line.
fn json(pairs: &Pairs) -> String {
    let rows: Vec<String> = pairs
        .iter()
        .map(|(call, errors)| {
            let cells: Vec<String> =
                errors.iter().map(|(error, count)| format!("\"{error}\": {count}")).collect();
            format!("    \"{call}\": {{ {} }}", cells.join(", "))
        })
        .collect();
    format!("{{\n{}\n  }}", rows.join(",\n"))
}

/// Writes what was run, with the outcomes, the seconds that it took, and the date and commit.
fn record(pairs: &Pairs, outcomes: &BTreeMap<&str, usize>, seconds: u64) {
    let line = |command: &str, args: &[&str]| {
        let run = Command::new(command).args(args).output().expect("the program runs");
        String::from_utf8_lossy(&run.stdout).trim().to_owned()
    };
    let date = line("date", &["+%F"]);
    let commit = line("git", &["log", "-1", "--format=%h", "--", "../crates", "../fuzz"]);
    let outcomes: Vec<String> =
        outcomes.iter().map(|(outcome, count)| format!("  \"{outcome}\": {count},\n")).collect();
    let text = format!(
        "{{\n  \"date\": \"{date}\",\n  \"commit\": \"{commit}\",\n  \"seconds\": {seconds},\n{}  \"cases\": {}\n}}\n",
        outcomes.concat(),
        json(pairs)
    );
    fs::write(record_path(), text).expect("errnos.json is writable");
}

fn record_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("errnos.json")
}

#[test]
fn every_call_and_error_of_the_table_is_recorded_and_no_other() {
    let recorded = fs::read_to_string(record_path()).expect("errnos.json is readable");
    let names: BTreeSet<(&str, &str)> = recorded
        .lines()
        .filter_map(|line| line.split_once("\": { "))
        .flat_map(|(call, errors)| {
            let call = call.trim().trim_start_matches('"');
            errors.split('"').skip(1).step_by(2).map(move |error| (call, error))
        })
        .collect();
    let table = table();
    let expected: BTreeSet<(&str, &str)> = table
        .iter()
        .flat_map(|(call, errors)| {
            errors.iter().flatten().map(move |error| (call.as_str(), error.as_str()))
        })
        .collect();
    assert_eq!(
        names, expected,
        "FDWIRE_ERRNOS_RECORD=1 cargo test -p fdwire-fuzz writes errnos.json"
    );
}

#[test]
fn an_exchange_completes_or_ends_with_the_error_of_the_call_that_failed() {
    let folder = folder();
    let mut seen = BTreeSet::new();
    let cases: Vec<Case> =
        KINDS.into_iter().flat_map(|kind| cases(kind, &folder, &mut seen)).collect();
    let rows = table().into_iter().filter(|(_, errors)| errors.is_some());
    let unseen: Vec<String> = rows
        .map(|(call, _)| call)
        .filter(|call| !seen.contains(call) && !ABSENT.contains(&call.as_str()))
        .collect();
    assert!(unseen.is_empty(), "no exchange makes these calls of errnos.txt: {unseen:?}");
    let (count, began) = (cases.len(), Instant::now());
    let waiting = Mutex::new(cases.into_iter());
    let results = Mutex::new((BTreeMap::new(), Pairs::new(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(case) = waiting.lock().expect("no panic").next() else { return };
                    let outcome = outcome(&case, &folder);
                    let (outcomes, pairs, faults) = &mut *results.lock().expect("no panic");
                    match outcome {
                        Ok(outcome) => {
                            *outcomes.entry(outcome).or_default() += 1;
                            let errors = pairs.entry(case.call).or_default();
                            *errors.entry(case.error).or_default() +=
                                usize::from(outcome != "missed");
                        }
                        Err(fault) => faults.push(fault),
                    }
                }
            });
        }
    });
    let _ = fs::remove_dir_all(&folder);
    let (outcomes, pairs, faults) = results.into_inner().expect("no panic");
    println!("{count} cases: {outcomes:?}");
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
    for (call, errors) in &pairs {
        for (error, &cases) in errors {
            assert!(cases > 0, "{call} never failed with {error}");
        }
    }
    if env::var_os("FDWIRE_ERRNOS_RECORD").is_some() {
        record(&pairs, &outcomes, began.elapsed().as_secs());
    }
}
