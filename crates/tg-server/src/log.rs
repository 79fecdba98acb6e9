//! Sets up tracing: to standard error, for people or as JSON lines, every line redacted as a whole.
//! Decides nothing about what is logged.
//!
//! A line carries the ids of the spans around it: of the request, the job, the engine call. Those spans
//! are opened at the highest level, so that a quieter log still says what its lines are about.

mod line;

use std::{
    io::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{Event, Subscriber, span, span::Id};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use self::line::Fields;
use crate::{config::Config, redact::Redactor, trace};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error("TASKSGODZILLA_LOG_LEVEL: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody set it up before.
    #[error("logging is set up already: {0}")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
    /// Traces cannot be sent.
    #[error(transparent)]
    Trace(#[from] trace::TraceError),
}

/// Sends log lines of this process to standard error, secrets of `config` taken out, and its traces
/// where the settings say. `colour` allows escape sequences (a terminal that wants them).
pub fn init(config: &Config, colour: bool) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&config.log_level)?;
    let form = match (config.log_json, colour) {
        (true, _) => Form::Json,
        (false, true) => Form::Colour,
        (false, false) => Form::Plain,
    };
    let lines = Lines::new(form, Redactor::new(&config.secrets()), Out::StandardError);
    let registry = tracing_subscriber::registry().with(lines.with_filter(filter));
    registry.with(trace::sender(config)?).try_init().map_err(LogError::Twice)
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For machines.
    Json,
    /// For people.
    Plain,
    /// For people at a terminal.
    Colour,
}

/// Where lines go.
#[derive(Debug, Clone)]
pub enum Out {
    /// Standard error.
    StandardError,
    /// Kept, for a test.
    Kept(Arc<Mutex<Vec<String>>>),
}

/// Writes one line per event.
pub struct Lines {
    form: Form,
    redactor: Redactor,
    out: Out,
}

impl Lines {
    /// Lines of this form.
    pub const fn new(form: Form, redactor: Redactor, out: Out) -> Self {
        Self { form, redactor, out }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        // The inner span wins over the outer one, the event over both.
        for span in context.event_scope(event).into_iter().flatten().collect::<Vec<_>>().iter().rev() {
            if let Some(known) = span.extensions().get::<Fields>() {
                fields.add(known);
            }
        }
        event.record(&mut fields);
        let meta = event.metadata();
        let line = match self.form {
            Form::Json => fields.json(*meta.level(), meta.target()),
            Form::Plain => fields.text(*meta.level(), meta.target(), false),
            Form::Colour => fields.text(*meta.level(), meta.target(), true),
        };
        let line = self.redactor.text(&line);
        match &self.out {
            // A log line that cannot be written has nowhere left to be reported.
            Out::StandardError => drop(io::stderr().lock().write_all(format!("{line}\n").as_bytes())),
            Out::Kept(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).push(line),
        }
    }
}
