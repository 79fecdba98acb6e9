//! The sub-reaper between us and an engine: hidden command `__supervise`. Its standard input is the
//! order, the prompt and then a lifeline; when that ends, for whatever reason, so does the engine
//! and everything it started. Reads no output, knows no engine.
//!
//! It is told of the end of a worker by the end of the pipe and not by a parent-death signal: that
//! one is bound to the thread that started us, and threads of a worker come and go.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, Signal, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};

use crate::process::{self, tree};

/// Exit status when the engine could not be started; a line on standard error says why.
pub(super) const NOT_STARTED: i32 = 125;
/// How that line begins.
pub(super) const NOT_STARTED_LINE: &str = "supervise: cannot start ";

/// Most bytes of an order's first line.
const ORDER_BYTES: u64 = 4 * 1024 * 1024;
/// How long the kill loop goes on before it gives up on processes that cannot be killed.
const KILL_LIMIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// First line on the shim's standard input, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Command line, wrap included.
    pub line: Vec<String>,
    /// Working directory.
    pub directory: PathBuf,
    /// Bytes of the prompt that follow.
    pub prompt_bytes: u64,
    /// Milliseconds between stop signal and kill.
    pub grace_ms: u64,
    /// How many processes at the head of the tree are the wrap's own.
    pub is_wrapped: bool,
}

/// The engine's process id while it has not been waited for: a signal can never hit a stranger
/// that got the same number.
type Unreaped = Mutex<Option<i32>>;

/// Hidden command `__supervise`. Returns the exit status; when the engine was ended by a signal
/// this process ends by the same one.
pub fn shim() -> i32 {
    match supervise() {
        Ok(status) => status,
        Err(error) => {
            writeln!(io::stderr().lock(), "{NOT_STARTED_LINE}{error}").ok();
            NOT_STARTED
        }
    }
}

fn supervise() -> io::Result<i32> {
    let mut input = BufReader::new(io::stdin());
    let mut line = String::new();
    input.by_ref().take(ORDER_BYTES).read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let mut prompt = Vec::new();
    input.by_ref().take(order.prompt_bytes).read_to_end(&mut prompt)?;
    if u64::try_from(prompt.len()).ok() != Some(order.prompt_bytes) {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the engine: the prompt was cut off"));
    }
    // We lead a group already when we are started as one; a session of our own then needs no call.
    rustix::process::setsid().ok();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // A core file would hold prompts and keys.
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let words: Vec<OsString> = order.line.iter().map(OsString::from).collect();
    let mut engine = process::spawn_inheriting(&words, &order.directory).map_err(|error| {
        let program = order.line.first().map(String::as_str).unwrap_or_default();
        io::Error::new(error.kind(), format!("{program}: {error}"))
    })?;
    let pid = i32::try_from(engine.id()).map_err(io::Error::other)?;
    let pipe = engine.stdin.take();
    let unreaped: &Unreaped = Box::leak(Box::new(Mutex::new(Some(pid))));
    thread::spawn(move || {
        // An engine that does not read its prompt is not our affair: its own status tells.
        if let Some(mut pipe) = pipe {
            pipe.write_all(&prompt).ok();
        }
    });
    let grace = Duration::from_millis(order.grace_ms);
    thread::spawn(move || {
        wait_for_end(&mut input);
        stop(unreaped, order.is_wrapped, grace);
    });
    let status = wait_for(pid, unreaped)?;
    kill_the_rest()?;
    Ok(convey(status))
}

/// Blocks until the lifeline ends.
fn wait_for_end(input: &mut impl Read) {
    let mut byte = [0; 64];
    loop {
        match input.read(&mut byte) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A pipe that cannot be read tells as little as one that ended.
            Err(_broken) => return,
        }
    }
}

/// Asks the engine to end, waits, then kills it. What is left of the tree is killed by the main
/// thread once the engine is gone.
fn stop(unreaped: &Unreaped, is_wrapped: bool, grace: Duration) {
    with(unreaped, |pid| tree::signal(target(pid, is_wrapped), Signal::TERM));
    let start = Instant::now();
    while start.elapsed() < grace {
        if with(unreaped, |_| ()).is_none() {
            return;
        }
        thread::sleep(POLL);
    }
    with(unreaped, |pid| tree::signal(pid, Signal::KILL));
}

fn with<T>(unreaped: &Unreaped, act: impl FnOnce(i32) -> T) -> Option<T> {
    // A panic elsewhere leaves the number as good as it was.
    let guard = unreaped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    guard.map(act)
}

/// The engine itself: below a wrap, the first descendant that is not the wrap's own program.
fn target(pid: i32, is_wrapped: bool) -> i32 {
    let program = |pid: i32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let wrap = program(pid).filter(|_| is_wrapped);
    let mut current = pid;
    while wrap.is_some() && program(current) == wrap {
        let children = tree::parents().unwrap_or_default();
        match children.iter().find(|&(_, &parent)| parent == current) {
            Some((&child, _)) => current = child,
            // The engine is gone or not there yet: then the wrap is what can be told.
            None => return pid,
        }
    }
    current
}

/// Reaps whatever ends until the engine has.
fn wait_for(engine: i32, unreaped: &Unreaped) -> io::Result<WaitStatus> {
    loop {
        // WNOWAIT first is not needed: only this thread waits, and it holds the number while it does.
        let mut guard = unreaped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ended = rustix::process::wait(WaitOptions::NOHANG);
        match ended {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == engine => {
                *guard = None;
                return Ok(status);
            }
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => continue,
            Ok(None) => {}
            Err(error) => return Err(error.into()),
        }
        drop(guard);
        thread::sleep(POLL);
    }
}

/// Kills and reaps every descendant; as a sub-reaper we inherit each orphan.
fn kill_the_rest() -> io::Result<()> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let (_, is_empty) = tree::kill_until_none(|| tree::descendants(me), reap, KILL_LIMIT)?;
    reap();
    if !is_empty {
        writeln!(io::stderr().lock(), "supervise: some processes of the engine cannot be killed").ok();
    }
    Ok(())
}

fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}

/// Signals that end a process and can be sent.
const SIGNALS: &[Signal] = &[
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::ILL,
    Signal::TRAP,
    Signal::ABORT,
    Signal::BUS,
    Signal::FPE,
    Signal::KILL,
    Signal::USR1,
    Signal::SEGV,
    Signal::USR2,
    Signal::ALARM,
    Signal::TERM,
    Signal::XCPU,
    Signal::XFSZ,
    Signal::SYS,
];

/// Ends as the engine ended.
fn convey(status: WaitStatus) -> i32 {
    if let Some(status) = status.exit_status() {
        return status;
    }
    let number = status.terminating_signal().unwrap_or(9);
    if let Some(signal) = SIGNALS.iter().find(|signal| signal.as_raw() == number) {
        tree::signal(rustix::process::getpid().as_raw_nonzero().get(), *signal);
    }
    // A signal that does not end us: shells say it like this.
    128 + number
}

/// Working directories and programs must be text: the order is JSON.
pub(super) fn words(line: &[OsString]) -> Result<Vec<String>, String> {
    line.iter()
        .map(|word| {
            word.to_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("{} is not UTF-8", Path::new(word).display()))
        })
        .collect()
}
