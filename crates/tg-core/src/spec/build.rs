//! A spec from the step files of a protocol folder (contract §6.3).

use serde_json::Map;

use super::{DEFAULT_ENGINE, OutputsSpec, ProtocolSpec, QaSpec, StepSpec, WORK_TIMEOUT_SECONDS};
use crate::{
    layout,
    step::{QaPolicy, StepType},
};

/// What the files themselves do not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// Engine of the run; `None` = codex.
    pub engine: Option<String>,
    /// The effective policy's `defaults.qa.policy`; `None` = full.
    pub qa_policy: Option<QaPolicy>,
}

/// Version of the form that we write.
pub(super) const VERSION: &str = "1.0";

/// Longest description taken from a heading, in characters.
const DESCRIPTION_CHARACTERS: usize = 120;

/// A step file lies directly in the folder, ends in `.md` and begins with two digits.
pub fn is_step_file(filename: &str) -> bool {
    let digits = filename.as_bytes().get(..2);
    filename.strip_suffix(".md").is_some()
        && !filename.contains('/')
        && digits.is_some_and(|two| two.iter().all(u8::is_ascii_digit))
}

/// Kind of a step by its name.
pub fn step_type_of(name: &str) -> StepType {
    let name = name.to_lowercase();
    if name.starts_with("00-") || name.contains("setup") {
        StepType::Setup
    } else if name.contains("qa") {
        StepType::Qa
    } else {
        StepType::Work
    }
}

/// The spec of a folder: one entry per step file, sorted by name; other files are passed over.
pub fn from_files(files: &[(String, String)], options: &BuildOptions) -> ProtocolSpec {
    let mut files: Vec<&(String, String)> = files.iter().filter(|(name, _)| is_step_file(name)).collect();
    files.sort();
    files.dedup_by(|later, earlier| later.0 == earlier.0);
    let steps =
        (0..).zip(files).map(|(order, (name, content))| of_file(order, name, content, options)).collect();
    ProtocolSpec { version: Some(VERSION.to_owned()), steps, ..ProtocolSpec::default() }
}

fn of_file(order: i64, filename: &str, content: &str, options: &BuildOptions) -> StepSpec {
    StepSpec {
        engine_id: Some(options.engine.clone().unwrap_or_else(|| DEFAULT_ENGINE.to_owned())),
        description: first_heading(content),
        ..step(order, filename, step_type_of(filename), options)
    }
}

/// What every entry that we write says of a step of this name and kind.
pub(super) fn step(order: i64, filename: &str, kind: StepType, options: &BuildOptions) -> StepSpec {
    let stem = layout::step_stem(filename);
    let needs_no_verdict = kind == StepType::Setup || filename.to_lowercase().contains("scan");
    let qa_policy =
        if needs_no_verdict { QaPolicy::Skip } else { options.qa_policy.unwrap_or(QaPolicy::Full) };
    StepSpec {
        id: stem.to_owned(),
        name: Some(filename.to_owned()),
        step_type: Some(kind),
        prompt_ref: filename.to_owned(),
        outputs: Some(OutputsSpec {
            protocol: Some(layout::step_output(stem).to_string_lossy().into_owned()),
            ..OutputsSpec::default()
        }),
        order: Some(order),
        qa: QaSpec {
            policy: Some(qa_policy),
            prompt: Some(layout::prompt_file("quality-validator").to_string_lossy().into_owned()),
            more: Map::new(),
            ..QaSpec::default()
        },
        timeout_seconds: (kind == StepType::Work).then_some(WORK_TIMEOUT_SECONDS.cast_signed()),
        ..StepSpec::default()
    }
}

fn first_heading(content: &str) -> Option<String> {
    let line = content
        .lines()
        .find_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')))?;
    let title = line.split_whitespace().collect::<Vec<_>>().join(" ");
    (!title.is_empty()).then(|| title.chars().take(DESCRIPTION_CHARACTERS).collect())
}
