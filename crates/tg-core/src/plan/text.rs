//! Rules for the Markdown files of a protocol: simple steps, required headings, `context.md`, `log.md`.

use std::collections::BTreeSet;

use crate::{
    plain::one_line,
    wire::{CivilTime, civil},
};

/// The text inside a code fence that surrounds the whole of it; otherwise the text, trimmed.
pub fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let Some(opened) = text.strip_prefix("```") else { return text };
    let Some((_, body)) = opened.split_once('\n') else { return text };
    match body.strip_suffix("```") {
        // A fence inside means that the outer marks do not belong together.
        Some(inner) if !inner.lines().any(|line| line.starts_with("```")) => inner.trim(),
        Some(_) | None => text,
    }
}

/// Content of a step file out of a decomposition answer; `None` = empty, keep the original.
pub fn decomposed(answer: &str) -> Option<String> {
    let content = without_fence(answer);
    (!content.is_empty()).then(|| format!("{content}\n"))
}

/// A step small enough to be executed as it is: at most 1200 characters, 12 non-blank lines and
/// 6 bullets.
pub fn is_simple(content: &str) -> bool {
    let lines = || content.lines().map(str::trim).filter(|line| !line.is_empty());
    content.chars().count() <= 1200
        && lines().count() <= 12
        && lines().filter(|line| is_bullet(line)).count() <= 6
}

fn is_bullet(line: &str) -> bool {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let after = &line[digits..];
    matches!(
        (digits, after.as_bytes()),
        (0, [b'-' | b'*' | b'+', b' ' | b'\t', ..]) | (1.., [b'.' | b')', b' ' | b'\t', ..])
    )
}

/// A line of one to six `#`, a space and exactly the section text, in any case.
pub fn has_section(content: &str, section: &str) -> bool {
    let wanted = one_line(section).to_lowercase();
    content.lines().any(|line| {
        let line = line.trim_end();
        let marks = line.bytes().take_while(|byte| *byte == b'#').count();
        (1..=6).contains(&marks)
            && line[marks..].strip_prefix(' ').is_some_and(|title| one_line(title).to_lowercase() == wanted)
    })
}

/// The content with every missing section appended; `None` = nothing was missing.
pub fn with_sections(content: &str, required: &[String]) -> Option<String> {
    let mut seen = BTreeSet::new();
    let missing: Vec<&str> = required
        .iter()
        .map(|section| section.trim())
        .filter(|section| !section.is_empty() && !has_section(content, section))
        .filter(|section| seen.insert(section.to_lowercase()))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let mut out = content.trim_end().to_owned();
    for section in missing {
        let section = one_line(section);
        if !out.is_empty() {
            out.push_str("\n\n");
        }
        out.push_str("## ");
        out.push_str(&section);
        out.push_str("\n- TBD");
    }
    out.push('\n');
    Some(out)
}

/// `context.md` with its "Current Step" replaced in place, whatever marks the line carries; a
/// context without one gets it as a bullet at the end.
pub fn with_current_step(context: &str, step: &str) -> String {
    let step = one_line(step);
    let mut out = String::with_capacity(context.len() + step.len());
    let mut is_found = false;
    for line in context.split_inclusive('\n') {
        let body = line.trim_end_matches(['\n', '\r']);
        match current_step_label(body) {
            Some(label) if !is_found => {
                is_found = true;
                out.push_str(label);
                out.push(' ');
                out.push_str(&step);
                out.push_str(&line[body.len()..]);
            }
            Some(_) | None => out.push_str(line),
        }
    }
    if !is_found {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str("- Current Step: ");
        out.push_str(&step);
        out.push('\n');
    }
    out
}

/// The part of a "Current Step" line up to and including its colon and closing emphasis.
fn current_step_label(line: &str) -> Option<&str> {
    const LABEL: &str = "current step";
    let start = line.find(|mark: char| !matches!(mark, ' ' | '\t' | '-' | '*' | '+' | '_' | '`'))?;
    let after = line.get(start..start + LABEL.len()).filter(|word| word.eq_ignore_ascii_case(LABEL));
    after?;
    let rest = &line[start + LABEL.len()..];
    let marks = |text: &str| text.len() - text.trim_start_matches(['*', '_', '`', ' ']).len();
    let before_colon = marks(rest);
    let value = rest[before_colon..].strip_prefix(':')?;
    let closing = value.len() - value.trim_start_matches(['*', '_', '`']).len();
    Some(&line[..line.len() - value.len() + closing])
}

/// A line of `log.md`: `- YYYY-MM-DD HH:MM:SS UTC - <message>`, line end included. The time is in
/// milliseconds since the epoch.
pub fn log_line(ms: i64, message: &str) -> String {
    let CivilTime { year, month, day, hour, minute, second, .. } = civil(ms);
    let message = one_line(message);
    format!("- {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC - {message}\n")
}
