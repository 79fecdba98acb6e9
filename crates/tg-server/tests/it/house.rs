//! Rules of the house that the compiler cannot keep: floors, sizes, words. Reads the source tree as
//! text; every failure names the file and the line.

mod floors;
mod modules;
mod size;
mod vocabulary;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A source file: path below the workspace and text.
pub struct Source {
    /// Path below the workspace, with `/`.
    pub path: String,
    /// Text as it is on disk.
    pub text: String,
}

impl Source {
    /// Lines that ship: without the test module at the end of the file.
    pub fn shipped_lines(&self) -> Vec<&str> {
        let lines: Vec<&str> = self.text.lines().collect();
        let end = lines
            .windows(2)
            .position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod "))
            .unwrap_or(lines.len());
        lines[..end].to_vec()
    }

    /// Shipped code: line number and line, comments cut off.
    pub fn code(&self) -> Vec<(usize, &str)> {
        self.shipped_lines()
            .into_iter()
            .enumerate()
            .map(|(at, line)| (at + 1, without_comment(line)))
            .collect()
    }

    /// Only tests live here.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

/// Cuts a `//` comment off, if it does not start inside a string.
fn without_comment(line: &str) -> &str {
    let mut in_string = false;
    let mut previous = ' ';
    for (at, letter) in line.char_indices() {
        match letter {
            '"' if previous != '\\' => in_string = !in_string,
            '/' if !in_string && line[at..].starts_with("//") => return &line[..at],
            _ => {}
        }
        previous = letter;
    }
    line
}

/// Root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace exists")
}

/// Every Rust file below `directory` of the workspace, sorted.
pub fn sources(directory: &str) -> Vec<Source> {
    let root = workspace();
    let mut found = Vec::new();
    let mut open = vec![root.join(directory)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("the source folder is readable") {
            let path = entry.expect("the entry is readable").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("source is UTF-8");
                let path = path.strip_prefix(&root).expect("it lies below the workspace");
                found.push(Source { path: path.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no source below {directory}");
    found
}

/// Shipped files of all three crates.
pub fn shipped() -> Vec<Source> {
    ["crates/tg-core/src", "crates/tg-server/src", "crates/tasksgodzilla/src"]
        .into_iter()
        .flat_map(sources)
        .filter(|source| !source.is_test())
        .collect()
}

/// Fails with every complaint, one a line.
pub fn none(complaints: &[String], rule: &str) {
    assert!(complaints.is_empty(), "{rule}\n  {}", complaints.join("\n  "));
}
