//! Watches a running engine: reads both pipes, keeps the limits, and decides when it must stop.
//! Never waits for one pipe while the other fills up.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, ChildStdin},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Ended, Limits, Watch, judge,
    output::{Line, Lines, Log},
    shim,
};
use crate::{
    engine::{EngineFailure, Exit, FailKind, Pipe, Progress, Reader, Request},
    redact::Redactor,
};

/// Retry lines that count as a sign of life; a CLI that only retries is idle after that.
const RETRIES_ALIVE: u32 = 20;
/// After the grace, the shim has this long to kill the tree and end.
const AFTER_KILL: Duration = Duration::from_millis(1500);
/// What is still in the pipes after the end must come within this time.
const DRAIN: Duration = Duration::from_secs(1);
/// One read.
const CHUNK: usize = 64 * 1024;
/// Notes that are kept.
const NOTES: usize = 50;

/// How the process came to its end.
#[derive(Debug)]
pub(super) struct Stopped {
    /// As the reader is told.
    pub exit: Exit,
    /// Why we stopped it, if we did.
    pub failure: Option<EngineFailure>,
    /// The shim did not end as it should: processes may be left.
    pub is_doubtful: bool,
}

/// A running engine as we see it.
pub(super) struct Watching {
    reader: Box<dyn Reader>,
    log: Log,
    redactor: Redactor,
    watch: Watch,
    out: Lines,
    err: Lines,
    open_tools: u32,
    retries: u32,
    output_bytes: u64,
    has_output: bool,
    /// First line by which the shim or the wrap says that they could not start it.
    start_trouble: Option<String>,
    notes: Vec<String>,
}

impl Watching {
    pub fn new(reader: Box<dyn Reader>, log: Log, redactor: Redactor, watch: Watch) -> Self {
        Self {
            reader,
            log,
            redactor,
            watch,
            out: Lines::default(),
            err: Lines::default(),
            open_tools: 0,
            retries: 0,
            output_bytes: 0,
            has_output: false,
            start_trouble: None,
            notes: Vec::new(),
        }
    }

    /// Reads until the process is gone and both pipes are empty, stopping it when it must.
    pub async fn until_end(
        &mut self,
        mut child: Child,
        lifeline: ChildStdin,
        limits: Limits,
        cancel: &CancellationToken,
    ) -> Stopped {
        let mut lifeline = Some(lifeline);
        let mut pipes = Pipes { out: child.stdout.take(), err: child.stderr.take() };
        let (mut out_chunk, mut err_chunk) = (vec![0; CHUNK], vec![0; CHUNK]);
        let wall = Instant::now() + limits.wall;
        let mut alive = Instant::now();
        let mut reason: Option<FailKind> = None;
        let mut status: Option<ExitStatus> = None;
        let mut last_call: Option<Instant> = None;
        let mut is_doubtful = false;
        while status.is_none() || pipes.is_open() {
            let idle = (self.open_tools == 0).then(|| alive + limits.idle);
            let next = last_call.unwrap_or_else(|| idle.map_or(wall, |idle| idle.min(wall)));
            let stop = tokio::select! {
                read = read(&mut pipes.out, &mut out_chunk) => {
                    if self.take(Pipe::Out, &mut pipes, read, &out_chunk).await { alive = Instant::now(); }
                    None
                }
                read = read(&mut pipes.err, &mut err_chunk) => {
                    if self.take(Pipe::Err, &mut pipes, read, &err_chunk).await { alive = Instant::now(); }
                    None
                }
                ended = child.wait(), if status.is_none() => {
                    is_doubtful |= !matches!(&ended, Ok(ended) if ended.code().is_some());
                    status = Some(ended.unwrap_or_else(|_| ExitStatus::from_raw(9)));
                    last_call = Some(Instant::now() + DRAIN);
                    None
                }
                () = cancel.cancelled(), if reason.is_none() && status.is_none() => Some(FailKind::Cancelled),
                () = tokio::time::sleep_until(next) => match last_call {
                    Some(_) => {
                        is_doubtful = true;
                        break;
                    }
                    None if Instant::now() >= wall => Some(FailKind::TimeoutWall),
                    None => Some(FailKind::TimeoutIdle),
                },
            };
            if let Some(kind) = stop {
                reason = Some(kind);
                // Closing the lifeline is the order to stop; the shim does the rest.
                drop(lifeline.take());
                last_call = Some(Instant::now() + limits.grace + AFTER_KILL);
            }
        }
        drop(lifeline);
        if status.is_none() {
            // It does not end: what is left is found by its mark, the shim itself dies here.
            child.start_kill().ok();
        }
        Stopped { exit: exit(status, reason), failure: reason.map(|kind| stopped(kind, limits)), is_doubtful }
    }

    /// Takes what was read; says whether it was a sign of life.
    async fn take(
        &mut self,
        pipe: Pipe,
        pipes: &mut Pipes,
        read: std::io::Result<usize>,
        chunk: &[u8],
    ) -> bool {
        let size = match read {
            Ok(size) if size > 0 => size,
            // The end, or a pipe that cannot be read any more: the exit status tells the rest.
            Ok(_) | Err(_) => {
                let rest = match pipe {
                    Pipe::Out => std::mem::take(&mut self.out).finish(),
                    Pipe::Err => std::mem::take(&mut self.err).finish(),
                };
                if let Some(line) = rest {
                    self.line(pipe, &line).await;
                }
                pipes.close(pipe);
                return false;
            }
        };
        self.output_bytes += u64::try_from(size).unwrap_or(u64::MAX);
        self.has_output |= pipe == Pipe::Out;
        let lines = match pipe {
            Pipe::Out => self.out.push(&chunk[..size]),
            Pipe::Err => self.err.push(&chunk[..size]),
        };
        let mut is_alive = lines.is_empty();
        for line in lines {
            is_alive |= self.line(pipe, &line).await;
        }
        is_alive
    }

    /// Logs a line and lets the reader see it; says whether it was a sign of life.
    async fn line(&mut self, pipe: Pipe, line: &Line) -> bool {
        self.log.line(pipe, line).await;
        if line.dropped > 0 {
            self.note(format!("a line of {} bytes was cut", line.bytes.len() as u64 + line.dropped));
        }
        let text = String::from_utf8_lossy(&line.bytes);
        let text = text.trim_end_matches('\r');
        if pipe == Pipe::Err && (text.starts_with(shim::NOT_STARTED_LINE) || text.starts_with("bwrap: ")) {
            self.start_trouble.get_or_insert_with(|| text.to_owned());
        }
        let progress = self.reader.line(pipe, text);
        let mut is_alive = progress.is_empty();
        for item in progress {
            match &item {
                Progress::ToolStart(_) => self.open_tools += 1,
                Progress::ToolEnd { .. } => self.open_tools = self.open_tools.saturating_sub(1),
                Progress::Retry(_) => self.retries += 1,
                Progress::Session(_)
                | Progress::Text(_)
                | Progress::FileChange(_)
                | Progress::Warning(_)
                | Progress::Raw => {}
            }
            is_alive |= !matches!(item, Progress::Retry(_)) || self.retries <= RETRIES_ALIVE;
            (self.watch)(&self.shown(item));
        }
        is_alive
    }

    fn shown(&self, item: Progress) -> Progress {
        let text = |text: String| self.redactor.text(&text);
        match item {
            Progress::Session(id) => Progress::Session(id),
            Progress::Text(said) => Progress::Text(text(said)),
            Progress::ToolStart(tool) => Progress::ToolStart(text(tool)),
            Progress::ToolEnd { exit } => Progress::ToolEnd { exit },
            Progress::FileChange(path) => Progress::FileChange(text(path)),
            Progress::Retry(why) => Progress::Retry(text(why)),
            Progress::Warning(what) => Progress::Warning(text(what)),
            Progress::Raw => Progress::Raw,
        }
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < NOTES {
            self.notes.push(note);
        }
    }

    /// Closes the log and judges the call.
    pub async fn settle(mut self, request: &Request, stopped: &Stopped, is_wrapped: bool) -> Ended {
        if let Some(trouble) = self.log.close().await {
            self.notes.push(trouble);
        }
        let not_started = judge::not_started(stopped.exit, self.start_trouble, is_wrapped, self.has_output);
        let failure = stopped.failure.clone().or(not_started);
        let reading = self.reader.finish(stopped.exit);
        let mut ended = judge::judge(request, reading, stopped.exit, failure, &self.redactor);
        ended.warnings.extend(self.notes);
        ended.output_bytes = self.output_bytes;
        ended
    }
}

struct Pipes {
    out: Option<tokio::process::ChildStdout>,
    err: Option<tokio::process::ChildStderr>,
}

impl Pipes {
    const fn is_open(&self) -> bool {
        self.out.is_some() || self.err.is_some()
    }

    fn close(&mut self, pipe: Pipe) {
        match pipe {
            Pipe::Out => self.out = None,
            Pipe::Err => self.err = None,
        }
    }
}

/// Reads from a pipe; one that is closed never answers.
async fn read(pipe: &mut Option<impl AsyncRead + Unpin>, chunk: &mut [u8]) -> std::io::Result<usize> {
    match pipe {
        Some(pipe) => pipe.read(chunk).await,
        None => std::future::pending().await,
    }
}

fn exit(status: Option<ExitStatus>, reason: Option<FailKind>) -> Exit {
    match (reason, status) {
        (Some(_), _) | (None, None) => Exit::Stopped,
        (None, Some(status)) => match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Status(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(9)),
        },
    }
}

fn stopped(kind: FailKind, limits: Limits) -> EngineFailure {
    let message = if kind == FailKind::TimeoutWall {
        format!("it did not end within {} s and was stopped", limits.wall.as_secs_f32())
    } else if kind == FailKind::TimeoutIdle {
        format!("it printed nothing for {} s and was stopped", limits.idle.as_secs_f32())
    } else {
        "it was stopped on request".to_owned()
    };
    EngineFailure::new(kind, message)
}
