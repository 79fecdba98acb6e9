//! Works a run here and now: a worker in this process, live progress on standard error, Ctrl-C once to
//! pause and twice to cancel. Decides nothing: it sends signals and shows what follows.

mod line;
mod next;

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use tg_core::{
    ids::{RunId, StepId},
    job::{Job, JobStatus},
    lifecycle::Signal,
    protocol::{CallStatus, ProtocolRun, StepRun},
    scope::Scope,
    status::ProtocolStatus,
    wire::ProtocolRunOut,
};
use tg_server::{app::App, queue, store, worker};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::line::StatusLine;
pub use self::next::next_action;
use super::{CliError, ErrorKind, local};
use crate::output::Output;

/// Longest time between two looks at the run; a finished job wakes us earlier.
const BEAT: Duration = Duration::from_millis(200);

/// Events shown per look, at most; more are shown at the next one.
const EVENTS_AT_ONCE: i64 = 200;

/// Jobs looked at to see whether one of them is ours.
const JOBS_AT_ONCE: i64 = 500;

/// A run as it was left.
#[derive(Debug)]
pub struct Left {
    /// The run.
    pub run: ProtocolRun,
    /// Its steps.
    pub steps: Vec<StepRun>,
    /// Somebody pressed Ctrl-C.
    pub interrupted: bool,
    /// Newest event that was shown.
    pub seen: i64,
}

/// Everything seen in one look.
struct Look {
    run: ProtocolRun,
    steps: Vec<StepRun>,
    /// Jobs of the run that are queued or wait for their time.
    waiting: bool,
    /// Jobs of the run that somebody works on.
    started: bool,
    /// The call at work.
    call: Option<store::call::Call>,
}

/// Sequence number of the newest event of a run; 0 without one.
pub async fn newest_event(app: &App, run: RunId) -> Result<i64, CliError> {
    let filter = store::event::Filter { run: Some(run), ..store::event::Filter::default() };
    let mut tx = app.db.read().await?;
    let newest = store::event::list(&mut tx, &Scope::All, &filter, 1).await?;
    Ok(newest.first().map_or(0, |event| event.seq))
}

/// Works on the run until it rests, shows its events after `seen`, and says where it rests.
pub async fn work(app: &App, run: RunId, seen: i64, output: &Output) -> Result<Left, CliError> {
    let stop = CancellationToken::new();
    let worker = tokio::spawn(worker::run(app.clone(), stop.clone()));
    let left = Follower::new(app, run, seen, output).until_rest(&worker).await;
    output.status(None);
    stop.cancel();
    match worker.await {
        Ok(ended) => ended?,
        Err(error) => return Err(CliError::internal(format!("the worker ended: {error}"))),
    }
    left
}

struct Follower<'a> {
    app: &'a App,
    run: RunId,
    output: &'a Output,
    began: Instant,
    last_event: i64,
    interrupts: u32,
    line: StatusLine,
}

impl<'a> Follower<'a> {
    fn new(app: &'a App, run: RunId, last_event: i64, output: &'a Output) -> Self {
        let line = StatusLine::new(app.config.home.clone());
        Self { app, run, output, began: Instant::now(), last_event, interrupts: 0, line }
    }

    async fn until_rest(
        mut self,
        worker: &JoinHandle<Result<(), store::StoreError>>,
    ) -> Result<Left, CliError> {
        let listen = |kind| {
            signal(kind).map_err(|error| CliError::internal(format!("cannot listen for signals: {error}")))
        };
        let (mut interrupt, mut terminate) =
            (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        loop {
            let mut woken = pin!(self.app.wake.listen());
            woken.as_mut().enable();
            let look = self.look().await?;
            self.show_events().await?;
            if look.rests() {
                let interrupted = self.interrupts > 0;
                let seen = self.last_event;
                return Ok(Left { run: look.run, steps: look.steps, interrupted, seen });
            }
            if worker.is_finished() {
                return Err(CliError::internal("the worker ended before the run did"));
            }
            let text = self.line.text(&look.run, &look.steps, look.call.as_ref(), self.began.elapsed());
            self.output.status(Some(&text));
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(BEAT) => {}
                _ = interrupt.recv() => self.interrupted(&look).await?,
                _ = terminate.recv() => {
                    let seen = self.last_event;
                    return Ok(Left { run: look.run, steps: look.steps, interrupted: true, seen });
                }
            }
        }
    }

    /// Once: pause. Again: cancel.
    async fn interrupted(&mut self, look: &Look) -> Result<(), CliError> {
        self.interrupts += 1;
        let reason = Some("Ctrl-C".to_owned());
        let paused = look.run.status == ProtocolStatus::Paused;
        if self.interrupts == 1 && !paused {
            match local::advance(self.app, self.run, Signal::Pause { reason }).await {
                Ok(()) => self.output.note(
                    "pausing: the job at work ends first, nothing new begins; Ctrl-C again cancels the run",
                ),
                // Not pausable (planning, say): the second Ctrl-C still cancels.
                Err(error) => self.output.note(&format!("{}; Ctrl-C again cancels the run", error.error)),
            }
        } else {
            self.output.note("cancelling the run");
            match local::advance(self.app, self.run, Signal::Cancel { reason }).await {
                Ok(()) => {}
                Err(error) if error.kind == ErrorKind::Failed => self.output.note(&error.error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn look(&self) -> Result<Look, CliError> {
        let mut tx = self.app.db.read().await?;
        let run = store::protocol::load(&mut tx, &Scope::All, self.run).await?;
        let steps = store::step::list(&mut tx, &Scope::All, self.run).await?;
        let mut has = [false; 2];
        // Each look asks the clock anew: a job that falls due between the two is seen by the second one,
        // while in the other order neither would see it.
        for (found, statuses) in
            has.iter_mut().zip([&[JobStatus::Scheduled, JobStatus::Queued][..], &[JobStatus::Started]])
        {
            for status in statuses {
                let jobs = queue::list(&mut tx, Some(*status), JOBS_AT_ONCE).await?;
                *found = *found || jobs.iter().any(|row| belongs(&row.job, self.run, &steps));
            }
        }
        let filter = store::call::Filter { run: Some(self.run), ..store::call::Filter::default() };
        let call = store::call::list(&mut tx, &Scope::All, &filter, 1).await?.pop();
        let call = call.filter(|call| call.status == CallStatus::Running);
        Ok(Look { run, steps, waiting: has[0], started: has[1], call })
    }

    async fn show_events(&mut self) -> Result<(), CliError> {
        let filter = store::event::Filter {
            run: Some(self.run),
            after: Some(self.last_event),
            ..store::event::Filter::default()
        };
        let mut tx = self.app.db.read().await?;
        let events = store::event::list(&mut tx, &Scope::All, &filter, EVENTS_AT_ONCE).await?;
        for event in events.iter().rev() {
            self.last_event = self.last_event.max(event.seq);
            let elapsed = line::elapsed(self.began.elapsed());
            self.output.note(&format!("{elapsed:>6}  {:<24}  {}", event.event_type, event.message));
        }
        Ok(())
    }
}

impl Look {
    /// Nothing more happens by itself. A job at work is waited for even when the run has ended, so
    /// that its process is gone before we are.
    const fn rests(&self) -> bool {
        if self.started {
            return false;
        }
        match self.run.status {
            ProtocolStatus::Paused
            | ProtocolStatus::Completed
            | ProtocolStatus::Failed
            | ProtocolStatus::Cancelled => true,
            ProtocolStatus::Pending
            | ProtocolStatus::Planning
            | ProtocolStatus::Planned
            | ProtocolStatus::Running
            | ProtocolStatus::Blocked => !self.waiting,
        }
    }
}

fn belongs(job: &Job, run: RunId, steps: &[StepRun]) -> bool {
    let of_step = |id: StepId| steps.iter().any(|step| step.id == id);
    match job {
        Job::PlanProtocol { protocol_run_id } | Job::OpenPullRequest { protocol_run_id } => {
            *protocol_run_id == run
        }
        Job::ExecuteStep { step_run_id } | Job::CheckQuality { step_run_id } => of_step(*step_run_id),
        Job::Maintenance => false,
    }
}

/// How a command that worked on a run ends: well, or with cause and next action.
pub fn verdict(left: &Left, plan_only: bool) -> Result<(), CliError> {
    let run = &left.run;
    if run.status == ProtocolStatus::Completed {
        return Ok(());
    }
    if left.interrupted {
        let kind = ErrorKind::Interrupted;
        return Err(CliError::new(kind, format!("run {} is {}", run.id, run.status))
            .hint(next_action(&ProtocolRunOut::from(run))));
    }
    if plan_only && run.status == ProtocolStatus::Planned {
        return Ok(());
    }
    let cause = run.status_reason.as_ref().map_or_else(
        || format!("run {} is {}, not completed", run.id, run.status),
        |reason| format!("run {} is {} ({}): {}", run.id, run.status, reason.code, reason.message),
    );
    Err(CliError::failed(cause).hint(next_action(&ProtocolRunOut::from(run))))
}
