//! Names and addresses as types: protocol names and numbers, branches, remote URLs, commit messages.
//! Checks texts only; whether a name is taken or a remote answers is not known here.

use crate::ids::ProjectId;

mod commit;
mod host;
mod remote;
#[cfg(test)]
mod tests;

pub use commit::{
    CommitSubject, Trailers, commit_message, plan_subject, proposed_commit, step_number, step_subject,
    trailer,
};
pub use host::is_private_address;
pub use remote::{LocalRemotes, RemoteUrl, RemoteUrlError, Transport};

/// Why a name is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Breaks the form of protocol names.
    #[error(
        "protocol name {name:?} is not allowed: {why}; use 1 to 100 letters, digits, `.`, `_` or `-`, \
         starting with a letter or digit"
    )]
    Protocol {
        /// The name, shortened.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Breaks the form of step names.
    #[error(
        "step name {name:?} is not allowed: {why}; use 1 to 100 letters, digits, `.`, `_` or `-`, starting \
         with a letter or digit, like `01-implement.md`"
    )]
    Step {
        /// The name, shortened.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Breaks the rules of git for branch names, or ours.
    #[error("branch name {name:?} is not allowed: {why}; use a plain name like `main` or `team/topic`")]
    Branch {
        /// The name, shortened.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// Not fit to be the name of a project.
    #[error("project name {name:?} is not allowed: {why}; use 1 to 100 printable characters")]
    Project {
        /// The name, shortened.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// All four-digit numbers are taken.
    #[error(
        "protocol numbers go up to 9999 and that one is taken; remove old protocols or give a name by hand"
    )]
    Exhausted,
    /// A branch pattern of the policy gives no legal name.
    #[error(
        "branch pattern {pattern:?} cannot give a legal name: {why}; use `<number>` and `<task>` with \
         letters, digits, `.`, `_` and `-`"
    )]
    Pattern {
        /// The pattern, shortened.
        pattern: String,
        /// The rule its result breaks.
        why: &'static str,
    },
}

/// Longest part of a refused text that is repeated in an error, in characters.
const SHOWN: usize = 120;

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// The shown name of a project without blanks around it: 1 to 100 characters, none of which controls a
/// terminal or the direction of text.
pub fn project_name(text: &str) -> Result<String, NameError> {
    let name = text.trim();
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let why = if name.is_empty() {
        "it is empty"
    } else if name.chars().count() > 100 {
        "it is longer than 100 characters"
    } else if name.chars().any(|c| c.is_control() || turns(c)) {
        "it holds characters that cannot be seen"
    } else {
        return Ok(name.to_owned());
    };
    Err(NameError::Project { name: shown(name), why })
}

/// Name of a protocol run: its branch and directory have the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolName(String);

impl ProtocolName {
    /// Accepts `^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$` without `..`, not ending `.lock` or `.`, not `HEAD`.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        match protocol_rule(name) {
            None => Ok(Self(name.to_owned())),
            Some(why) => Err(NameError::Protocol { name: shown(name), why }),
        }
    }

    /// `NNNN-slug` from a number and the slug of a task.
    pub fn numbered(number: u16, task: &str) -> Result<Self, NameError> {
        if number > 9999 {
            return Err(NameError::Exhausted);
        }
        Self::parse(&format!("{number:04}-{}", slug(task)))
    }

    /// Name shaped by the policy's `defaults.git.branch_pattern` (`<number>`, `<task>`).
    pub fn shaped(pattern: &str, number: u16, task: &str) -> Result<Self, NameError> {
        if number > 9999 {
            return Err(NameError::Exhausted);
        }
        let name = pattern.replace("<number>", &format!("{number:04}")).replace("<task>", &slug(task));
        match protocol_rule(&name) {
            None => Ok(Self(name)),
            Some(why) => Err(NameError::Pattern { pattern: shown(pattern), why }),
        }
    }

    /// Name of the `attempt`-th set-up run of a project, from 1.
    pub fn setup(project: ProjectId, attempt: u32) -> Self {
        if attempt <= 1 {
            Self(format!("setup-{project}"))
        } else {
            Self(format!("setup-{project}-{attempt}"))
        }
    }

    /// A set-up run of this project may have this name.
    pub fn is_of_setup(&self, project: ProjectId) -> bool {
        let rest = self.0.strip_prefix(Self::setup(project, 1).as_str());
        rest.is_some_and(|rest| {
            let attempt = rest.strip_prefix('-').unwrap_or_default();
            rest.is_empty() || (!attempt.is_empty() && attempt.bytes().all(|byte| byte.is_ascii_digit()))
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Number shown in prompts and commits: the text before the first `-`.
    pub fn number(&self) -> &str {
        protocol_number(&self.0)
    }

    /// Branch of the same name.
    pub fn branch(&self) -> BranchName {
        BranchName(self.0.clone())
    }
}

impl std::fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn protocol_rule(name: &str) -> Option<&'static str> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > 100 {
        Some("it is longer than 100 characters")
    } else if !name.as_bytes()[0].is_ascii_alphanumeric() {
        Some("it does not start with a letter or digit")
    } else if !name.bytes().all(is_inner) {
        Some("it holds a character outside A-Z a-z 0-9 . _ -")
    } else if name.contains("..") {
        Some("it contains `..`")
    } else if name.ends_with('.') {
        Some("it ends with `.`")
    } else if ends_with_lock(name) {
        Some("it ends with `.lock`")
    } else if name.eq_ignore_ascii_case("head") {
        Some("git keeps HEAD for itself")
    } else {
        None
    }
}

/// Name of a step: its file, its output and its report are called after it, so the rules are those of
/// protocol names.
pub fn step_name(name: &str) -> Result<(), NameError> {
    match protocol_rule(name) {
        None => Ok(()),
        Some(why) => Err(NameError::Step { name: shown(name), why }),
    }
}

/// Any case, because some file systems do not tell them apart.
fn ends_with_lock(name: &str) -> bool {
    name.len() >= 5 && name.as_bytes()[name.len() - 5..].eq_ignore_ascii_case(b".lock")
}

/// Text before the first `-`: the number of a protocol in prompts and commits.
pub fn protocol_number(name: &str) -> &str {
    name.split_once('-').map_or(name, |(number, _)| number)
}

/// Number of a name of the form `^\d{4}-[a-z0-9][a-z0-9-]{0,80}$`.
pub fn number_of(name: &str) -> Option<u16> {
    let (number, task) = name.split_once('-')?;
    let is_task = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let legal = number.len() == 4
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && (1..=81).contains(&task.len())
        && !task.starts_with('-')
        && task.bytes().all(is_task);
    if legal { number.parse().ok() } else { None }
}

/// 1 + the highest number among the names that are taken (database, `.protocols/`, worktrees,
/// branches; full refs and remote-tracking refs of `origin` are understood), from 1 to 9999.
pub fn next_number<'a>(taken: impl IntoIterator<Item = &'a str>) -> Result<u16, NameError> {
    let short = |name: &'a str| {
        ["refs/heads/", "refs/remotes/origin/", "origin/"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name)
    };
    let highest = taken.into_iter().filter_map(|name| number_of(short(name))).max().unwrap_or(0);
    if highest >= 9999 { Err(NameError::Exhausted) } else { Ok(highest + 1) }
}

/// Most characters of a slug.
const SLUG_CHARACTERS: usize = 81;

/// Slug of a task: lower case, runs of anything but `a-z0-9` become one `-`, at most 81 characters.
pub fn slug(task: &str) -> String {
    let mut slug = String::new();
    for character in task.trim().to_lowercase().chars() {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            slug.push(character);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let mut slug = slug.trim_matches('-').to_owned();
    slug.truncate(SLUG_CHARACTERS);
    if slug.is_empty() { "task".to_owned() } else { slug }
}

/// A branch name that git accepts and that cannot be taken for an option or another kind of ref.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchName(String);

impl BranchName {
    /// Accepts a short branch name (`main`, `team/topic`) by git's rules for ref names; never
    /// `HEAD`, an option, or a full ref.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        match branch_rule(name) {
            None => Ok(Self(name.to_owned())),
            Some(why) => Err(NameError::Branch { name: shown(name), why }),
        }
    }

    /// Short name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `refs/heads/<name>`: the only form in which git is told of a branch.
    pub fn full_ref(&self) -> String {
        format!("refs/heads/{}", self.0)
    }

    /// `refs/remotes/<remote>/<name>`.
    pub fn tracking_ref(&self, remote: &str) -> String {
        format!("refs/remotes/{remote}/{}", self.0)
    }
}

impl std::fmt::Display for BranchName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn branch_rule(name: &str) -> Option<&'static str> {
    let is_refused = |character: char| {
        character.is_ascii_control()
            || character.is_whitespace()
            || matches!(character, '~' | '^' | ':' | '?' | '*' | '[' | '\\')
    };
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > 200 {
        Some("it is longer than 200 bytes")
    } else if name.starts_with('-') {
        Some("it starts with `-`")
    } else if name.chars().any(is_refused) {
        Some("it holds a space, a control character or one of ~ ^ : ? * [ \\")
    } else if name.contains("..") || name.contains("@{") || name == "@" {
        Some("it contains `..` or `@{`, or is `@`")
    } else if name.ends_with('.') {
        Some("it ends with `.`")
    } else if name.split('/').any(|part| part.is_empty() || part.starts_with('.') || ends_with_lock(part)) {
        Some("a part of it is empty, starts with `.` or ends with `.lock`")
    } else if name.starts_with("refs/") || name.eq_ignore_ascii_case("head") {
        Some("it is HEAD or a full ref")
    } else {
        None
    }
}
