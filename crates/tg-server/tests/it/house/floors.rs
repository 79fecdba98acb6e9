//! Who may import whom inside `tg-server`: a module sees its own floor's rules and the floors below.

use super::{Source, none, sources};

/// Floor of a module, from the ground; `None` for a module nobody has placed yet.
fn floor(module: &str) -> Option<u8> {
    Some(match module {
        "app" | "config" | "credential" | "db" | "failpoint" | "feed" | "log" | "metrics" | "paths"
        | "process" | "redact" | "seal" | "secret" | "trace" | "wake" => 1,
        "store" | "queue" | "engine" | "git" => 2,
        "flow" | "jobs" => 3,
        "api" | "worker" => 4,
        _ => return None,
    })
}

/// May `from` import `to`?
fn may_import(from: &str, to: &str) -> Result<(), String> {
    let low = floor(from).ok_or_else(|| format!("module `{from}` has no floor: place it in this test"))?;
    let high = floor(to).ok_or_else(|| format!("`crate::{to}` has no floor: place it in this test"))?;
    let same_side = from == to || (low == 1 && high == 1);
    // Rows and jobs commit together and share the transaction type: one adapter in two files.
    let twins = matches!((from, to), ("store", "queue") | ("queue", "store"));
    if from == "api" && matches!(to, "engine" | "git") {
        return Err("a door never starts an engine or git".to_owned());
    }
    // `App` carries what the probe of the sandbox found at the start; it calls no adapter.
    let carried = from == "app" && to == "engine";
    if same_side || twins || carried || high < low {
        return Ok(());
    }
    Err(format!("`{from}` (floor {low}) must not import `{to}` (floor {high})"))
}

/// Module path of a file below `crates/tg-server/src`.
fn module_path(source: &Source) -> Vec<String> {
    let below = source.path.trim_start_matches("crates/tg-server/src/").trim_end_matches(".rs");
    below.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
}

/// Modules of the crate root that a line of code names, by `crate::` or by enough `super::`.
/// `group` says that a `use crate::{` is open and how deep.
fn named_modules(line: &str, depth: usize, group: &mut usize) -> Vec<String> {
    let mut found = Vec::new();
    let root = "crate::".to_owned();
    let above = "super::".repeat(depth);
    let mut rest = line;
    if *group > 0 {
        rest = read_group(line, group, &mut found);
    }
    while let Some((at, length)) = next_path(rest, &root, &above) {
        let tail = &rest[at + length..];
        if let Some(inside) = tail.strip_prefix('{') {
            *group = 1;
            rest = read_group(inside, group, &mut found);
        } else {
            let name = identifier(tail);
            found.push(name.to_owned());
            rest = &tail[name.len()..];
        }
    }
    found.retain(|name| name.chars().next().is_some_and(char::is_lowercase));
    found
}

/// Where the next path from the crate root begins and how long its lead is.
fn next_path(text: &str, root: &str, above: &str) -> Option<(usize, usize)> {
    let free =
        |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
    let by_root = text.match_indices(root).find(|(at, _)| free(*at)).map(|(at, _)| (at, root.len()));
    let by_super = (!above.is_empty())
        .then(|| text.match_indices(above).find(|(at, _)| free(*at)).map(|(at, _)| (at, above.len())))
        .flatten();
    match (by_root, by_super) {
        (Some(a), Some(b)) => Some(if a.0 < b.0 { a } else { b }),
        (a, b) => a.or(b),
    }
}

/// Reads the first-level names of a `{…}` group; returns what follows its end.
fn read_group<'a>(text: &'a str, depth: &mut usize, found: &mut Vec<String>) -> &'a str {
    let mut fresh = true;
    let mut skip = 0;
    for (at, letter) in text.char_indices() {
        if at < skip {
            continue;
        }
        match letter {
            '{' => *depth += 1,
            '}' => {
                *depth -= 1;
                if *depth == 0 {
                    return &text[at + 1..];
                }
            }
            ',' => fresh = true,
            _ if letter.is_whitespace() => {}
            _ => {
                if *depth == 1 && fresh {
                    let name = identifier(&text[at..]);
                    skip = at + name.len();
                    found.push(name.to_owned());
                }
                fresh = false;
            }
        }
    }
    ""
}

/// Leading identifier.
fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

fn complaints_of(source: &Source) -> Vec<String> {
    let path = module_path(source);
    let Some(from) = path.first().cloned() else { return Vec::new() };
    let mut group = 0;
    let mut complaints = Vec::new();
    for (number, line) in source.code() {
        for to in named_modules(line, path.len(), &mut group) {
            if let Err(why) = may_import(&from, &to) {
                complaints.push(format!("{}:{number}: {why}: {}", source.path, line.trim()));
            }
        }
    }
    complaints
}

#[test]
fn no_module_imports_a_floor_above_or_beside_it() {
    let complaints: Vec<String> = sources("crates/tg-server/src")
        .iter()
        .filter(|source| !source.is_test())
        .filter(|source| !source.path.contains("/src/testing"))
        .filter(|source| !source.path.ends_with("/lib.rs"))
        .flat_map(complaints_of)
        .collect();
    none(&complaints, "floors: doors > use > adapters > base; see ARCHITECTURE.md");
}

#[test]
fn the_core_touches_nothing_outside() {
    let outside = [
        "std::fs",
        "std::net",
        "std::process",
        "std::env",
        "SystemTime",
        "Instant::now",
        "tokio",
        "async fn",
    ];
    let mut complaints = Vec::new();
    for source in sources("crates/tg-core/src").iter().filter(|source| !source.is_test()) {
        for (number, line) in source.code() {
            for word in outside.iter().filter(|word| line.contains(**word)) {
                complaints.push(format!("{}:{number}: `{word}`: {}", source.path, line.trim()));
            }
        }
    }
    none(&complaints, "tg-core has no I/O, no clock, no async");
}

#[test]
fn the_reader_finds_every_form_of_import() {
    let found = |text: &str, path: &str| {
        let source = Source { path: format!("crates/tg-server/src/{path}"), text: text.to_owned() };
        complaints_of(&source).len()
    };
    assert_eq!(found("use crate::flow::advance;", "jobs/gate.rs"), 1, "plain");
    assert_eq!(found("use crate::{db::Tx, store, flow::{self, advance}};", "jobs.rs"), 1, "group in a line");
    assert_eq!(
        found("use crate::{\n    db::Tx,\n    engine::{\n        Role, store,\n    },\n};", "store.rs"),
        1,
        "group"
    );
    assert_eq!(found("let x = super::super::worker::run();", "jobs/gate.rs"), 1, "by super");
    assert_eq!(found("let x = super::helper();", "jobs/gate.rs"), 0, "a sibling is no import");
    assert_eq!(found("// crate::worker", "jobs/gate.rs"), 0, "a comment is no import");
    assert_eq!(found("use crate::queue;", "store/call.rs"), 0, "twins");
    assert_eq!(found("use crate::git;", "engine.rs"), 1, "adapters never import each other");
    assert_eq!(found("use crate::engine;", "api.rs"), 1, "a door starts no engine");
    assert_eq!(found("use crate::testing;", "jobs.rs"), 1, "test support does not ship");
}
