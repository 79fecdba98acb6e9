//! A change over HTTP: one transaction that holds the change, its events and the answer kept for its
//! `Idempotency-Key`, so that a repeated request meets the whole outcome or none of it.

use serde::Serialize;
use tg_core::{
    event::Event,
    ids::{ProjectId, RunId},
    lifecycle::{Decision, Signal},
};

use super::{Door, answer, answer::Answer, caller::Caller, error::ApiError};
use crate::{
    db::Tx,
    flow::{self, Cause},
    store::{
        StoreError,
        event::{self, Context},
        idempotency::{self, Kept, Subject},
    },
};

/// A change under way. Dropped, it leaves nothing.
pub struct Write<'a> {
    door: &'a Door,
    caller: &'a Caller,
    tx: Tx,
}

impl Door {
    /// Begins a change. A request whose key was answered before ends here with that answer.
    pub async fn write<'a>(&'a self, caller: &'a Caller) -> Result<Write<'a>, ApiError> {
        caller.called().began.get_or_init(|| self.app.db.failures());
        let mut tx = self.app.db.begin_together().await?;
        if let Some(subject) = subject(caller) {
            let claimed = idempotency::claim(&mut tx, &subject, self.app.clock.now()).await;
            match claimed.map_err(in_progress)? {
                None => {}
                Some(Kept { body_sha256, .. }) if body_sha256 != subject.body_sha256 => {
                    return Err(ApiError::KeyReused);
                }
                Some(kept) => {
                    return Err(ApiError::Replayed(Box::new(Answer {
                        status: kept.status,
                        location: kept.location,
                        body: kept.body,
                        is_replayed: true,
                    })));
                }
            }
        }
        Ok(Write { door: self, caller, tx })
    }
}

/// The first request with a key holds its row until it commits; whoever waits too long for it is told.
fn in_progress(error: StoreError) -> ApiError {
    match &error {
        StoreError::Db(cause) if cause.is_lock_timeout() => ApiError::KeyInProgress,
        StoreError::Db(_)
        | StoreError::NotFound { .. }
        | StoreError::Conflict(_)
        | StoreError::Archived(_)
        | StoreError::RunArchived(_)
        | StoreError::FencedOut(_)
        | StoreError::Corrupt { .. } => error.into(),
    }
}

fn subject(caller: &Caller) -> Option<Subject<'_>> {
    let called = caller.called();
    called.key.as_ref().map(|key| Subject {
        principal: &called.principal.name,
        method: called.method.as_str(),
        path: &called.path,
        key: &key.key,
        body_sha256: &key.body_sha256,
    })
}

impl Write<'_> {
    /// The transaction of the change.
    pub const fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Time of the change, milliseconds since the epoch, UTC.
    pub fn now(&self) -> i64 {
        self.door.app.clock.now()
    }

    /// Appends an event that the caller caused.
    pub fn event(&mut self, project: Option<ProjectId>, run: Option<RunId>, event: &Event) {
        let context = Context {
            project,
            run,
            actor: Some(self.caller.actor().to_owned()),
            request_id: Some(self.caller.request_id().to_owned()),
            job_id: None,
        };
        let now = self.now();
        event::append(&mut self.tx, &context, event, now);
    }

    /// Sends a signal for a run on behalf of the caller.
    pub async fn advance(&mut self, run: RunId, signal: Signal) -> Result<Vec<Decision>, ApiError> {
        let cause = Cause {
            actor: Some(self.caller.actor()),
            request_id: Some(self.caller.request_id()),
            lease: None,
        };
        Ok(flow::advance(&self.door.app, &mut self.tx, run, signal, &cause).await?)
    }

    /// 201: the object was made and lies there.
    pub async fn created<T: Serialize>(self, location: &str, body: &T) -> Result<Answer, ApiError> {
        self.end(201, Some(location.to_owned()), Some(text(body))).await
    }

    /// 200 with this object.
    pub async fn done<T: Serialize>(self, body: &T) -> Result<Answer, ApiError> {
        self.end(200, None, Some(text(body))).await
    }

    /// 204.
    pub async fn gone(self) -> Result<Answer, ApiError> {
        self.end(204, None, None).await
    }

    /// As `created`, where the object holds a secret: `kept` is what a repeated request is answered with.
    pub async fn created_secret<T: Serialize>(
        self,
        location: &str,
        shown: &T,
        kept: &T,
    ) -> Result<Answer, ApiError> {
        self.end_apart(201, Some(location.to_owned()), Some(text(shown)), Some(text(kept))).await
    }

    /// As `done`, where the object holds a secret: `kept` is what a repeated request is answered with.
    pub async fn done_secret<T: Serialize>(self, shown: &T, kept: &T) -> Result<Answer, ApiError> {
        self.end_apart(200, None, Some(text(shown)), Some(text(kept))).await
    }

    async fn end(
        self,
        status: u16,
        location: Option<String>,
        body: Option<String>,
    ) -> Result<Answer, ApiError> {
        let kept = body.clone();
        self.end_apart(status, location, body, kept).await
    }

    async fn end_apart(
        mut self,
        status: u16,
        location: Option<String>,
        body: Option<String>,
        kept: Option<String>,
    ) -> Result<Answer, ApiError> {
        let answer = Answer { status, location, body, is_replayed: false };
        if let Some(subject) = subject(self.caller) {
            let location = answer.location.as_deref();
            idempotency::keep(&mut self.tx, &subject, status, location, kept.as_deref()).await?;
        }
        self.tx.commit().await?;
        self.door.app.wake.notify();
        Ok(answer)
    }
}

fn text<T: Serialize>(body: &T) -> String {
    String::from_utf8(answer::json(body)).expect("JSON is UTF-8")
}
