//! What fields of a body may hold, where several resources have such a field. Everything that is wrong
//! is told at once, each with its place. Reads nothing but what it is given.

use serde_json::Value;
use tg_core::{project::ModelDefaults, spec::Policy, wire::FieldError};

use super::error::ApiError;
use crate::jobs::engine_choice;

/// Longest model entry, in bytes.
const LONGEST_MODEL: usize = 200;
/// Longest loop and trigger entries of a step, in bytes of JSON.
const LONGEST_POLICY: usize = 64 * 1024;

/// What is wrong so far.
#[derive(Default)]
pub(super) struct Wrong(Vec<FieldError>);

impl Wrong {
    /// The value, or a note of what is wrong with it.
    pub(super) fn take<T, E: std::fmt::Display>(&mut self, loc: &[&str], outcome: Result<T, E>) -> Option<T> {
        outcome
            .map_err(|error| {
                let loc = std::iter::once("body").chain(loc.iter().copied()).map(Value::from).collect();
                self.0.push(FieldError { loc, msg: error.to_string(), kind: "value".to_owned() });
            })
            .ok()
    }

    /// Nothing is.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses the request.
    pub(super) fn refuse(self) -> ApiError {
        ApiError::Invalid(self.0)
    }

    /// Refuses the request when anything is wrong.
    pub(super) fn refuse_any(self) -> Result<(), ApiError> {
        if self.is_empty() { Ok(()) } else { Err(self.refuse()) }
    }

    /// Models by role.
    pub(super) fn models(&mut self, field: &str, models: &ModelDefaults) {
        let by_role = [
            ("planning", &models.planning),
            ("decompose", &models.decompose),
            ("exec", &models.exec),
            ("qa", &models.qa),
        ];
        for (role, given) in by_role {
            if let Some(given) = given {
                self.take(&[field, role], model_list(given));
            }
        }
    }

    /// Model of a step.
    pub(super) fn model(&mut self, field: &str, given: Option<&str>) {
        if let Some(given) = given {
            self.take(&[field], model_list(given));
        }
    }

    /// An engine by id: one that this server has.
    pub(super) fn engine(&mut self, field: &str, given: Option<&str>) {
        if let Some(given) = given {
            self.take(&[field], engine(given));
        }
    }

    /// A text of at most `most` characters that a person wrote; lines and tabs are theirs to use.
    pub(super) fn text(&mut self, field: &str, given: Option<&str>, most: usize) {
        if let Some(given) = given {
            self.take(&[field], text(given, most));
        }
    }

    /// Loop and trigger entries.
    pub(super) fn policy(&mut self, field: &str, given: Option<&Value>) {
        if let Some(given) = given {
            self.take(&[field], policy(given));
        }
    }
}

/// Writes what was asked where it differs, and remembers the field.
pub(super) fn put<T: PartialEq>(
    held: &mut T,
    asked: Option<T>,
    field: &'static str,
    fields: &mut Vec<&'static str>,
) {
    if let Some(asked) = asked
        && asked != *held
    {
        *held = asked;
        fields.push(field);
    }
}

/// A model, or a comma list of them; none may be taken for an option.
fn model_list(text: &str) -> Result<(), &'static str> {
    let is_bad = |model: &str| {
        let unfit = |c: char| c.is_control() || c.is_whitespace();
        model.is_empty() || model.starts_with('-') || model.contains(unfit)
    };
    if text.len() > LONGEST_MODEL || text.split(',').map(str::trim).any(is_bad) {
        return Err("must be a model name or a comma list of them, at most 200 bytes");
    }
    Ok(())
}

fn engine(id: &str) -> Result<(), String> {
    let known = engine_choice::known();
    if known.contains(&id) { Ok(()) } else { Err(format!("must be one of {}", known.join(", "))) }
}

/// Postgres stores no NUL, and nobody writes the other control characters by hand.
fn text(given: &str, most: usize) -> Result<(), String> {
    if given.chars().count() > most {
        return Err(format!("must have at most {most} characters"));
    }
    if given.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err("must not hold control characters".to_owned());
    }
    Ok(())
}

fn policy(given: &Value) -> Result<(), String> {
    let entries = match given {
        Value::Object(_) => true,
        Value::Array(entries) => entries.iter().all(Value::is_object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    if !entries {
        return Err("must be an object or a list of objects".to_owned());
    }
    if given.to_string().len() > LONGEST_POLICY {
        return Err("must have at most 65536 bytes".to_owned());
    }
    Policy::read_all(Some(given)).map(drop)
}
