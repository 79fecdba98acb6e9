//! Turns what git printed into a sentence with cause and remedy. Runs nothing.

use tg_core::naming::{RemoteUrl, Transport};

use super::GitError;
use crate::process::Output;

/// Most characters of output that are shown.
const TAIL: usize = 1000;

/// A call that ended with another status than 0.
pub(super) fn failed(command: &'static str, output: &Output) -> GitError {
    let mut tail = tail(&output.stderr);
    if tail.is_empty() {
        tail = match output.status {
            Some(status) => format!("status {status} without a message"),
            None => "it was ended by a signal".to_owned(),
        };
    }
    GitError::Failed { command, tail }
}

/// A call to a remote that failed.
pub(super) fn remote(url: &RemoteUrl, output: &Output) -> GitError {
    let text = String::from_utf8_lossy(&output.stderr);
    let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    let (cause, remedy) = if has(&[
        "could not read Username",
        "could not read Password",
        "Authentication failed",
        "Permission denied (publickey",
        "Permission denied, please try again",
        "returned error: 401",
        "returned error: 403",
    ]) {
        ("does not let us in", "check that your key or token is loaded and may use this repository")
    } else if has(&[
        "returned error: 301",
        "returned error: 302",
        "returned error: 307",
        "returned error: 308",
    ]) {
        ("has moved", "give the address it has now: where it points to is not followed")
    } else if has(&["Host key verification failed"]) {
        ("shows a host key that is not known", "connect to it once by hand and accept its key")
    } else if has(&["dubious ownership"]) {
        ("belongs to another user", "give it to the user that runs tasksgodzilla, or use a remote address")
    } else if has(&["does not appear to be a git repository", "not found", "does not exist"]) {
        ("is not there any more", "check the address of the repository")
    } else if has(&[
        "Could not resolve host",
        "Connection refused",
        "Connection timed out",
        "Network is unreachable",
        "unable to access",
        "Connection closed",
    ]) {
        ("cannot be reached", "check the network and the address, then try again")
    } else {
        ("failed", "see what git says")
    };
    let kind = match url.transport() {
        Transport::File => "the repository",
        Transport::Https | Transport::Ssh => "the remote",
    };
    GitError::Remote(format!("{kind} {url} {cause}; {remedy}. git: {}", tail(&output.stderr)))
}

/// Last part of an output: printable characters on one line, credentials in addresses hidden.
pub(super) fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>())
        .map(|line| without_credentials(line.trim()))
        .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
        .collect();
    let joined = lines.join(" / ");
    let skip = joined.chars().count().saturating_sub(TAIL);
    joined.chars().skip(skip).collect()
}

fn without_credentials(line: &str) -> String {
    let mut shown = String::new();
    for (index, word) in line.split(' ').enumerate() {
        if index > 0 {
            shown.push(' ');
        }
        match word.split_once("://").and_then(|(scheme, rest)| {
            let authority = rest.split('/').next().unwrap_or_default();
            let (_, host) = authority.rsplit_once('@')?;
            Some((scheme, host, &rest[authority.len()..]))
        }) {
            Some((scheme, host, path)) => {
                shown.push_str(scheme);
                shown.push_str("://***@");
                shown.push_str(host);
                shown.push_str(path);
            }
            None => shown.push_str(word),
        }
    }
    shown
}
