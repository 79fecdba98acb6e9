//! Ends engine processes that nobody watches any more: after a crash they are known by two marks in
//! their environment, the call and the state directory they belong to.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use crate::process::tree;

/// Variable that names the call a process belongs to.
pub(super) const RUN_MARK: &str = "TASKSGODZILLA_RUN_ID";
/// Variable that names the state directory, so that two installations leave each other alone.
pub(super) const STATE_MARK: &str = "TASKSGODZILLA_STATE";

const LIMIT: Duration = Duration::from_secs(5);

/// Ends processes of calls that no live lease covers (after a crash): by marks in their
/// environment. Returns how many were ended.
///
/// # Errors
/// When the list of processes cannot be read.
pub fn reap_orphans(home: &Path, is_live: &dyn Fn(&str) -> bool) -> io::Result<usize> {
    // What was ours to end is asked once: a call that starts meanwhile is not looked at.
    let dead: Vec<String> = calls(home)?.into_keys().filter(|call| !is_live(call)).collect();
    let mut ended = 0;
    for call in dead {
        ended += end_call(home, &call)?;
    }
    Ok(ended)
}

/// Ends every process of one call.
pub(super) fn end_call(home: &Path, call: &str) -> io::Result<usize> {
    let find = || {
        let mut found = Vec::new();
        for pid in calls(home)?.remove(call).unwrap_or_default() {
            found.extend(tree::descendants(pid)?);
            found.push(pid);
        }
        Ok(found)
    };
    let (ended, is_empty) = tree::kill_until_none(find, || {}, LIMIT)?;
    if !is_empty {
        tracing::warn!(call, "some processes of this call cannot be killed");
    }
    Ok(ended)
}

/// Processes of this state directory by call, our own line of ancestors left out.
fn calls(home: &Path) -> io::Result<BTreeMap<String, Vec<i32>>> {
    let parents = tree::parents()?;
    let mut ours = Vec::new();
    let mut current = rustix::process::getpid().as_raw_nonzero().get();
    while current > 0 && !ours.contains(&current) {
        ours.push(current);
        current = parents.get(&current).copied().unwrap_or(0);
    }
    let state = format!("{STATE_MARK}={}", home.display()).into_bytes();
    let mark = format!("{RUN_MARK}=").into_bytes();
    let mut calls: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for &pid in parents.keys().filter(|pid| !ours.contains(pid)) {
        let variables = tree::variables(pid);
        let Some(call) = variables.iter().find_map(|variable| variable.strip_prefix(mark.as_slice())) else {
            continue;
        };
        if variables.contains(&state) {
            calls.entry(String::from_utf8_lossy(call).into_owned()).or_default().push(pid);
        }
    }
    Ok(calls)
}
