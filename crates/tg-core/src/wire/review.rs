//! Bodies about what a run changed: list of files, state of its branch, comments of people.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp;
use crate::{
    review::{CommentState, ReviewComment, Side},
    status::words,
};

words! {
    /// What happened to a file.
    FileStatus {
        /// It is new.
        Added = "added",
        /// Its content or mode changed.
        Modified = "modified",
        /// It is gone.
        Deleted = "deleted",
        /// It has another path, and perhaps another content.
        Renamed = "renamed",
        /// It was a file and is a link, or the like.
        TypeChanged = "type_changed",
    }
}

/// A file that differs. Bytes of a path that are no UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "path": "src/greeting.rs", "status": "modified", "additions": 12, "deletions": 3, "binary": false
})))]
pub struct ChangedFile {
    /// Path, as it is now; of a deleted file, as it was.
    pub path: String,
    /// Path before a rename.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_path: Option<String>,
    /// What happened to it.
    pub status: FileStatus,
    /// Lines that are new; 0 for a binary file.
    pub additions: u64,
    /// Lines that are gone; 0 for a binary file.
    pub deletions: u64,
    /// Its content is not text.
    pub binary: bool,
}

/// Where the branch of a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "protocol_run_id": 1, "repo_root": "/srv/hello", "worktree_path": "/srv/state/projects/1/worktrees/0001-greeting",
    "branch": "0001-greeting", "head_sha": "3f786850e387550fdab836ed7e6dc881de23001b", "dirty": false,
    "changed_files": [], "changed_files_cut": false, "ahead": 2, "behind": 0, "pushed_sha": null
})))]
pub struct GitStatusOut {
    /// Run.
    pub protocol_run_id: i64,
    /// Where the repository lies on this machine: a person's checkout, else our own copy.
    pub repo_root: String,
    /// Worktree of the run.
    pub worktree_path: String,
    /// Branch of the run.
    pub branch: String,
    /// Its newest commit.
    pub head_sha: String,
    /// The worktree holds something that is not committed.
    pub dirty: bool,
    /// Files that are not committed, at most a thousand of them.
    pub changed_files: Vec<String>,
    /// There are more such files than are listed (addition).
    pub changed_files_cut: bool,
    /// Commits that the base branch, as it was last fetched, does not have.
    pub ahead: u64,
    /// Commits of the base branch, as it was last fetched, that the run does not have.
    pub behind: u64,
    /// Commit that the remote has.
    pub pushed_sha: Option<String>,
}

/// A comment to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "path": "src/greeting.rs", "side": "new", "line": 12, "sha": "3f786850e387550fdab836ed7e6dc881de23001b",
    "body": "Say hello in the reader's language."
})))]
pub struct NewReviewComment {
    /// File below the worktree, without `.` and `..`.
    #[schema(min_length = 1, max_length = 4096)]
    pub path: String,
    /// Side of the diff on which the line is counted.
    pub side: Side,
    /// Line, from 1.
    #[schema(minimum = 1)]
    pub line: i64,
    /// Commit that was looked at.
    #[schema(pattern = "^[0-9a-f]{40}$")]
    pub sha: String,
    /// What is said, at most 16 KiB.
    #[schema(min_length = 1, max_length = 16384)]
    pub body: String,
}

words! {
    /// States that a person may give a comment.
    CommentChoice {
        /// It goes with the next retry.
        Open = "open",
        /// It is settled.
        Resolved = "resolved",
    }
}

impl From<CommentChoice> for CommentState {
    fn from(choice: CommentChoice) -> Self {
        match choice {
            CommentChoice::Open => Self::Open,
            CommentChoice::Resolved => Self::Resolved,
        }
    }
}

/// Changes to a comment; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "state": "resolved" })))]
pub struct ReviewCommentChange {
    /// Open again, or settled.
    #[serde(default, deserialize_with = "super::protocol::stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = CommentChoice)]
    pub state: Option<CommentChoice>,
    /// What is said; only while the comment is open.
    #[serde(default, deserialize_with = "super::protocol::stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, min_length = 1, max_length = 16384)]
    pub body: Option<String>,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "id": 1, "protocol_run_id": 1, "path": "src/greeting.rs", "side": "new", "line": 12,
    "sha": "3f786850e387550fdab836ed7e6dc881de23001b", "body": "Say hello in the reader's language.",
    "state": "open", "author": "admin",
    "created_at": "2026-01-31T08:00:00.000Z", "updated_at": "2026-01-31T08:00:00.000Z"
})))]
pub struct ReviewCommentOut {
    /// Identity.
    pub id: i64,
    /// Run whose work it is about.
    pub protocol_run_id: i64,
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
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

impl From<&ReviewComment> for ReviewCommentOut {
    fn from(comment: &ReviewComment) -> Self {
        Self {
            id: comment.id.0,
            protocol_run_id: comment.protocol_run_id.0,
            path: comment.path.clone(),
            side: comment.side,
            line: comment.line,
            sha: comment.sha.clone(),
            body: comment.body.clone(),
            state: comment.state,
            author: comment.author.clone(),
            created_at: timestamp(comment.created_at),
            updated_at: timestamp(comment.updated_at),
        }
    }
}
