//! Commit messages: `type(scope): subject [protocol-NNNN/XX]` and trailers; what an agent may propose.
//! An agent's words become a subject only when well-formed; they never reach tag or trailers.

use std::fmt::Write as _;

use super::protocol_number;
use crate::plain::{is_plain, one_line};

/// `type(scope): subject`, each part checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSubject {
    kind: String,
    scope: String,
    subject: String,
}

/// Most characters of the free part of a subject.
const SUBJECT_CHARACTERS: usize = 100;

impl CommitSubject {
    /// Reads `type(scope): subject`; `None` unless well-formed: a lower-case type, a plain scope, one
    /// printable line of at most 100 characters without a protocol tag of its own.
    pub fn parse(line: &str) -> Option<Self> {
        let (head, subject) = line.split_once(": ")?;
        let (kind, scope) = head.strip_suffix(')')?.split_once('(')?;
        let subject = subject.trim();
        let is_scope = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
        let holds = (1..=20).contains(&kind.len())
            && kind.bytes().all(|byte| byte.is_ascii_lowercase())
            && (1..=40).contains(&scope.len())
            && scope.bytes().all(is_scope)
            && (1..=SUBJECT_CHARACTERS).contains(&subject.chars().count())
            && subject.chars().all(is_plain)
            && !subject.contains("[protocol-");
        holds.then(|| Self { kind: kind.to_owned(), scope: scope.to_owned(), subject: subject.to_owned() })
    }

    fn ours(kind: &str, subject: &str) -> Self {
        let subject: String = one_line(subject).chars().take(SUBJECT_CHARACTERS).collect();
        Self { kind: kind.to_owned(), scope: "protocol".to_owned(), subject }
    }
}

impl std::fmt::Display for CommitSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({}): {}", self.kind, self.scope, self.subject)
    }
}

/// Subject of the first commit: `feat(protocol): add plan for <name>`.
pub fn plan_subject(protocol_name: &str) -> CommitSubject {
    CommitSubject::ours("feat", &format!("add plan for {protocol_name}"))
}

/// Subject of a step's commit when the agent proposed none: `chore(protocol): <step name>`.
pub fn step_subject(step_name: &str) -> CommitSubject {
    CommitSubject::ours("chore", step_name)
}

/// Subject the agent proposes: the last non-blank line of its answer, `Commit: type(scope): subject`.
pub fn proposed_commit(answer: &str) -> Option<CommitSubject> {
    let line = answer.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let bare = line.trim_matches(|mark: char| matches!(mark, '`' | '*') || mark.is_whitespace());
    CommitSubject::parse(
        bare.strip_prefix("Commit:")?.trim_matches(|mark: char| matches!(mark, '`' | '*' | ' ')),
    )
}

/// Number of a step in commits: the two leading digits of its name, else its index.
pub fn step_number(step_name: &str, index: i64) -> String {
    match step_name.get(..2) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.to_owned(),
        Some(_) | None => format!("{index:02}"),
    }
}

/// Ids and fingerprints below a commit message; an absent one is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trailers {
    /// `TG-Run`: id of the run.
    pub run: Option<String>,
    /// `TG-Step`: id of the step.
    pub step: Option<String>,
    /// `TG-Engine`: engine that did the work.
    pub engine: Option<String>,
    /// `TG-Model`: model that did the work.
    pub model: Option<String>,
    /// `TG-Prompt`: fingerprint of the prompt.
    pub prompt: Option<String>,
    /// `TG-Policy`: fingerprint of the effective policy.
    pub policy: Option<String>,
}

/// The whole message: subject with the protocol tag, then the trailers.
pub fn commit_message(
    subject: &CommitSubject,
    protocol_name: &str,
    step_number: &str,
    trailers: &Trailers,
) -> String {
    let mut message = format!("{subject} [protocol-{}/{step_number}]\n", protocol_number(protocol_name));
    let mut is_first = true;
    for (key, value) in [
        ("TG-Run", &trailers.run),
        ("TG-Step", &trailers.step),
        ("TG-Engine", &trailers.engine),
        ("TG-Model", &trailers.model),
        ("TG-Prompt", &trailers.prompt),
        ("TG-Policy", &trailers.policy),
    ] {
        let Some(value) = value.as_deref().map(one_line).filter(|value| !value.is_empty()) else { continue };
        if is_first {
            message.push('\n');
            is_first = false;
        }
        writeln!(message, "{key}: {value}").expect("writing to a string cannot fail");
    }
    message
}

/// Value of a trailer in the last paragraph of a commit message.
pub fn trailer<'a>(message: &'a str, key: &str) -> Option<&'a str> {
    let lines = message.trim_end().lines().rev().take_while(|line| !line.trim().is_empty());
    lines
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| *found == key)
        .map(|(_, value)| value.trim())
}
