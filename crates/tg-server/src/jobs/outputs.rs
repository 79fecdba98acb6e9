//! Writes what an execution leaves in the protocol folder: outputs, a note in the diary, the current
//! step. Every path goes through the worktree's handle; the step file itself is never a target.

use std::path::Path;

use tg_core::{layout, plan, protocol::StepRun};

use super::{
    JobError,
    brief::MATERIAL_CAP,
    entry::Entry,
    files::{TOO_LARGE, unwritable},
    judge::artifact,
    place::Place,
};
use crate::store::artifact::NewArtifact;

/// Writes outputs, diary and context. `now` in milliseconds since the epoch, UTC.
pub fn write(
    place: &Place,
    step: &StepRun,
    entry: &Entry,
    answer: &str,
    now: i64,
) -> Result<Vec<NewArtifact>, JobError> {
    let root = place.files.root()?;
    let content = format!("{}\n", answer.trim_end());
    let mut files = Vec::new();
    let named = entry.aux.iter().map(|(name, path)| (format!("aux.{name}"), "aux_output", path));
    for (name, kind, path) in
        std::iter::once(("protocol".to_owned(), "protocol_output", &entry.output)).chain(named)
    {
        root.write(path, content.as_bytes()).map_err(|error| unwritable(path, &error))?;
        files.push(artifact(&name, kind, path, content.as_bytes()));
    }
    note(place, now, &format!("{} executed", step.step_name))?;
    current_step(place, &step.step_name)?;
    Ok(files)
}

/// Adds a line to the diary, if there is one.
pub fn note(place: &Place, now: i64, message: &str) -> Result<(), JobError> {
    let path = place.files.folder.join(layout::LOG_FILE);
    place
        .files
        .root()?
        .append(&path, plan::log_line(now, message).as_bytes())
        .map(|_is_there| ())
        .map_err(|error| unwritable(&path, &error))
}

/// Keeps "Current Step" true. A context that an agent removed or blew up is left as it is.
fn current_step(place: &Place, step_name: &str) -> Result<(), JobError> {
    let path = place.files.folder.join(layout::CONTEXT_FILE);
    let Some(context) = readable(place, &path)? else { return Ok(()) };
    let current = plan::with_current_step(&context, step_name);
    if current == context {
        return Ok(());
    }
    place.files.root()?.write(&path, current.as_bytes()).map_err(|error| unwritable(&path, &error))
}

fn readable(place: &Place, path: &Path) -> Result<Option<String>, JobError> {
    match place.files.read_text(path, MATERIAL_CAP) {
        Ok(text) => Ok(text),
        Err(error) if error.error_type == TOO_LARGE => Ok(None),
        Err(error) => Err(error),
    }
}
