//! Words: the event and job catalogues are the only source of their wire words, and names that say
//! nothing stay out of the tree.

use std::{fs, process::Command};

use tg_core::{
    event::EventKind,
    ids::{RunId, StepId},
    job::Job,
};

use super::{none, shipped, workspace};

/// Parts of a name that say nothing about what the thing does.
const EMPTY_PREFIXES: [&str; 3] = ["handle_", "process_", "do_"];
/// Words for a module or type that collects what has no place.
const EMPTY_WORDS: [&str; 7] = ["manager", "service", "util", "utils", "common", "misc", "helpers"];

#[test]
fn functions_and_modules_are_named_for_what_they_do() {
    let mut complaints = Vec::new();
    for source in shipped() {
        for (number, line) in source.code() {
            let words: Vec<&str> = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
            for pair in words.windows(2) {
                let (kind, name) = (pair[0], pair[1]);
                let empty = match kind {
                    "fn" => EMPTY_PREFIXES.iter().any(|prefix| name.starts_with(prefix)),
                    "mod" | "struct" | "enum" | "trait" => {
                        let name = name.to_lowercase();
                        EMPTY_WORDS.iter().any(|word| name.ends_with(word))
                    }
                    _ => false,
                };
                if empty {
                    complaints.push(format!("{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
        let stem = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if EMPTY_WORDS.contains(&stem) {
            complaints.push(format!("{}: a file named for nothing", source.path));
        }
    }
    none(&complaints, "names say what a thing does, in full words");
}

#[test]
fn every_event_kind_is_documented() {
    let page = fs::read_to_string(workspace().join("docs/events.md"))
        .expect("docs/events.md is there: run `make bless`");
    let complaints: Vec<String> = EventKind::ALL
        .iter()
        .filter(|kind| !page.contains(&format!("`{}`", kind.as_str())))
        .map(|kind| format!("{} is not in docs/events.md", kind.as_str()))
        .collect();
    none(&complaints, "the event page holds every kind");
}

#[test]
fn event_words_are_written_in_one_place() {
    let mut complaints = Vec::new();
    for source in shipped().iter().filter(|source| !source.path.starts_with("crates/tg-core/")) {
        for (number, line) in source.code() {
            for kind in EventKind::ALL.iter().filter(|kind| is_an_event_word_only(kind.as_str())) {
                if line.contains(&format!("\"{}\"", kind.as_str())) {
                    complaints.push(format!("{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
    }
    none(&complaints, "an event is named by its variant, never by its word");
}

/// Short words are also statuses; an event word proper ends with what happened.
fn is_an_event_word_only(word: &str) -> bool {
    ["_enqueued", "_started", "_completed", "_created", "_updated", "_reset"]
        .iter()
        .any(|end| word.ends_with(end))
}

#[test]
fn job_words_are_written_in_one_place() {
    let run = RunId(1);
    let step = StepId(1);
    let jobs = [
        Job::PlanProtocol { protocol_run_id: run },
        Job::ExecuteStep { step_run_id: step },
        Job::CheckQuality { step_run_id: step },
        Job::OpenPullRequest { protocol_run_id: run },
        Job::Maintenance,
    ];
    let mut complaints = Vec::new();
    for job in &jobs {
        let kind = job.kind();
        assert!(kind.ends_with("_job"), "{kind} is a wire kind");
        let wire = serde_json::to_value(job).expect("a job is JSON");
        assert_eq!(wire["job_type"], kind, "the tag on the wire is the kind");
        for source in shipped().iter().filter(|source| source.path != "crates/tg-core/src/job.rs") {
            for (number, line) in source.code() {
                if line.contains(&format!("\"{kind}\"")) {
                    complaints.push(format!("{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
    }
    none(&complaints, "a job is named by its variant, never by its word");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "only git knows which files belong to the tree")]
fn the_tree_holds_no_left_over_marks() {
    // Put together here, so that this file does not hold them.
    let marks: Vec<String> =
        [("TO", "DO"), ("FIX", "ME"), ("XX", "X:"), ("/root/.c", "a"), ("/wo", "rk/"), ("<<<<", "<<<")]
            .iter()
            .map(|(a, b)| format!("{a}{b}"))
            .collect();
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(workspace()).output();
    let Ok(listed) = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()) else {
        panic!("git is needed to list the tree")
    };
    let mut complaints = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty() && *path != "Cargo.lock") {
        let Ok(text) = fs::read_to_string(workspace().join(path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for mark in marks.iter().filter(|mark| line.contains(mark.as_str())) {
                complaints.push(format!("{path}:{}: `{mark}`: {}", number + 1, line.trim()));
            }
        }
    }
    none(&complaints, "unfinished marks and paths of one machine stay out of the tree");
}
