//! Prompt templates with strict placeholders, and fingerprints of every text an engine is given.
//!
//! Texts that other people wrote are fenced and labelled before they reach a template, so that no
//! template can forget to. Finding and reading the repository's own prompts is not done here.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior, syntax::SyntaxConfig};

use crate::{canonical, status::words};

#[cfg(test)]
mod tests;

words! {
    /// Roles with a bundled prompt; the word names the file `prompts/<role>.prompt.md`.
    Role {
        /// Writes a plan.
        ProtocolNew = "protocol-new",
        /// Refines a step file.
        Decompose = "decompose",
        /// Carries a step out.
        Execute = "execute",
        /// Judges a step.
        QualityValidator = "quality-validator",
    }
}

/// A value that a role's prompt is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Name of the placeholder.
    pub name: &'static str,
    /// Written by others (people, repositories, engines): fenced and labelled.
    pub is_material: bool,
}

const fn ours(name: &'static str) -> Input {
    Input { name, is_material: false }
}

const fn material(name: &'static str) -> Input {
    Input { name, is_material: true }
}

impl Role {
    /// The prompt as shipped.
    pub const fn bundled(self) -> &'static str {
        match self {
            Self::ProtocolNew => include_str!("../../../prompts/protocol-new.prompt.md"),
            Self::Decompose => include_str!("../../../prompts/decompose.prompt.md"),
            Self::Execute => include_str!("../../../prompts/execute.prompt.md"),
            Self::QualityValidator => include_str!("../../../prompts/quality-validator.prompt.md"),
        }
    }

    /// What the prompt is given; every input must be given, an empty one says nothing.
    pub const fn inputs(self) -> &'static [Input] {
        match self {
            Self::ProtocolNew => {
                const {
                    &[
                        ours("protocol_name"),
                        ours("number"),
                        ours("slug"),
                        ours("protocol_root"),
                        ours("base_branch"),
                        ours("ci_target"),
                        material("task"),
                        material("guidelines"),
                    ]
                }
            }
            Self::Decompose => {
                const {
                    &[
                        ours("protocol_name"),
                        ours("step_name"),
                        material("step"),
                        material("plan"),
                        material("guidelines"),
                    ]
                }
            }
            Self::Execute => {
                const {
                    &[
                        ours("protocol_name"),
                        ours("protocol_root"),
                        ours("step_name"),
                        ours("branch"),
                        material("step"),
                        material("plan"),
                        material("context"),
                        material("guidelines"),
                        material("feedback"),
                        material("review"),
                    ]
                }
            }
            Self::QualityValidator => {
                const {
                    &[
                        ours("protocol_name"),
                        ours("step_name"),
                        ours("brevity"),
                        material("step"),
                        material("plan"),
                        material("context"),
                        material("log"),
                        material("outputs"),
                        material("diff"),
                        material("git_status"),
                        material("last_commit"),
                    ]
                }
            }
        }
    }
}

/// Value of the `brevity` input for a light QA.
pub const BREVITY_NOTE: &str = "Be brief: judge from the material below and at most one quick check; no more than \
     15 lines before the verdict.";

/// A prompt ready for an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Fingerprint of the text (wire: `prompt_version`).
    pub prompt_version: String,
    /// Fingerprint of the template it was made from (wire: an entry of `prompt_versions`).
    pub template_version: String,
}

/// Why no prompt could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// The caller left an input out: a mistake of ours.
    #[error("the prompt {role} was not given its input {input:?}; this is a mistake in the program")]
    InputMissing {
        /// Which prompt.
        role: Role,
        /// Which input.
        input: &'static str,
    },
    /// The caller gave what the role does not know: a mistake of ours.
    #[error(
        "the prompt {role} was given {input:?}, which it does not know; this is a mistake in the program"
    )]
    InputUnknown {
        /// Which prompt.
        role: Role,
        /// Which input.
        input: String,
    },
    /// The template asks for something nobody gives.
    #[error("the prompt {role} uses {{{{ {placeholder} }}}}, which is not given; known are: {known}")]
    PlaceholderUnknown {
        /// Which prompt.
        role: Role,
        /// The name it uses.
        placeholder: String,
        /// The names it may use.
        known: String,
    },
    /// The template does not read, or costs too much.
    #[error("the prompt {role} cannot be rendered: {why}; correct prompts/{role}.prompt.md or remove it")]
    Template {
        /// Which prompt.
        role: Role,
        /// What is wrong, with the line.
        why: String,
    },
}

/// Work a template may cost; about 64 bytes of output per unit, so that no template fills the memory.
const FUEL: u64 = 400_000;

/// Makes the prompt of a role from `template` (the repository's own) or the bundled text.
///
/// An own template need not use every input: what it leaves out is appended, because an engine must
/// never be asked to work without its task.
pub fn render(role: Role, template: Option<&str>, inputs: &[(&str, &str)]) -> Result<Rendered, PromptError> {
    let values = values(role, inputs)?;
    let source = template.unwrap_or_else(|| role.bundled());
    let failed = |error: &minijinja::Error| PromptError::Template { role, why: error.to_string() };
    let environment = environment();
    let compiled = environment.template_from_str(source).map_err(|error| failed(&error))?;
    let used = compiled.undeclared_variables(false);
    if let Some(placeholder) = used.iter().filter(|name| !values.contains_key(name.as_str())).min() {
        let known: Vec<&str> = role.inputs().iter().map(|input| input.name).collect();
        let (placeholder, known) = (placeholder.clone(), known.join(", "));
        return Err(PromptError::PlaceholderUnknown { role, placeholder, known });
    }
    let mut text = compiled.render(values.clone()).map_err(|error| failed(&error))?;
    let left_out = role.inputs().iter().filter(|input| !used.contains(input.name));
    for (position, input) in left_out.filter(|input| !values[input.name].is_empty()).enumerate() {
        if position == 0 {
            text.push_str("\n\n## Inputs\n");
        }
        text.extend(["\n- ", input.name, ": ", &values[input.name], "\n"]);
    }
    let text = format!("{}\n", text.trim_end());
    Ok(Rendered {
        prompt_version: fingerprint(text.as_bytes()),
        template_version: fingerprint(source.as_bytes()),
        text,
    })
}

fn environment() -> Environment<'static> {
    // Empty: no functions, no filters, no loader; a template can place its inputs and ask whether
    // they say something.
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("only whitespace rules differ from the usual syntax"));
    environment
}

fn values(role: Role, inputs: &[(&str, &str)]) -> Result<BTreeMap<&'static str, String>, PromptError> {
    let declared = role.inputs();
    if let Some((name, _)) = inputs.iter().find(|(name, _)| !declared.iter().any(|input| input.name == *name))
    {
        return Err(PromptError::InputUnknown { role, input: (*name).to_owned() });
    }
    let value = |input: &Input| match inputs.iter().find(|(name, _)| *name == input.name) {
        None => Err(PromptError::InputMissing { role, input: input.name }),
        Some((_, text)) if input.is_material => Ok((input.name, fenced(input.name, text))),
        Some((_, text)) => Ok((input.name, (*text).to_owned())),
    };
    declared.iter().map(value).collect()
}

/// Puts text of others between labelled marks that it cannot close itself; blank text stays blank.
pub fn fenced(label: &str, text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    let text = text.replace('\0', "\u{fffd}");
    let mut mark = fingerprint(text.as_bytes());
    while text.contains(&mark) {
        mark = fingerprint(mark.as_bytes());
    }
    format!("<<<BEGIN {label} {mark}>>>\n{}\n<<<END {label} {mark}>>>", text.trim_end())
}

/// Version of a file that is not there.
pub const MISSING: &str = "missing";
/// Version of a text without a path.
pub const UNKNOWN: &str = "unknown";

/// First 12 hex characters of SHA-256 of the bytes.
pub fn fingerprint(bytes: &[u8]) -> String {
    canonical::short_hash(bytes)
}

/// What is known of a prompt's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// A file and its bytes.
    File(&'a [u8]),
    /// A file that is not there.
    Absent,
    /// No path at all.
    NoPath,
}

/// Version of a prompt's source: fingerprint, `missing` or `unknown`.
pub fn version(source: Source<'_>) -> String {
    match source {
        Source::File(bytes) => fingerprint(bytes),
        Source::Absent => MISSING.to_owned(),
        Source::NoPath => UNKNOWN.to_owned(),
    }
}
