//! Arguments that several commands take the same way.

use std::io::{self, IsTerminal, Read};

use clap::{Args, builder::PossibleValuesParser};
use tg_core::{job::JobStatus, protocol::CallStatus, status::ProtocolStatus};

use super::CliError;
use crate::output::Output;

/// How much of a list.
#[derive(Debug, Clone, Copy, Args)]
pub struct Limit {
    /// At most this many, newest first.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = limit)]
    pub limit: usize,
}

/// How much of a timeline.
#[derive(Debug, Clone, Copy, Args)]
pub struct FewAtFirst {
    /// At most this many, newest first.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = limit)]
    pub limit: usize,
}

fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit @ 1..=1_000_000) => Ok(limit),
        Ok(_) | Err(_) => Err("must be from 1 to 1000000".to_owned()),
    }
}

/// Names an object by its number.
#[derive(Debug, Clone, Copy, Args)]
pub struct Id {
    /// Its id.
    pub id: i64,
}

impl Id {
    /// As a segment of a path.
    pub fn text(self) -> String {
        self.id.to_string()
    }
}

/// Names an object whose removal wants a yes.
#[derive(Debug, Clone, Copy, Args)]
pub struct Remove {
    /// Its id.
    pub id: i64,
    /// Ask nothing.
    #[arg(long)]
    pub yes: bool,
}

impl Remove {
    /// Asks on a terminal; elsewhere `--yes` is the answer.
    pub fn confirm(self, what: &str, output: &Output) -> Result<(), CliError> {
        if self.yes || (output.can_ask() && output.confirm(&format!("{what}?"))) {
            return Ok(());
        }
        Err(CliError::usage("nothing was removed").hint("say --yes to remove it"))
    }
}

/// A JSON value on the command line.
pub fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))
}

/// Longest text read from a file or from standard input: what the API takes.
pub const LONGEST: u64 = 1024 * 1024;

/// Bytes of a file, or of standard input where `-` or nothing names it.
pub fn input(file: Option<&std::path::Path>) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let read = match file {
        Some(path) if path.as_os_str() != "-" => {
            std::fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
        }
        Some(_) | None if io::stdin().is_terminal() => {
            return Err(
                CliError::usage("nothing was given on standard input").hint("pipe it in, or name a file")
            );
        }
        Some(_) | None => io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes),
    };
    let name = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    read.map_err(|error| CliError::missing(format!("{name} cannot be read: {error}")))?;
    if bytes.len() as u64 > LONGEST {
        return Err(CliError::usage(format!("{name} is longer than {LONGEST} bytes")));
    }
    Ok(bytes)
}

/// The same as text.
pub fn input_text(file: Option<&std::path::Path>) -> Result<String, CliError> {
    String::from_utf8(input(file)?).map_err(|_| CliError::usage("the input is not UTF-8 text"))
}

/// Statuses of runs.
pub fn run_statuses() -> PossibleValuesParser {
    PossibleValuesParser::new(ProtocolStatus::ALL.iter().map(|word| word.as_str()))
}

/// Statuses of calls.
pub fn call_statuses() -> PossibleValuesParser {
    PossibleValuesParser::new(CallStatus::ALL.iter().map(|word| word.as_str()))
}

/// Statuses of jobs.
pub fn job_statuses() -> PossibleValuesParser {
    PossibleValuesParser::new(JobStatus::ALL.iter().map(|word| word.as_str()))
}
