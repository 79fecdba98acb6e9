//! The planner's answer: schema, checks, and the rules for the files made from it.
//! An answer is data: it is validated and confined here before anybody writes a file.

use std::sync::OnceLock;

use jsonschema::Validator;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[cfg(test)]
mod tests;
mod text;

pub use text::{
    decomposed, has_section, is_simple, log_line, with_current_step, with_sections, without_fence,
};

/// The planning schema as shipped; also given to engines that take an output schema.
pub const SCHEMA: &str = include_str!("../../../schemas/protocol-planning.schema.json");

/// Most bytes an answer may have.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Most step files of a plan.
pub const MAX_STEPS: usize = 99;
/// The set-up file that is added when a plan has none.
pub const SETUP_FILE: &str = "00-setup.md";

const SETUP_CONTENT: &str = "\
# Set-up

## Briefing
Make sure that the work can begin. Nothing of the task itself is done here.

## Sub-tasks
- Read `plan.md` and `context.md` of this protocol.
- Check that the branch holds the files which the plan speaks of, and note in `context.md` what is missing.
";

/// A plan that passed every check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Content of `plan.md`.
    pub plan_md: String,
    /// Content of `context.md`.
    pub context_md: String,
    /// Content of `log.md`.
    pub log_md: String,
    /// Step files, sorted by name, the first one a set-up file.
    pub step_files: Vec<StepFile>,
}

/// One step file of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFile {
    /// `NN-name.md`, no directory part.
    pub filename: String,
    /// Not blank.
    pub content: String,
}

impl StepFile {
    /// The set-up step: never decomposed.
    pub fn is_setup(&self) -> bool {
        self.filename.starts_with("00-")
    }
}

/// Why an answer is not a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Larger than we take.
    #[error("the plan has {bytes} bytes, at most {MAX_BYTES} are taken; ask for a shorter plan")]
    TooLarge {
        /// Size of the answer.
        bytes: usize,
    },
    /// Not JSON.
    #[error("the planner's answer is not JSON ({why}); start planning again")]
    NotJson {
        /// Where the reader stopped.
        why: String,
    },
    /// Breaks the schema.
    #[error("the planner's answer breaks the planning schema: {}; start planning again", errors.join("; "))]
    Schema {
        /// `<json/path>: <message>`, the first few.
        errors: Vec<String>,
    },
    /// No step files, or too many.
    #[error("the plan has {count} step files, 1 to {MAX_STEPS} are taken; start planning again")]
    StepCount {
        /// Files found.
        count: usize,
    },
    /// A file name that is not plain `NN-name.md`.
    #[error(
        "the plan names the step file {filename:?}; only names like `01-implement.md` are taken; start planning again"
    )]
    Filename {
        /// The name, shortened.
        filename: String,
    },
    /// Two steps with one number, or one name twice.
    #[error("the plan has two step files with the number {number}; start planning again")]
    DuplicateNumber {
        /// The two digits.
        number: String,
    },
    /// A file without content.
    #[error("the step file {filename} of the plan is blank; start planning again")]
    Blank {
        /// The name.
        filename: String,
    },
}

impl PlanError {
    /// Machine word (wire: `error_type` of `planning_failed`).
    pub const fn word(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "plan_too_large",
            Self::NotJson { .. } => "plan_not_json",
            Self::Schema { .. } => "plan_schema",
            Self::StepCount { .. } => "plan_step_count",
            Self::Filename { .. } => "plan_filename",
            Self::DuplicateNumber { .. } => "plan_duplicate_number",
            Self::Blank { .. } => "plan_blank_step",
        }
    }
}

/// Most schema errors that are told.
const TOLD_ERRORS: usize = 5;

/// The planning schema as JSON.
pub fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("the shipped planning schema is JSON; a test reads it")
}

fn validator() -> &'static Validator {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    VALIDATOR.get_or_init(|| {
        jsonschema::draft7::new(&schema()).expect("the shipped planning schema is valid; a test compiles it")
    })
}

/// Reads a planner's answer; a code fence around the whole is forgiven, nothing else.
pub fn read(answer: &str) -> Result<Plan, PlanError> {
    if answer.len() > MAX_BYTES {
        return Err(PlanError::TooLarge { bytes: answer.len() });
    }
    let value: Value = serde_json::from_str(without_fence(answer))
        .map_err(|error| PlanError::NotJson { why: error.to_string() })?;
    let errors: Vec<String> = validator()
        .iter_errors(&value)
        .take(TOLD_ERRORS)
        .map(|error| {
            let path = error.instance_path().to_string();
            format!("{}: {}", path.trim_start_matches('/'), shortened(&error.masked().to_string()))
        })
        .collect();
    if !errors.is_empty() {
        return Err(PlanError::Schema { errors });
    }
    let mut plan: Plan = serde_json::from_value(value)
        .map_err(|error| PlanError::Schema { errors: vec![shortened(&error.to_string())] })?;
    check(&plan)?;
    if !plan.step_files.iter().any(StepFile::is_setup) {
        plan.step_files.push(StepFile { filename: SETUP_FILE.to_owned(), content: SETUP_CONTENT.to_owned() });
    }
    plan.step_files.sort_by(|one, other| one.filename.cmp(&other.filename));
    Ok(plan)
}

fn check(plan: &Plan) -> Result<(), PlanError> {
    let count = plan.step_files.len();
    if !(1..=MAX_STEPS).contains(&count) {
        return Err(PlanError::StepCount { count });
    }
    let mut numbers = std::collections::BTreeSet::new();
    for file in &plan.step_files {
        if !is_step_filename(&file.filename) {
            return Err(PlanError::Filename { filename: shortened(&file.filename) });
        }
        let number = &file.filename[..2];
        if !numbers.insert(number) {
            return Err(PlanError::DuplicateNumber { number: number.to_owned() });
        }
        if file.content.trim().is_empty() {
            return Err(PlanError::Blank { filename: file.filename.clone() });
        }
    }
    Ok(())
}

/// `^\d{2}-[A-Za-z0-9][A-Za-z0-9._-]{0,80}\.md$`; such a name has no directory part.
pub fn is_step_filename(name: &str) -> bool {
    let bytes = name.as_bytes();
    let Some(stem) = name.strip_suffix(".md") else { return false };
    let Some(title) = stem.as_bytes().get(3..) else { return false };
    bytes[..2].iter().all(u8::is_ascii_digit)
        && bytes[2] == b'-'
        && (1..=81).contains(&title.len())
        && title[0].is_ascii_alphanumeric()
        && title.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
