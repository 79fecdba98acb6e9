//! The success rule: what a reader made of the output counts only together with how the process
//! ended and with our own check of the answer. Reads one file, starts nothing.
//!
//! Whether a change was made is for the job to say: it alone can ask git.

use std::path::Path;

use serde_json::Value;

use super::{Ended, shim};
use crate::{
    engine::{EngineFailure, Exit, FailKind, Reading, Request},
    paths::Root,
    redact::Redactor,
};

/// Most bytes of an answer.
const ANSWER_BYTES: u64 = 4 * 1024 * 1024;
/// Most of a bad answer that is told, in characters.
const TOLD: usize = 300;
/// Most characters of a failure's sentence.
const MESSAGE: usize = 2000;

/// A call that did not come to run.
pub(super) fn never_ran(failure: EngineFailure) -> Ended {
    Ended {
        outcome: Err(failure),
        final_text: String::new(),
        structured: None,
        session: None,
        usage: None,
        warnings: Vec::new(),
        output_bytes: 0,
    }
}

/// Did shim or wrap fail before the engine ran?
pub(super) fn not_started(
    exit: Exit,
    trouble: Option<String>,
    is_wrapped: bool,
    has_output: bool,
) -> Option<EngineFailure> {
    let trouble = trouble.filter(|_| !has_output)?;
    let Exit::Status(status) = exit else { return None };
    let is_missing =
        trouble.contains("execvp") || trouble.contains("os error 2") || trouble.contains("os error 13");
    if status == shim::NOT_STARTED && trouble.starts_with(shim::NOT_STARTED_LINE) {
        let kind = match (is_wrapped, is_missing) {
            (true, _) => FailKind::Sandbox,
            (false, true) => FailKind::NotInstalled,
            (false, false) => FailKind::Crashed,
        };
        return Some(EngineFailure::new(kind, trouble));
    }
    let is_wrap = is_wrapped && status != 0 && trouble.starts_with("bwrap: ");
    is_wrap.then(|| {
        EngineFailure::new(if is_missing { FailKind::NotInstalled } else { FailKind::Sandbox }, trouble)
    })
}

/// Puts everything together. `failure` is ours and comes before whatever the engine says.
pub(super) fn judge(
    request: &Request,
    reading: Reading,
    exit: Exit,
    failure: Option<EngineFailure>,
    redactor: &Redactor,
) -> Ended {
    let Reading { outcome, final_text, session, usage, warnings } = reading;
    let mut outcome = match (failure, outcome) {
        (Some(failure), _) | (None, Err(failure)) => Err(failure),
        (None, Ok(())) if exit == Exit::Status(0) => Ok(()),
        (None, Ok(())) => {
            Err(EngineFailure::new(FailKind::Crashed, format!("it claims success but ended with {exit:?}")))
        }
    };
    let left =
        || outcome.is_ok().then(|| last_message(&request.exchange(), &request.last_message())).flatten();
    let final_text =
        redactor.known(&final_text.filter(|text| !text.is_empty()).or_else(left).unwrap_or_default());
    let mut structured = None;
    if let (Ok(()), Some(schema)) = (&outcome, &request.schema) {
        let file =
            || last_message(&request.exchange(), &request.last_message()).map(|text| redactor.known(&text));
        match answer(&final_text, schema)
            .or_else(|error| file().map_or(Err(error), |text| answer(&text, schema)))
        {
            Ok(value) => structured = Some(value),
            Err(failure) => outcome = Err(failure),
        }
    }
    Ended {
        outcome: outcome.map_err(|failure| {
            let told: String = failure.message.chars().take(MESSAGE).collect();
            EngineFailure { message: redactor.text(&told), ..failure }
        }),
        final_text,
        structured,
        session,
        usage,
        warnings: warnings.iter().map(|warning| redactor.text(warning)).collect(),
        output_bytes: 0,
    }
}

/// What the engine left as its last message, when the stream has none (its line was too long).
fn last_message(exchange: &Path, file: &Path) -> Option<String> {
    let relative = file.strip_prefix(exchange).ok()?;
    // A file that is not there, too large or no file is no message.
    let bytes = Root::open(exchange).and_then(|root| root.read(relative, ANSWER_BYTES)).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.trim().is_empty())
}

/// The answer as JSON that satisfies the schema; engines claim it and are not believed.
fn answer(text: &str, schema: &Value) -> Result<Value, EngineFailure> {
    let mismatch = |why: String| EngineFailure::new(FailKind::SchemaMismatch, why);
    let told: String = text.chars().take(TOLD).collect();
    let value: Value = serde_json::from_str(text.trim())
        .map_err(|error| mismatch(format!("the answer is not JSON ({error}): {told}")))?;
    let validator = jsonschema::validator_for(schema).map_err(|error| {
        EngineFailure::new(FailKind::BadInvocation, format!("the schema is not usable: {error}"))
    })?;
    let errors: Vec<String> = validator
        .iter_errors(&value)
        .take(5)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    if errors.is_empty() {
        return Ok(value);
    }
    let mut why = format!("the answer breaks its schema: {}", errors.join("; "));
    why = why.chars().take(4 * TOLD).collect();
    Err(mismatch(why))
}
