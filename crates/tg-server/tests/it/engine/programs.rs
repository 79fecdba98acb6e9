//! Which program an engine is, and what the sandbox must show of it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use tg_server::engine::{FailKind, Role, find, supervise::resolve};

use super::fixture::{Fixture, SHIM};

fn program(path: &Path, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.canonicalize().unwrap()
}

#[test]
fn an_absent_program_is_told_with_its_remedy() {
    let mut fixture = Fixture::new(Role::Plan, "ok");
    let codex = find("codex").unwrap();
    fixture.config.search_path = "/nowhere".to_owned();
    let failure = resolve(&fixture.config, codex).unwrap_err();
    assert_eq!(failure.kind, FailKind::NotInstalled);
    assert!(
        failure.message.contains("on PATH") && failure.message.contains("npm install"),
        "{}",
        failure.message
    );
    fixture.config.engine_binaries.insert("codex".to_owned(), "/nowhere/codex".into());
    let failure = resolve(&fixture.config, codex).unwrap_err();
    assert!(failure.message.contains("/nowhere/codex"), "{}", failure.message);
}

#[test]
fn a_relative_entry_of_the_search_path_is_skipped() {
    let mut fixture = Fixture::new(Role::Plan, "ok");
    let own = program(&fixture.root().join("bin/codex"), "no script");
    let codex = find("codex").unwrap();
    fixture.config.search_path = format!(".:bin:{}", own.parent().unwrap().display());
    assert_eq!(resolve(&fixture.config, codex).unwrap().path, own);
    fixture.config.search_path = ".:bin".to_owned();
    assert!(resolve(&fixture.config, codex).is_err());
}

#[test]
fn the_native_program_is_taken_from_behind_its_launcher() {
    let mut fixture = Fixture::new(Role::Plan, "ok");
    let modules = fixture.root().join("node_modules");
    let launcher = program(&modules.join("@openai/codex/bin/codex.js"), "#!/usr/bin/env node\n");
    fs::create_dir_all(modules.join(".bin")).unwrap();
    symlink(&launcher, modules.join(".bin/codex")).unwrap();
    fixture.config.engine_binaries.insert("codex".to_owned(), modules.join(".bin/codex"));
    let codex = find("codex").unwrap();

    let found = resolve(&fixture.config, codex).unwrap();
    assert_eq!(found.path, launcher);
    assert_eq!(found.roots[0], modules.canonicalize().unwrap());

    let target =
        modules.join(format!("@openai/codex-linux-x64/vendor/{}-unknown-linux-musl", std::env::consts::ARCH));
    let native = program(&target.join("bin/codex"), "machine code");
    let found = resolve(&fixture.config, codex).unwrap();
    assert_eq!(found.path, native);
    assert_eq!(found.roots, [target.canonicalize().unwrap()]);
}

#[test]
fn the_scripted_engine_is_our_own_binary() {
    let mut fixture = Fixture::new(Role::Plan, "ok");
    fixture.config.dummy_script = Some("/script.json".into());
    let found = resolve(&fixture.config, find("dummy").unwrap()).unwrap();
    assert_eq!(found.path, Path::new(SHIM));
    assert_eq!(found.roots, [PathBuf::from(SHIM), PathBuf::from("/script.json")]);
}
