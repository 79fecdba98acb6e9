//! Puts prompts together: the repository's own template at our commit, else the bundled one, and the
//! files of the protocol as material. Calls no engine.

use std::path::Path;

use serde_json::{Map, Value};
use tg_core::{
    job::ErrorCategory,
    layout,
    prompt::{self, Rendered, Role},
    protocol::StepRun,
    review::Review,
};

use super::{JobError, call::Prompt, files::Files, subject::Subject};

/// Most bytes taken of one file or diff as material.
pub const MATERIAL_CAP: u64 = 256 * 1024;

/// Said instead of material that is too long to send.
const TOO_LONG: &str = "(left out: too long; read the file itself)";

/// A template with its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Text; `None` = the bundled one.
    pub text: Option<String>,
    /// Where it lies, as told to people.
    pub path: String,
}

impl Template {
    /// The bundled prompt of a role.
    pub fn bundled(role: Role) -> Self {
        Self { text: None, path: format!("bundled:{role}") }
    }

    /// The repository's prompt of a role, else the bundled one.
    pub fn of(files: &Files, role: Role) -> Result<Self, JobError> {
        let path = layout::prompt_file(role.as_str());
        Ok(match files.read_text(&path, MATERIAL_CAP)? {
            Some(text) => Self { text: Some(text), path: path.display().to_string() },
            None => Self::bundled(role),
        })
    }
}

/// A prompt that a step's entry states, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// Text.
    pub text: String,
    /// Where it lies, as told to people.
    pub path: String,
}

/// Prompt of a new plan.
pub fn plan(files: &Files, subject: &Subject) -> Result<Prompt, JobError> {
    let template = Template::of(files, Role::ProtocolNew)?;
    let run = &subject.run;
    let slug = run.protocol_name.split_once('-').map_or(run.protocol_name.as_str(), |(_, slug)| slug);
    let folder = files.folder.display().to_string();
    let inputs = [
        ("protocol_name", run.protocol_name.as_str()),
        ("number", subject.number()),
        ("slug", slug),
        ("protocol_root", folder.as_str()),
        ("base_branch", run.base_branch.as_str()),
        ("ci_target", ""),
        ("task", run.description.as_deref().unwrap_or(slug)),
        ("guidelines", ""),
    ];
    rendered(Role::ProtocolNew, &template, &inputs, "planning", &[])
}

/// Prompt that refines one step file.
pub fn decompose(
    files: &Files,
    subject: &Subject,
    plan: &str,
    filename: &str,
    content: &str,
) -> Result<Prompt, JobError> {
    let template = Template::of(files, Role::Decompose)?;
    let inputs = [
        ("protocol_name", subject.run.protocol_name.as_str()),
        ("step_name", filename),
        ("step", content),
        ("plan", plan),
        ("guidelines", ""),
    ];
    rendered(Role::Decompose, &template, &inputs, "decompose", &[])
}

/// Prompt of an execution. `stated` is the step's own prompt file, `review` what people said about the
/// work so far.
pub fn execute(
    files: &Files,
    subject: &Subject,
    step: &StepRun,
    stated: &Stated,
    review: Review,
) -> Result<Prompt, JobError> {
    let template = Template::of(files, Role::Execute)?;
    let stem = layout::step_stem(&step.step_name);
    let is_cure = step.runtime_state.qa_verdict.as_deref() == Some("fail");
    let feedback =
        if is_cure { material(files, &files.folder.join(layout::step_report(stem)))? } else { String::new() };
    let folder = files.folder.display().to_string();
    let (plan, context) =
        (protocol_file(files, layout::PLAN_FILE)?, protocol_file(files, layout::CONTEXT_FILE)?);
    let inputs = [
        ("protocol_name", subject.run.protocol_name.as_str()),
        ("protocol_root", folder.as_str()),
        ("step_name", step.step_name.as_str()),
        ("branch", subject.run.protocol_name.as_str()),
        ("step", stated.text.as_str()),
        ("plan", plan.as_str()),
        ("context", context.as_str()),
        ("guidelines", ""),
        ("feedback", feedback.as_str()),
        ("review", review.text.as_str()),
    ];
    let mut further = vec![("exec", prompt::fingerprint(stated.text.as_bytes()))];
    further.extend(review.version().map(|version| ("review", version)));
    let mut prompt = rendered(Role::Execute, &template, &inputs, "execute", &further)?;
    prompt.path.clone_from(&stated.path);
    prompt.review = review.comments;
    Ok(prompt)
}

/// What a judge is shown beside the protocol's files.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The step's own prompt file.
    pub step: String,
    /// What the step put out.
    pub outputs: String,
    /// Unified diff since the step began.
    pub diff: String,
    /// Subject of the newest commit.
    pub last_commit: String,
    /// The verdict is wanted in few words.
    pub is_brief: bool,
}

/// Prompt of a judge.
pub fn quality(
    files: &Files,
    subject: &Subject,
    step: &StepRun,
    template: &Template,
    evidence: &Evidence,
) -> Result<Prompt, JobError> {
    let plan = protocol_file(files, layout::PLAN_FILE)?;
    let context = protocol_file(files, layout::CONTEXT_FILE)?;
    let log = protocol_file(files, layout::LOG_FILE)?;
    let inputs = [
        ("protocol_name", subject.run.protocol_name.as_str()),
        ("step_name", step.step_name.as_str()),
        ("brevity", if evidence.is_brief { prompt::BREVITY_NOTE } else { "" }),
        ("step", evidence.step.as_str()),
        ("plan", plan.as_str()),
        ("context", context.as_str()),
        ("log", log.as_str()),
        ("outputs", evidence.outputs.as_str()),
        ("diff", evidence.diff.as_str()),
        ("git_status", "(clean: everything is committed)"),
        ("last_commit", evidence.last_commit.as_str()),
    ];
    rendered(Role::QualityValidator, template, &inputs, "qa", &[])
}

/// A file below the worktree as material; absent = empty, too long = said so.
pub fn material(files: &Files, relative: &Path) -> Result<String, JobError> {
    match files.read_text(relative, MATERIAL_CAP) {
        Ok(text) => Ok(text.unwrap_or_default()),
        Err(error) if error.error_type == super::files::TOO_LARGE => Ok(TOO_LONG.to_owned()),
        Err(error) => Err(error),
    }
}

fn protocol_file(files: &Files, name: &str) -> Result<String, JobError> {
    material(files, &files.folder.join(name))
}

fn rendered(
    role: Role,
    template: &Template,
    inputs: &[(&str, &str)],
    key: &str,
    further: &[(&str, String)],
) -> Result<Prompt, JobError> {
    let Rendered { text, prompt_version, template_version } =
        prompt::render(role, template.text.as_deref(), inputs)
            .map_err(|error| JobError::fail(ErrorCategory::Validation, "prompt", error.to_string()))?;
    let mut versions = Map::new();
    versions.insert(key.to_owned(), Value::from(template_version));
    for (name, version) in further {
        versions.insert((*name).to_owned(), Value::from(version.clone()));
    }
    let path = template.path.clone();
    Ok(Prompt { text, version: prompt_version, versions, path, review: Vec::new() })
}
