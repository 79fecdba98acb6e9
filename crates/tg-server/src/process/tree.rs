//! Process trees as the kernel shows them below `/proc`: who descends from whom, who carries a
//! variable, and the kill of all of them. Starts nothing.

use std::{collections::HashMap, fs, io, time::Duration};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A process and the one that will be told of its end.
type Parents = HashMap<i32, i32>;

/// Every process with its parent.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn parents() -> io::Result<Parents> {
    let mut parents = Parents::new();
    for pid in pids()? {
        // A process that ended meanwhile has no entry any more.
        if let Some(parent) = parent(pid) {
            parents.insert(pid, parent);
        }
    }
    Ok(parents)
}

/// Ids of all processes.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// Parent of a process that has not ended; zombies count as ended.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The command name may hold anything, so the fields are counted from its closing bracket.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(parent)
}

/// Living descendants of a process, itself not among them.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn descendants(of: i32) -> io::Result<Vec<i32>> {
    let parents = parents()?;
    let mut found = vec![of];
    let mut next = 0;
    while let Some(&current) = found.get(next) {
        next += 1;
        let children = parents.iter().filter(|&(_, &parent)| parent == current).map(|(&pid, _)| pid);
        for child in children.collect::<Vec<_>>() {
            if !found.contains(&child) {
                found.push(child);
            }
        }
    }
    found.remove(0);
    Ok(found)
}

/// Living processes whose environment holds this entry (`NAME=value`), as far as we may look.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn with_variable(entry: &str) -> io::Result<Vec<i32>> {
    Ok(pids()?
        .into_iter()
        .filter(|&pid| variables(pid).iter().any(|variable| variable == entry.as_bytes()))
        .filter(|&pid| parent(pid).is_some())
        .collect())
}

/// Environment of a process at its start; empty when it is gone or not ours to read.
pub fn variables(pid: i32) -> Vec<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ"))
        .map(|bytes| bytes.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect())
        .unwrap_or_default()
}

/// Sends a signal; a process that is gone is no error.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid).filter(|pid| *pid != Pid::INIT) {
        // It may have ended by itself meanwhile; what still lives is found by the next look.
        kill_process(pid, signal).ok();
    }
}

/// Kills what `find` names until it names nothing more, for at most `limit`. Returns how many
/// processes were killed, and whether none is left.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn kill_until_none(
    find: impl Fn() -> io::Result<Vec<i32>>,
    reap: impl Fn(),
    limit: Duration,
) -> io::Result<(usize, bool)> {
    let start = std::time::Instant::now();
    let mut killed = std::collections::HashSet::new();
    loop {
        let found = find()?;
        if found.is_empty() {
            return Ok((killed.len(), true));
        }
        if start.elapsed() > limit {
            return Ok((killed.len(), false));
        }
        for pid in found {
            killed.insert(pid);
            signal(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(2));
        reap();
    }
}

/// Kills a process, its group and its descendants when it goes out of scope, unless released.
pub(super) struct KillOnDrop(Option<i32>);

impl KillOnDrop {
    pub(super) fn new(pid: Option<u32>) -> Self {
        Self(pid.and_then(|pid| i32::try_from(pid).ok()))
    }

    /// It ended by itself.
    pub(super) fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let Some(pid) = self.0 else { return };
        // Descendants first, while they can still be found below their parent.
        let below = descendants(pid).unwrap_or_default();
        signal(pid, Signal::KILL);
        if let Some(group) = Pid::from_raw(pid) {
            // The group is empty when the process had ended already.
            kill_process_group(group, Signal::KILL).ok();
        }
        for pid in below {
            signal(pid, Signal::KILL);
        }
    }
}
