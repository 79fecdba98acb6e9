//! What a new run is called, and what else its body may hold. Names of the project are looked at in the
//! transaction that creates the run; branches of the remote are met when it is planned.

use tg_core::{
    ids::ProjectId,
    naming::{BranchName, NameError, ProtocolName},
    scope::Scope,
    wire::NewProtocol,
};

use super::LONGEST_TASK;
use crate::{
    api::{error::ApiError, fields::Wrong},
    db::Tx,
    store,
};

/// Longest words for a name, in characters.
const LONGEST_WORDS: usize = 200;

/// How a run shall be called.
pub(super) enum Wanted {
    /// Like this.
    Named(ProtocolName),
    /// The next free number, then these words.
    Numbered(String),
}

/// Checks the body of a new run. Gives how it shall be called.
pub(super) fn check(project: ProjectId, new: &NewProtocol) -> Result<Wanted, ApiError> {
    let mut wrong = Wrong::default();
    let wanted = match (&new.protocol_name, &new.short_name) {
        (Some(name), None) => wrong.take(&["protocol_name"], named(project, name)),
        (None, Some(words)) => {
            wrong.text("short_name", Some(words), LONGEST_WORDS);
            // Whatever the words are, they give a name; only the numbers may run out.
            Some(Wanted::Numbered(words.clone()))
        }
        (Some(_), Some(_)) => wrong.take(&["short_name"], Err("give protocol_name or short_name, not both")),
        (None, None) => wrong.take(&["protocol_name"], Err("give protocol_name, or short_name for a number")),
    };
    if let Some(branch) = &new.base_branch {
        wrong.take(&["base_branch"], BranchName::parse(branch));
    }
    wrong.text("description", new.description.as_deref(), LONGEST_TASK);
    wrong.engine("engine", new.engine.as_deref());
    wrong.models("models", &new.models);
    match wanted {
        Some(wanted) if wrong.is_empty() => Ok(wanted),
        Some(_) | None => Err(wrong.refuse()),
    }
}

fn named(project: ProjectId, name: &str) -> Result<Wanted, String> {
    let name = ProtocolName::parse(name).map_err(|error| error.to_string())?;
    if name.is_of_setup(project) {
        return Err(format!("the name {name} is kept for the set-up of the project; choose another"));
    }
    Ok(Wanted::Named(name))
}

/// The name. For a number the transaction holds the project, so that no other request gets the same.
pub(super) async fn choose(
    tx: &mut Tx,
    scope: &Scope,
    project: ProjectId,
    wanted: Wanted,
) -> Result<ProtocolName, ApiError> {
    let words = match wanted {
        Wanted::Named(name) => return Ok(name),
        Wanted::Numbered(words) => words,
    };
    let project = store::project::lock(tx, scope, project).await?.id;
    let last = store::protocol::last_number(tx, project).await?.unwrap_or(0);
    let number = u16::try_from(last + 1).map_err(|_| exhausted(&NameError::Exhausted))?;
    ProtocolName::numbered(number, &words).map_err(|error| exhausted(&error))
}

fn exhausted(error: &NameError) -> ApiError {
    ApiError::conflict("numbers_exhausted", error.to_string())
}
