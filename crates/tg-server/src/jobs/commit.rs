//! Commit messages of a run: subject with the protocol tag, trailers that say who made it.
//! The trailer `TG-Job` lets a repeated job find the commit of an earlier attempt.

use tg_core::{
    ids::StepId,
    naming::{CommitSubject, protocol_number},
};

use super::{call::Prompt, engine_choice::Chosen, subject::Subject};
use crate::{git::NewCommit, queue::Lease};

/// Trailer with the id of the job that made a commit.
pub const JOB_TRAILER: &str = "TG-Job";

/// What a commit is about: the trailer that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The plan.
    Plan,
    /// The work of a step.
    Step(StepId),
    /// The QA report of a step.
    Quality(StepId),
}

impl About {
    fn trailer(self) -> (&'static str, String) {
        match self {
            Self::Plan => ("TG-Step", "plan".to_owned()),
            Self::Step(step) => ("TG-Step", step.to_string()),
            Self::Quality(step) => ("TG-Qa", step.to_string()),
        }
    }
}

/// Who did what is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Engine.
    pub engine: String,
    /// Model, when one was named.
    pub model: Option<String>,
    /// Fingerprint of the assembled prompt.
    pub prompt_version: String,
}

impl By {
    /// An engine with a prompt.
    pub fn of(chosen: &Chosen, prompt: &Prompt) -> Self {
        Self {
            engine: chosen.id().to_owned(),
            model: chosen.model.clone(),
            prompt_version: prompt.version.clone(),
        }
    }
}

/// A commit of this job.
pub fn new(
    lease: &Lease,
    subject: &Subject,
    title: &CommitSubject,
    number: &str,
    about: About,
    by: Option<&By>,
) -> NewCommit {
    let mut trailers = vec![("TG-Run", subject.run.id.to_string()), about.trailer()];
    if let Some(by) = by {
        trailers.push(("TG-Engine", by.engine.clone()));
        trailers.extend(by.model.as_deref().map(|model| ("TG-Model", one_line(model))));
        trailers.push(("TG-Prompt", by.prompt_version.clone()));
    }
    trailers.push((JOB_TRAILER, lease.job_id.0.clone()));
    let protocol = protocol_number(&subject.run.protocol_name);
    NewCommit {
        subject: format!("{title} [protocol-{protocol}/{number}]"),
        trailers: trailers.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    }
}

/// A model name comes from outside; it must not begin a trailer of its own.
fn one_line(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(100).collect()
}
