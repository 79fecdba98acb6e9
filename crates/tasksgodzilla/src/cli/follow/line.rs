//! The refreshed line of a run at work: step, engine, elapsed time, last line of the engine.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

use serde_json::Value;
use tg_core::{
    layout::Home,
    protocol::{ProtocolRun, StepRun},
    step::StepStatus,
};
use tg_server::store::call::Call;

/// Bytes looked at at the end of a log.
const TAIL: u64 = 16 * 1024;

/// Makes the line.
#[derive(Debug)]
pub struct StatusLine {
    home: Home,
}

impl StatusLine {
    /// For the logs of this state directory.
    pub const fn new(home: Home) -> Self {
        Self { home }
    }

    /// The line as it is now; not yet cleaned for a terminal.
    pub fn text(&self, run: &ProtocolRun, steps: &[StepRun], call: Option<&Call>, since: Duration) -> String {
        let place = steps
            .iter()
            .position(|step| matches!(step.status, StepStatus::Running | StepStatus::NeedsQa))
            .map_or_else(
                || run.status.to_string(),
                |index| format!("step {}/{} {}", index + 1, steps.len(), steps[index].step_name),
            );
        let mut parts = vec![elapsed(since), place];
        if let Some(call) = call {
            let param = |key: &str| Some(call.params.as_ref()?.get(key)?.as_str()?.to_owned());
            let kind = call.run_kind.as_deref().unwrap_or(&call.job_type);
            let engine = param("engine_id").map_or_else(String::new, |engine| format!("{engine} "));
            parts.push(format!("{engine}{kind}"));
            parts.extend(last_line(&self.home.call_log(&call.id)));
        }
        parts.join(" · ")
    }
}

/// Minutes and seconds, hours where there are some.
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// The last line of a log that says something; a log that cannot be read yet says nothing.
fn last_line(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rev().map(readable).find(|line| !line.is_empty())
}

/// What a person wants to read of a line: of a JSON object its text, command or kind.
fn readable(line: &str) -> String {
    let line = line.trim();
    let Ok(Value::Object(object)) = serde_json::from_str(line) else {
        return line.to_owned();
    };
    let inner = object.get("item").and_then(Value::as_object).unwrap_or(&object);
    ["text", "command", "message", "final", "say", "type"]
        .iter()
        .find_map(|key| inner.get(*key).and_then(Value::as_str))
        .map(|text| text.lines().last().unwrap_or_default().trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_a_clock() {
        for (seconds, text) in [(0, "0:00"), (61, "1:01"), (3723, "1:02:03")] {
            assert_eq!(elapsed(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_line_shows_what_the_engine_says() {
        assert_eq!(
            readable(r#"{"type":"item.completed","item":{"type":"agent_message","text":"a\nb"}}"#),
            "b"
        );
        assert_eq!(readable(r#"{"type":"item.started","item":{"command":"ls","type":"x"}}"#), "ls");
        assert_eq!(readable(r#"{"type":"turn.started"}"#), "turn.started");
        assert_eq!(readable("  plain  "), "plain");
        assert_eq!(readable("{}"), "");
    }

    #[test]
    fn the_last_line_of_a_long_log_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs.txt");
        std::fs::write(&log, format!("{}\nlast\n\n", "x".repeat(100_000))).unwrap();
        assert_eq!(last_line(&log).as_deref(), Some("last"));
        assert_eq!(last_line(&folder.path().join("absent")), None);
    }
}
