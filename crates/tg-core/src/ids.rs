//! Newtypes for every identifier, so that a step id can never stand where a run id is meant.
//! Holds no rules about what an id points to.

use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

number_id! {
    /// A repository we look after.
    ProjectId;
    /// One task carried from plan to merge.
    RunId;
    /// One step of a run.
    StepId;
    /// A file that a call produced.
    ArtifactId;
    /// A comment on a run's work.
    CommentId;
    /// Fencing token of a job: grows by one at each claim and never goes down.
    Fence;
}

text_id! {
    /// A unit of queued work (UUIDv7 text).
    JobId;
    /// One attempt of one job or call: a row of the run registry (UUIDv7 text).
    CallId;
}
