//! Sets up tracing: to standard error, for people or as JSON lines, every line redacted.
//! Decides nothing about what is logged.

use std::io::{self, Write};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::{config::Config, redact::Redactor};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error("TASKSGODZILLA_LOG_LEVEL: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody set it up before.
    #[error("logging is set up already: {0}")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends log lines of this process to standard error, secrets of `config` taken out.
/// `colour` allows escape sequences (a terminal that wants them).
pub fn init(config: &Config, colour: bool) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&config.log_level)?;
    let lines = Lines { redactor: Redactor::new(&config.secrets()) };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    if config.log_json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        builder.with_ansi(colour).try_init()
    }
    .map_err(LogError::Twice)
}

/// Makes one writer per line.
struct Lines {
    redactor: Redactor,
}

/// Collects one line and writes it redacted when the line is complete.
struct Line<'a> {
    redactor: &'a Redactor,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { redactor: &self.redactor, bytes: Vec::new() }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Line<'_> {
    fn redacted(&self) -> String {
        self.redactor.text(&String::from_utf8_lossy(&self.bytes))
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = self.redacted();
        // A log line that cannot be written has nowhere left to be reported.
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_line_is_redacted_whole_however_it_was_written() {
        let lines = Lines { redactor: Redactor::new(&[Secret::new("hunter2-hunter2".to_owned())]) };
        let mut line = lines.make_writer();
        line.write_all(b"key=hunter2-").unwrap();
        line.write_all(b"hunter2 done\n").unwrap();
        let text = line.redacted();
        assert!(!text.contains("hunter2") && text.contains("done"), "{text}");
        line.bytes.clear();
    }
}
