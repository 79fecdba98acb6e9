//! The size budget: small files, few traits, a head on every file. What grows past it is split by
//! responsibility.

use super::{Source, none, shipped, sources, workspace};

/// Longest a shipped file may be.
const LONGEST: usize = 800;
/// What nineteen files of twenty stay below.
const NEARLY_ALL: usize = 450;
/// What half of the files stay below.
const HALF: usize = 150;
/// Traits in the workspace.
const TRAITS: usize = 5;

fn lengths() -> Vec<(usize, String)> {
    let mut lengths: Vec<(usize, String)> =
        shipped().iter().map(|source| (source.shipped_lines().len(), source.path.clone())).collect();
    lengths.sort();
    lengths
}

#[test]
fn files_stay_within_the_budget() {
    let lengths = lengths();
    let at = |share: usize| &lengths[(lengths.len() * share / 100).min(lengths.len() - 1)];
    let (median, nearly_all, longest) = (at(50), at(95), &lengths[lengths.len() - 1]);
    println!(
        "{} files: median {}, p95 {} ({}), longest {} ({})",
        lengths.len(),
        median.0,
        nearly_all.0,
        nearly_all.1,
        longest.0,
        longest.1
    );
    assert!(median.0 <= HALF, "half of the files are longer than {HALF} lines (median {})", median.0);
    assert!(
        nearly_all.0 <= NEARLY_ALL,
        "p95 is {} lines ({}), budget {NEARLY_ALL}",
        nearly_all.0,
        nearly_all.1
    );
    assert!(longest.0 <= LONGEST, "{} has {} lines, budget {LONGEST}", longest.1, longest.0);
}

#[test]
fn the_heart_stays_small() {
    let mut complaints = Vec::new();
    for (file, most) in [("crates/tg-server/src/flow.rs", 150), ("crates/tg-server/src/worker.rs", 150)] {
        let found = lengths().into_iter().find(|(_, path)| path == file).expect("the file exists");
        if found.0 > most {
            complaints.push(format!("{file}: {} lines, budget {most}", found.0));
        }
    }
    none(&complaints, "the one writer and the one loop are read whole");
}

#[test]
fn every_file_says_what_it_is_for() {
    let complaints: Vec<String> = sources("crates")
        .into_iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| format!("{}: no `//!` head", source.path))
        .collect();
    none(&complaints, "every file opens with what it is for and what it must not do");
}

#[test]
fn no_file_is_named_mod() {
    let complaints: Vec<String> = sources("crates")
        .into_iter()
        .filter(|source| source.path.ends_with("/mod.rs"))
        .map(|source| source.path)
        .collect();
    none(&complaints, "`foo.rs` beside `foo/`, never `foo/mod.rs`");
}

#[test]
fn traits_stay_few() {
    let traits: Vec<String> = shipped().iter().flat_map(traits_of).collect();
    assert!(traits.len() <= TRAITS, "{} traits, budget {TRAITS}: {traits:?}", traits.len());
}

fn traits_of(source: &Source) -> Vec<String> {
    source
        .code()
        .into_iter()
        .filter(|(_, line)| {
            let line = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            line.starts_with("trait ")
        })
        .map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim()))
        .collect()
}

#[test]
fn allowances_are_reasoned() {
    let complaints: Vec<String> = shipped()
        .iter()
        .flat_map(|source| {
            source
                .code()
                .into_iter()
                .filter(|(_, line)| line.contains("#[allow(") || line.contains("#![allow("))
                .map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim()))
                .collect::<Vec<_>>()
        })
        .collect();
    none(&complaints, "`#[expect(lint, reason = ..)]` instead of `allow`");
    assert!(workspace().join("clippy.toml").exists(), "the lints that keep the rest are configured");
}
