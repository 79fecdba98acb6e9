//! The timeline vocabulary: a closed set of event kinds, their wire words and sentences.
//! An event tells what happened; it never drives anything.

use serde_json::{Map, Value};

use crate::{ids::StepId, job::Job, status::words};

words! {
    /// What happened.
    EventKind {
        /// A project row was made.
        ProjectCreated = "project_created",
        /// A run row was made.
        ProtocolCreated = "protocol_created",
        /// Planning was queued.
        PlanningEnqueued = "planning_enqueued",
        /// placeholder: the full vocabulary of contract section 4 goes here
        Planned = "planned",
    }
}

/// One line of the timeline before it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Step it concerns; `None` = the run.
    pub step: Option<StepId>,
    /// A job whose id belongs into `metadata.job_id`; filled in when the job is queued.
    pub job: Option<Job>,
    /// Further facts; redacted before storage.
    pub metadata: Map<String, Value>,
}

impl Event {
    /// An event about the run.
    pub fn run(kind: EventKind) -> Self {
        Self { kind, step: None, job: None, metadata: Map::new() }
    }

    /// An event about a step.
    pub fn step(kind: EventKind, step: StepId) -> Self {
        Self { kind, step: Some(step), job: None, metadata: Map::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Adds many facts.
    #[must_use]
    pub fn with_all(mut self, facts: Map<String, Value>) -> Self {
        self.metadata.extend(facts);
        self
    }

    /// Names the job whose id the event carries.
    #[must_use]
    pub fn with_job(mut self, job: Job) -> Self {
        self.job = Some(job);
        self
    }

    /// The sentence a person reads.
    pub fn sentence(&self) -> String {
        self.kind.as_str().to_owned()
    }
}
