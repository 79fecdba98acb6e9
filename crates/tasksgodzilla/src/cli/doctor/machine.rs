//! Looks at the machine: git, sandbox, state directory, disk, database.

use std::path::{Path, PathBuf};

use tg_server::{
    api::health::{DISK_LEAST, free_bytes},
    config::Config,
    engine::sandbox::{self, Sandbox},
    git,
};

use super::{Check, State, engines::split};
use crate::start;

/// All checks of the machine.
pub async fn look(config: &Config) -> Vec<Check> {
    let mut checks = vec![git_version(config).await, sandboxed(config).await];
    checks.push(user_namespaces());
    checks.push(state_directory(config));
    checks.push(disk(&config.home.root));
    checks.push(database(config).await);
    checks
}

async fn git_version(config: &Config) -> Check {
    let (major, minor) = git::MINIMUM_VERSION;
    match git::version(Path::new("git"), &config.git_environment).await {
        Ok(version) => Check::ok("git", version),
        Err(error) => Check::not_ok(
            "git",
            State::Fail,
            error.to_string(),
            format!("install git {major}.{minor} or newer and put it on PATH"),
        ),
    }
}

async fn sandboxed(config: &Config) -> Check {
    let remedy = "install bubblewrap (bwrap) and allow user namespaces; until then only the dummy engine runs, \
                  or others unconfined with --sandbox off";
    if config.sandbox_off {
        return Check::not_ok(
            "sandbox",
            State::Warn,
            "switched off by TASKSGODZILLA_SANDBOX: engines run UNCONFINED",
            "unset TASKSGODZILLA_SANDBOX",
        );
    }
    match sandbox::probe(&config.search_path).await {
        Sandbox::Bwrap(path) => Check::ok("sandbox", format!("bubblewrap at {} works", path.display())),
        Sandbox::Unavailable(why) => Check::not_ok("sandbox", State::Fail, split(&why).0, remedy),
    }
}

/// The kernel's own word; the sandbox check is the one that counts.
fn user_namespaces() -> Check {
    let switches = [
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
    ];
    let off = switches
        .iter()
        .find(|(path, bad)| std::fs::read_to_string(path).is_ok_and(|value| value.trim() == *bad));
    match off {
        None => Check::ok("user namespaces", "not restricted by the kernel"),
        Some((path, value)) => Check::not_ok(
            "user namespaces",
            State::Warn,
            format!("{path} is {value}"),
            format!("change it with sysctl ({path}) if the sandbox check fails"),
        ),
    }
}

fn state_directory(config: &Config) -> Check {
    let root = &config.home.root;
    let name = "state directory";
    if let Err(error) = start::private_directory(root) {
        let remedy = error.hint.unwrap_or_default();
        return Check::not_ok(name, State::Fail, error.error, remedy);
    }
    let probe = root.join(format!(".doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe));
    if let Err(error) = written {
        return Check::not_ok(
            name,
            State::Fail,
            format!("{} cannot be written: {error}", root.display()),
            "change its owner or rights, or name another with --home",
        );
    }
    if root.starts_with(std::env::temp_dir()) {
        return Check::not_ok(
            name,
            State::Warn,
            format!("{} lies below the temporary directory", root.display()),
            "codex cannot work from there; name another with --home",
        );
    }
    Check::ok(name, root.display().to_string())
}

fn disk(root: &Path) -> Check {
    // The state directory may not be there yet; then the nearest one above it counts.
    let mut place: PathBuf = root.to_owned();
    while !place.exists() && place.pop() {}
    let free = free_bytes(&place);
    let words = format!("{} MiB free", free / (1024 * 1024));
    if free < DISK_LEAST {
        return Check::not_ok("disk", State::Fail, words, "free some space or name another --home");
    }
    Check::ok("disk", words)
}

async fn database(config: &Config) -> Check {
    match start::database(config).await {
        Ok(_) => Check::ok("database", "opens, schema is current"),
        Err(error) => Check::not_ok("database", State::Fail, error.error, error.hint.unwrap_or_default()),
    }
}
