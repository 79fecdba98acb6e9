//! No test module is forgotten: every file of a `tests/it` folder is named in its parent.

use super::{none, sources, workspace};

#[test]
fn every_test_file_is_a_module() {
    let mut complaints = Vec::new();
    for folder in ["crates/tg-core/tests/it", "crates/tg-server/tests/it", "crates/tasksgodzilla/tests/it"] {
        if !workspace().join(folder).exists() {
            continue;
        }
        let files = sources(folder);
        for file in &files {
            let name = &file.path[folder.len() + 1..];
            if name == "main.rs" {
                continue;
            }
            let (parent, module) = match name.trim_end_matches(".rs").rsplit_once('/') {
                Some((parent, module)) => (format!("{folder}/{parent}.rs"), module.to_owned()),
                None => (format!("{folder}/main.rs"), name.trim_end_matches(".rs").to_owned()),
            };
            let named = files.iter().any(|other| {
                other.path == parent
                    && other.text.lines().any(|line| {
                        let line = line.trim().trim_start_matches("pub ");
                        line == format!("mod {module};")
                    })
            });
            if !named {
                complaints.push(format!("{}: not a `mod` of {parent}", file.path));
            }
        }
    }
    none(&complaints, "a test file that no module names never runs");
}
