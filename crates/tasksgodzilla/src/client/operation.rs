//! The table of what the client asks for: method, path, query, body and answer of each operation of the
//! API. Tests hold it against the API's own document, so that neither side moves alone.

#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use reqwest::Method;
use tg_core::wire::{
    ActionResponse, ChainCheck, ChangedFile, CodexRunOut, Confirm, EngineOut, EventOut, ExecutionPlanOut,
    FinishRun, GitStatusOut, Job, LogTail, NewProject, NewProtocol, NewReviewComment, NewStep, NewToken,
    NextOffset, Note, ProjectChange, ProjectOut, ProjectTokenOut, ProtocolChange, ProtocolRunOut, QueueStats,
    Reason, ReviewCommentChange, ReviewCommentOut, RunArtifactOut, SecretSet, SecretValue, StartRun,
    StepEdit, StepRunOut, TokenOut,
};

/// One operation: what goes in (`B`, `()` for nothing) and what comes out (`A`).
#[derive(Debug)]
pub struct Operation<B, A> {
    /// Method.
    pub method: Method,
    /// Path with its ids in braces.
    pub path: &'static str,
    /// Names that may stand in the query.
    pub query: &'static [&'static str],
    types: PhantomData<fn(&B) -> A>,
}

/// A body or an answer that is text.
#[derive(Debug, Clone, Copy)]
pub struct Text;

/// An answer that is a stream of events.
#[derive(Debug, Clone, Copy)]
pub struct Events;

/// Form of a body or an answer, with the name of its schema.
#[cfg(test)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Nothing.
    Nothing,
    /// One object.
    One(String),
    /// A list of objects.
    List(String),
    /// Text.
    Text,
    /// A stream.
    Events,
}

/// An operation as data.
#[cfg(test)]
#[derive(Debug, Clone)]
pub struct Described {
    /// Name of the constant.
    pub name: &'static str,
    /// Method.
    pub method: Method,
    /// Path.
    pub path: &'static str,
    /// Names in the query.
    pub query: &'static [&'static str],
    /// Body.
    pub body: Form,
    /// Answer.
    pub answer: Form,
}

macro_rules! operations {
    (@type none) => { () };
    (@type one($type:ty)) => { $type };
    (@type list($type:ty)) => { Vec<$type> };
    (@type text) => { Text };
    (@type events) => { Events };
    (@form none) => { Form::Nothing };
    (@form one($type:ty)) => { Form::One(<$type as utoipa::ToSchema>::name().into_owned()) };
    (@form list($type:ty)) => { Form::List(<$type as utoipa::ToSchema>::name().into_owned()) };
    (@form text) => { Form::Text };
    (@form events) => { Form::Events };
    ($(
        $(#[$doc:meta])*
        $name:ident: $method:ident $path:literal [$($query:literal),*]
            $body:ident $(($body_type:ty))? => $answer:ident $(($answer_type:ty))?;
    )*) => {
        $(
            $(#[$doc])*
            pub static $name: Operation<
                operations!(@type $body $(($body_type))?),
                operations!(@type $answer $(($answer_type))?),
            > = Operation {
                method: Method::$method,
                path: $path,
                query: &[$($query),*],
                types: PhantomData,
            };
        )*

        /// Every operation of the table.
        #[cfg(test)]
        pub fn described() -> Vec<Described> {
            vec![$(Described {
                name: stringify!($name),
                method: Method::$method,
                path: $path,
                query: &[$($query),*],
                body: operations!(@form $body $(($body_type))?),
                answer: operations!(@form $answer $(($answer_type))?),
            }),*]
        }
    };
}

operations! {
    /// Lists projects.
    PROJECTS: GET "/projects" ["limit", "cursor", "archived"] none => list(ProjectOut);
    /// Creates a project.
    CREATE_PROJECT: POST "/projects" [] one(NewProject) => one(ProjectOut);
    /// Reads a project.
    PROJECT: GET "/projects/{id}" [] none => one(ProjectOut);
    /// Changes a project.
    UPDATE_PROJECT: PATCH "/projects/{id}" [] one(ProjectChange) => one(ProjectOut);
    /// Archives a project.
    DELETE_PROJECT: DELETE "/projects/{id}" [] one(Confirm) => none;
    /// Stores a secret.
    SET_SECRET: PUT "/projects/{id}/secrets/{key}" [] one(SecretValue) => one(SecretSet);
    /// Removes a secret.
    REMOVE_SECRET: DELETE "/projects/{id}/secrets/{key}" [] none => none;
    /// Makes a new token for a project.
    PROJECT_TOKEN: POST "/projects/{id}/token" [] none => one(ProjectTokenOut);

    /// Lists runs of a project.
    PROTOCOLS: GET "/projects/{id}/protocols" ["limit", "cursor", "status"] none => list(ProtocolRunOut);
    /// Creates a run.
    CREATE_PROTOCOL: POST "/projects/{id}/protocols" [] one(NewProtocol) => one(ProtocolRunOut);
    /// Reads a run.
    PROTOCOL: GET "/protocols/{id}" [] none => one(ProtocolRunOut);
    /// Changes a run.
    UPDATE_PROTOCOL: PATCH "/protocols/{id}" [] one(ProtocolChange) => one(ProtocolRunOut);
    /// Archives a run.
    DELETE_PROTOCOL: DELETE "/protocols/{id}" [] one(Confirm) => none;
    /// Queues planning.
    START: POST "/protocols/{id}/actions/start" [] none => one(ActionResponse);
    /// Pauses a run.
    PAUSE: POST "/protocols/{id}/actions/pause" [] one(Reason) => one(ProtocolRunOut);
    /// Resumes a run.
    RESUME: POST "/protocols/{id}/actions/resume" [] one(Reason) => one(ProtocolRunOut);
    /// Cancels a run.
    CANCEL: POST "/protocols/{id}/actions/cancel" [] one(Reason) => one(ProtocolRunOut);
    /// Queues the next step.
    RUN_NEXT: POST "/protocols/{id}/actions/run_next_step" [] none => one(ActionResponse);
    /// Queues the latest failed step again.
    RETRY_LATEST: POST "/protocols/{id}/actions/retry_latest" [] none => one(ActionResponse);
    /// Queues opening the pull request.
    OPEN_PR: POST "/protocols/{id}/actions/open_pr" [] none => one(ActionResponse);
    /// Lists events of a run.
    PROTOCOL_EVENTS: GET "/protocols/{id}/events" ["limit", "cursor"] none => list(EventOut);
    /// Lists calls of a run.
    PROTOCOL_RUNS: GET "/protocols/{id}/runs" ["limit", "cursor", "run_kind", "status"] none => list(CodexRunOut);
    /// Lists artifacts of a run.
    PROTOCOL_ARTIFACTS: GET "/protocols/{id}/artifacts" ["limit", "cursor", "kind", "step_run_id"] none => list(RunArtifactOut);
    /// Reads where the branch of a run stands.
    GIT_STATUS: GET "/protocols/{id}/git/status" [] none => one(GitStatusOut);
    /// Reads the diff of a run.
    PROTOCOL_DIFF: GET "/protocols/{id}/diff" ["path", "context"] none => text;
    /// Reads which files a run changed.
    PROTOCOL_CHANGES: GET "/protocols/{id}/diff" ["path", "stat"] none => list(ChangedFile);

    /// Lists steps of a run.
    STEPS: GET "/protocols/{id}/steps" [] none => list(StepRunOut);
    /// Adds a step.
    CREATE_STEP: POST "/protocols/{id}/steps" [] one(NewStep) => one(StepRunOut);
    /// Reads a step.
    STEP: GET "/steps/{id}" [] none => one(StepRunOut);
    /// Changes a step.
    UPDATE_STEP: PATCH "/steps/{id}" [] one(StepEdit) => one(StepRunOut);
    /// Reads what an execution of a step would do.
    STEP_PLAN: GET "/steps/{id}/execution_plan" [] none => one(ExecutionPlanOut);
    /// Queues execution of a step.
    RUN_STEP: POST "/steps/{id}/actions/run" [] none => one(ActionResponse);
    /// Queues QA of a step.
    RUN_QA: POST "/steps/{id}/actions/run_qa" [] none => one(ActionResponse);
    /// Completes a step by hand.
    APPROVE: POST "/steps/{id}/actions/approve" [] one(Note) => one(StepRunOut);
    /// Lists calls of a step.
    STEP_RUNS: GET "/steps/{id}/runs" ["limit", "cursor", "run_kind"] none => list(CodexRunOut);
    /// Lists artifacts of a step.
    STEP_ARTIFACTS: GET "/steps/{id}/artifacts" ["limit", "cursor", "kind"] none => list(RunArtifactOut);
    /// Lists events of a step.
    STEP_EVENTS: GET "/steps/{id}/events" ["limit", "cursor"] none => list(EventOut);
    /// Reads the diff of a step.
    STEP_DIFF: GET "/steps/{id}/diff" ["path", "context"] none => text;
    /// Reads which files a step changed.
    STEP_CHANGES: GET "/steps/{id}/diff" ["path", "stat"] none => list(ChangedFile);

    /// Lists review comments of a run.
    REVIEW_COMMENTS: GET "/protocols/{id}/review_comments" ["limit", "cursor"] none => list(ReviewCommentOut);
    /// Makes a review comment.
    CREATE_REVIEW_COMMENT: POST "/protocols/{id}/review_comments" [] one(NewReviewComment) => one(ReviewCommentOut);
    /// Changes a review comment.
    UPDATE_REVIEW_COMMENT: PATCH "/review_comments/{id}" [] one(ReviewCommentChange) => one(ReviewCommentOut);
    /// Removes a review comment.
    DELETE_REVIEW_COMMENT: DELETE "/review_comments/{id}" [] none => none;

    /// Lists calls.
    RUNS: GET "/runs" ["limit", "cursor", "job_type", "status", "project_id", "protocol_run_id", "step_run_id", "run_kind"] none => list(CodexRunOut);
    /// Registers a run that works outside.
    START_RUN: POST "/runs/start" [] one(StartRun) => one(CodexRunOut);
    /// Reads a call.
    RUN: GET "/runs/{run_id}" [] none => one(CodexRunOut);
    /// Appends to the log of an outside run.
    APPEND_LOG: POST "/runs/{run_id}/logs" [] text => one(NextOffset);
    /// Ends an outside run.
    FINISH_RUN: POST "/runs/{run_id}/finish" [] one(FinishRun) => one(CodexRunOut);
    /// Cancels a call.
    CANCEL_RUN: POST "/runs/{run_id}/cancel" [] none => one(CodexRunOut);
    /// Reads a log.
    LOG: GET "/runs/{run_id}/logs" [] none => text;
    /// Reads a piece of a log.
    LOG_TAIL: GET "/runs/{run_id}/logs/tail" ["offset", "max_bytes"] none => one(LogTail);
    /// Follows a log.
    LOG_STREAM: GET "/runs/{run_id}/logs/stream" ["offset", "poll_interval_ms"] none => events;
    /// Lists artifacts of a call.
    RUN_ARTIFACTS: GET "/runs/{run_id}/artifacts" ["limit", "cursor", "kind"] none => list(RunArtifactOut);
    /// Reads an artifact.
    ARTIFACT: GET "/runs/{run_id}/artifacts/{artifact_id}/content" ["download"] none => text;

    /// Lists events.
    EVENTS: GET "/events" ["limit", "cursor", "project_id", "protocol_run_id", "step_run_id", "event_type", "kind"] none => list(EventOut);
    /// Follows events.
    EVENT_STREAM: GET "/events/stream" ["after", "project_id", "protocol_run_id", "step_run_id", "event_type", "kind"] none => events;

    /// Checks the chain of events.
    VERIFY: GET "/events/verify" ["project_id"] none => one(ChainCheck);

    /// Lists engines.
    ENGINES: GET "/engines" [] none => list(EngineOut);

    /// Counts jobs.
    QUEUES: GET "/queues" [] none => one(QueueStats);
    /// Lists jobs.
    JOBS: GET "/queues/jobs" ["limit", "cursor", "status", "job_type"] none => list(Job);
    /// Reads a job.
    JOB: GET "/queues/jobs/{job_id}" [] none => one(Job);
    /// Cancels a job.
    CANCEL_JOB: POST "/queues/jobs/{job_id}/cancel" [] none => one(Job);
    /// Does a failed job again.
    RETRY_JOB: POST "/queues/jobs/{job_id}/retry" [] none => one(Job);

    /// Lists tokens.
    TOKENS: GET "/tokens" ["limit", "cursor"] none => list(TokenOut);
    /// Makes a token.
    CREATE_TOKEN: POST "/tokens" [] one(NewToken) => one(TokenOut);
    /// Reads a token, without itself.
    TOKEN: GET "/tokens/{id}" [] none => one(TokenOut);
    /// Replaces a token.
    ROTATE_TOKEN: POST "/tokens/{id}/rotate" [] none => one(TokenOut);
    /// Revokes a token.
    REVOKE_TOKEN: DELETE "/tokens/{id}" [] none => none;
}
