//! Following events live: each one once, over broken connections, until Ctrl-C or until a run rests.

use std::time::Duration;

use tg_core::{
    status::ProtocolStatus,
    step::StepStatus,
    wire::{EventOut, Job, ProtocolRunOut, StepRunOut},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CliError, ErrorKind, follow::next_action, protocols, words::run_status};
use crate::{
    client::{
        Client, Query, operation,
        sse::Frame,
        stream::{Item, Resume, Stream},
    },
    output::Output,
};

/// Quiet time after an event before the run is looked at.
const QUIET: Duration = Duration::from_millis(300);

/// Longest time between two looks at a run.
const BEAT: Duration = Duration::from_secs(5);

/// Longest wait for events that were written before a run rested and have not come yet.
const LAST: Duration = Duration::from_secs(5);

/// Jobs looked at to see whether one of them belongs to the run.
const JOBS: usize = 500;

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this project.
    pub project: Option<i64>,
    /// Only of this run.
    pub protocol: Option<i64>,
    /// Only of this step.
    pub step: Option<i64>,
    /// Only of this type.
    pub event_type: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
}

impl Filter {
    /// As a query of the API.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let id = |id: Option<i64>| id.map(|id| id.to_string());
        [
            ("project_id", id(self.project)),
            ("protocol_run_id", id(self.protocol)),
            ("step_run_id", id(self.step)),
            ("event_type", self.event_type.clone()),
            ("kind", self.kind.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// Listens for Ctrl-C from its making on, so that none is missed between two waits.
#[derive(Debug)]
pub struct Interrupt(Signal);

impl Interrupt {
    /// Begins to listen.
    pub fn listen() -> Result<Self, CliError> {
        signal(SignalKind::interrupt())
            .map(Self)
            .map_err(|error| CliError::internal(format!("cannot listen for signals: {error}")))
    }

    /// Resolves when somebody presses Ctrl-C.
    pub async fn pressed(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// How a command ends that somebody stopped.
pub fn stopped() -> CliError {
    CliError::new(ErrorKind::Interrupted, "no longer watching; what runs goes on")
}

/// Tells that the connection broke or stands again.
pub fn told_of_breaks(item: &Item, output: &Output) {
    match item {
        Item::Broken => output.note("the connection broke; waiting for the server"),
        Item::Mended => output.note("connected again"),
        Item::Frame(_) => {}
    }
}

/// Sequence number of the newest event that passes the filter, 0 without one.
async fn newest(client: &Client, filter: &Filter) -> Result<i64, CliError> {
    let found = client.list(&operation::EVENTS, &[], &filter.query(), 1).await?;
    Ok(found.value.first().map_or(0, |event| event.seq))
}

/// Prints events that come from now on, or after `after`; ends when the run of the filter has ended, if
/// that is wanted.
pub async fn events(
    client: &Client,
    filter: &Filter,
    after: Option<i64>,
    until_ended: Option<i64>,
    output: &Output,
) -> Result<(), CliError> {
    let after = match after {
        Some(after) => after,
        None => newest(client, filter).await?,
    };
    let mut watch = Watch::new(client, filter, after);
    let has_ended = async |client: &Client| match until_ended {
        Some(run) => Ok(ended(protocols::load(client, run).await?.value.status)),
        None => Ok(false),
    };
    let print = |event: &EventOut, json: &serde_json::Value| {
        if output.is_json() { output.json_line(json) } else { output.line(&line(event)) }
    };
    watch.until(until_ended.is_some(), has_ended, print, output).await
}

/// Follows a run until it rests, prints it, and says by the exit code whether it went well.
pub async fn until_rest(client: &Client, run: i64, output: &Output) -> Result<(), CliError> {
    // What happened since the request that led here is shown too: it began this stretch of the run.
    let filter = Filter { protocol: Some(run), ..Filter::default() };
    let mut watch = Watch::new(client, &filter, 0);
    let rests = async |client: &Client| rests(client, run).await;
    watch.until(true, rests, |event, _| output.note(&line(event)), output).await?;
    let left = protocols::load(client, run).await?;
    protocols::print(&left, &[], output);
    verdict(&left.value)
}

/// How a followed run ends the command.
fn verdict(run: &ProtocolRunOut) -> Result<(), CliError> {
    match run.status {
        ProtocolStatus::Completed => Ok(()),
        ProtocolStatus::Pending
        | ProtocolStatus::Planning
        | ProtocolStatus::Planned
        | ProtocolStatus::Running
        | ProtocolStatus::Paused
            if run.status_reason.is_none() =>
        {
            Ok(())
        }
        ProtocolStatus::Pending
        | ProtocolStatus::Planning
        | ProtocolStatus::Planned
        | ProtocolStatus::Running
        | ProtocolStatus::Paused
        | ProtocolStatus::Blocked
        | ProtocolStatus::Failed
        | ProtocolStatus::Cancelled => {
            Err(CliError::failed(format!("run {} is {}", run.id, run_status(run))).hint(next_action(run)))
        }
    }
}

struct Watch {
    client: Client,
    filter: Filter,
    /// Newest event that was printed.
    seen: i64,
    stream: tokio::sync::mpsc::Receiver<Result<Item, CliError>>,
}

impl Watch {
    fn new(client: &Client, filter: &Filter, after: i64) -> Self {
        let resume = Resume::Id(after);
        let stream = Stream::new(client, &operation::EVENT_STREAM, &[], filter.query(), resume).begin();
        Self { client: client.clone(), filter: filter.clone(), seen: after, stream }
    }

    /// Prints events until `is_over` says so, if it is to be asked at all: after events, when nothing
    /// more comes for a moment, and now and then without any.
    async fn until(
        &mut self,
        asks: bool,
        is_over: impl AsyncFn(&Client) -> Result<bool, CliError>,
        print: impl Fn(&EventOut, &serde_json::Value),
        output: &Output,
    ) -> Result<(), CliError> {
        let mut interrupt = Interrupt::listen()?;
        let mut quiet = QUIET;
        let mut is_connected = true;
        loop {
            let item = tokio::select! {
                item = self.stream.recv() => item,
                () = interrupt.pressed() => return Err(stopped()),
                () = tokio::time::sleep(quiet), if asks && is_connected => {
                    match is_over(&self.client).await {
                        Ok(true) => return self.rest(print, output).await,
                        Ok(false) => {}
                        // The stream tells of a server that is away, and waits for it.
                        Err(error) => tracing::debug!(error = %error.error, "the run cannot be looked at"),
                    }
                    quiet = BEAT;
                    continue;
                }
            };
            let Some(item) = item else { return Err(CliError::internal("the stream ended")) };
            match item? {
                Item::Frame(frame) => {
                    self.show(&frame, &print, output);
                    quiet = QUIET;
                }
                other @ (Item::Broken | Item::Mended) => {
                    is_connected = other == Item::Mended;
                    told_of_breaks(&other, output);
                }
            }
        }
    }
}

impl Watch {
    /// Prints an event.
    fn show(&mut self, frame: &Frame, print: &impl Fn(&EventOut, &serde_json::Value), output: &Output) {
        let read = serde_json::from_str(&frame.data).and_then(|json: serde_json::Value| {
            Ok((serde_json::from_value::<EventOut>(json.clone())?, json))
        });
        match read {
            Ok((event, json)) => {
                self.seen = self.seen.max(event.seq);
                print(&event, &json);
            }
            Err(error) => output.warn(&format!("an event cannot be read: {error}")),
        }
    }

    /// Prints what was written up to now and has not come yet: a run is seen to rest before its last
    /// event has made its way here.
    async fn rest(
        &mut self,
        print: impl Fn(&EventOut, &serde_json::Value),
        output: &Output,
    ) -> Result<(), CliError> {
        let end = newest(&self.client, &self.filter).await?;
        let until = tokio::time::Instant::now() + LAST;
        while self.seen < end {
            match tokio::time::timeout_at(until, self.stream.recv()).await {
                Ok(Some(item)) => {
                    if let Item::Frame(frame) = item? {
                        self.show(&frame, &print, output);
                    }
                }
                Ok(None) | Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}

/// An event on one line.
fn line(event: &EventOut) -> String {
    let time = event.created_at.get(11..19).unwrap_or(&event.created_at);
    let run = event.protocol_name.as_deref().map(|name| format!("  {name}")).unwrap_or_default();
    format!("{:>6}  {time}  {:<22}{run}  {}", event.seq, event.event_type, event.message)
}

const fn ended(status: ProtocolStatus) -> bool {
    match status {
        ProtocolStatus::Completed | ProtocolStatus::Failed | ProtocolStatus::Cancelled => true,
        ProtocolStatus::Pending
        | ProtocolStatus::Planning
        | ProtocolStatus::Planned
        | ProtocolStatus::Running
        | ProtocolStatus::Paused
        | ProtocolStatus::Blocked => false,
    }
}

/// Nothing more happens to the run by itself.
async fn rests(client: &Client, run: i64) -> Result<bool, CliError> {
    let now = protocols::load(client, run).await?.value;
    match now.status {
        ProtocolStatus::Completed | ProtocolStatus::Failed | ProtocolStatus::Cancelled => Ok(true),
        ProtocolStatus::Pending
        | ProtocolStatus::Planning
        | ProtocolStatus::Planned
        | ProtocolStatus::Running
        | ProtocolStatus::Paused
        | ProtocolStatus::Blocked => {
            let steps = protocols::steps_of(client, run).await?.value;
            let mut is_busy = steps.iter().any(|step| step.status == StepStatus::Running);
            for status in ["started", "queued", "scheduled"] {
                if !is_busy {
                    let query: Query<'_> = vec![("status", status.to_owned())];
                    let jobs = client.list(&operation::JOBS, &[], &query, JOBS).await?.value;
                    is_busy = jobs.iter().any(|job| belongs(job, run, &steps));
                }
            }
            Ok(!is_busy)
        }
    }
}

fn belongs(job: &Job, run: i64, steps: &[StepRunOut]) -> bool {
    let id = |key: &str| job.payload.get(key).and_then(serde_json::Value::as_i64);
    id("protocol_run_id") == Some(run)
        || id("step_run_id").is_some_and(|id| steps.iter().any(|step| step.id == id))
}
