//! Comments of people on a diff: what they are, which paths they may name, and the text in which they
//! reach an agent. Whether a commit holds such a file or line is not known here.

use crate::{
    ids::{CommentId, RunId},
    plain, prompt,
    status::words,
};

#[cfg(test)]
mod tests;

words! {
    /// Which side of a diff a line is counted on.
    Side {
        /// As it was before.
        Old = "old",
        /// As it is now.
        New = "new",
    }
}

words! {
    /// Where a comment stands.
    CommentState {
        /// Written; no agent has been given it.
        Open = "open",
        /// In the prompt of a call.
        Sent = "sent",
        /// A person says that it is settled.
        Resolved = "resolved",
        /// Its file changed after the commit it was written about.
        Outdated = "outdated",
    }
}

/// Most bytes of a comment's text.
pub const BODY_CAP: usize = 16 * 1024;

/// Most bytes of one review in a prompt; what does not fit goes with the next one.
pub const REVIEW_CAP: usize = 128 * 1024;

/// Most bytes of a path, as the system has it.
const PATH_CAP: usize = 4096;

/// A comment on a line of a run's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewComment {
    /// Identity.
    pub id: CommentId,
    /// Run whose work it is about.
    pub protocol_run_id: RunId,
    /// File below the worktree.
    pub path: String,
    /// Side of the diff.
    pub side: Side,
    /// Line, from 1.
    pub line: i64,
    /// Commit that was looked at.
    pub sha: String,
    /// What was said.
    pub body: String,
    /// Where it stands.
    pub state: CommentState,
    /// Who said it.
    pub author: Option<String>,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
    /// Milliseconds since the epoch, UTC.
    pub updated_at: i64,
}

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path {path:?} is not allowed: {why}; name a file below the worktree, like `src/main.rs`")]
pub struct FilePathError {
    /// The path, shortened.
    path: String,
    /// The rule it breaks.
    why: &'static str,
}

/// A path of a commit's tree: relative, without `.` and `..`, with nothing that cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(String);

impl FilePath {
    /// Accepts `a`, `a/b` and the like.
    pub fn parse(path: &str) -> Result<Self, FilePathError> {
        let why = if path.is_empty() {
            "it is empty"
        } else if path.len() > PATH_CAP {
            "it is longer than 4096 bytes"
        } else if path.starts_with('/') {
            "it is absolute"
        } else if path.chars().any(char::is_control) {
            "it holds a control character"
        } else if path.split('/').any(str::is_empty) {
            "it holds an empty part"
        } else if path.split('/').any(|part| matches!(part, "." | "..")) {
            "it holds a part `.` or `..`"
        } else {
            return Ok(Self(path.to_owned()));
        };
        Err(FilePathError { path: path.chars().take(120).collect(), why })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is `other` this file, or a file in this folder?
    pub fn covers(&self, other: &[u8]) -> bool {
        let rest = other.strip_prefix(self.0.as_bytes());
        rest.is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b'/'))
    }
}

/// A full commit id: 40 small hex digits.
pub fn is_commit_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Comments as one text for an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Review {
    /// The text; empty = nobody said anything.
    pub text: String,
    /// The comments that are in it.
    pub comments: Vec<ReviewComment>,
}

impl Review {
    /// Puts comments together by path and line. The oldest are taken first while there is room, so that
    /// what is left over is what was said last. Every line of a comment is quoted: it cannot pose as
    /// another comment.
    pub fn of(comments: Vec<ReviewComment>) -> Self {
        let mut taken = Vec::new();
        let mut room = REVIEW_CAP;
        let mut in_order = comments;
        in_order.sort_by_key(|comment| comment.id);
        for comment in in_order {
            let entry = entry(&comment);
            let Some(rest) = room.checked_sub(entry.len() + 1) else { break };
            room = rest;
            taken.push((comment, entry));
        }
        taken.sort_by(|(a, _), (b, _)| (&a.path, a.line, a.id).cmp(&(&b.path, b.line, b.id)));
        let entries: Vec<&str> = taken.iter().map(|(_, entry)| entry.as_str()).collect();
        Self { text: entries.join("\n"), comments: taken.into_iter().map(|(comment, _)| comment).collect() }
    }

    /// Fingerprint of the text; `None` when there is none.
    pub fn version(&self) -> Option<String> {
        (!self.text.is_empty()).then(|| prompt::fingerprint(self.text.as_bytes()))
    }
}

fn entry(comment: &ReviewComment) -> String {
    let author = comment.author.as_deref().map(plain::one_line).unwrap_or_default();
    let by = if author.is_empty() { String::new() } else { format!(", by {author}") };
    let path = plain::one_line(&comment.path);
    let ReviewComment { line, side, sha, .. } = comment;
    let mut text = format!("{path}, line {line} of the {side} side, commit {sha}{by}:\n");
    for line in comment.body.trim_end().lines() {
        text.push_str("> ");
        let shown = |character| if character == '\t' || plain::is_plain(character) { character } else { ' ' };
        text.extend(line.chars().map(shown));
        text.push('\n');
    }
    text
}
