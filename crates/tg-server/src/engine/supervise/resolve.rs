//! Finds the program of an engine and what a sandbox must show so that it runs. Starts nothing.

use std::path::{Path, PathBuf};

use super::super::{Engine, EngineFailure, FailKind};
use crate::{config::Config, process::find_program};

/// A resolved engine binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Absolute path.
    pub path: PathBuf,
    /// Paths the sandbox must show so that it runs (install root).
    pub roots: Vec<PathBuf>,
}

/// Finds the binary of an engine: setting, then PATH; never the worktree.
///
/// # Errors
/// `FailKind::NotInstalled` with what to do.
pub fn resolve(config: &Config, engine: &dyn Engine) -> Result<Program, EngineFailure> {
    let card = engine.card();
    if card.program.is_empty() {
        let mut roots = vec![config.own_binary.clone()];
        roots.extend(config.dummy_script.clone());
        return Ok(Program { path: config.own_binary.clone(), roots });
    }
    let wanted = config.engine_binaries.get(card.id);
    let name = wanted.map_or_else(|| Path::new(card.program), PathBuf::as_path);
    let found = find_program(name, &config.search_path).ok_or_else(|| {
        let place = if wanted.is_some() { "as set" } else { "on PATH" };
        EngineFailure::new(
            FailKind::NotInstalled,
            format!("{} was not found {place} ({}); {}", card.name, name.display(), card.remedy),
        )
    })?;
    let path = found.canonicalize().map_err(|error| {
        EngineFailure::new(FailKind::NotInstalled, format!("{}: {error}", found.display()))
    })?;
    if is_script(&path) {
        return Ok(native(&path).unwrap_or_else(|| launcher(path, &config.search_path)));
    }
    Ok(binary(path))
}

/// A program on its own: what lies beside it in its install folder belongs to it.
fn binary(path: PathBuf) -> Program {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let root = match (folder.file_name(), folder.parent()) {
        // `…/vendor/<target>/bin/codex` finds its helpers two levels up.
        (Some(name), Some(parent)) if name == "bin" && parent.join("codex-path").is_dir() => {
            parent.to_owned()
        }
        _ => path.clone(),
    };
    Program { roots: vec![root], path }
}

fn is_script(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 2];
    path.extension().is_some_and(|extension| extension == "js")
        || std::fs::File::open(path)
            .is_ok_and(|mut file| file.read_exact(&mut head).is_ok() && &head == b"#!")
}

/// The native program that the npm launcher `…/@openai/codex/bin/codex.js` would start; starting it
/// ourselves spares a process that forwards no kill.
fn native(script: &Path) -> Option<Program> {
    let package = script.parent()?.parent()?;
    let places = [package.to_owned(), package.join("node_modules/@openai"), package.parent()?.to_owned()];
    places.iter().find_map(|place| {
        let vendors = folders(place, "codex-linux-").into_iter().map(|folder| folder.join("vendor"));
        let vendors = vendors.chain([place.join("vendor")]);
        vendors.flat_map(|vendor| folders(&vendor, "")).find_map(|target| {
            ["bin/codex", "codex/codex"]
                .iter()
                .map(|name| target.join(name))
                .find(|path| {
                    find_program(path, "").is_some()
                        && target.to_string_lossy().contains(std::env::consts::ARCH)
                })
                .map(|path| Program { path, roots: vec![target] })
        })
    })
}

/// Folders in a folder whose names begin like this, sorted.
fn folders(place: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = place.read_dir() else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

/// A script with its package and, when it runs on node, node itself.
fn launcher(path: PathBuf, search_path: &str) -> Program {
    let is_package = path.extension().is_some_and(|extension| extension == "js");
    let package = path.ancestors().find(|folder| folder.ends_with("node_modules")).map(Path::to_owned);
    let mut roots = vec![package.filter(|_| is_package).unwrap_or_else(|| path.clone())];
    let node = find_program(Path::new("node"), search_path).and_then(|node| node.canonicalize().ok());
    roots.extend(node.filter(|_| is_package));
    Program { path, roots }
}
