//! Codex CLI: command line and choice of reader. Pure.
//!
//! Works with 0.65 and later: only flags that stayed are used, and the prompt always goes through
//! standard input.

mod read;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use self::read::CodexReader;
use super::{Card, CommandLine, Engine, Reader, Request};

/// The codex adapter.
pub struct Codex;

static CARD: Card = Card {
    id: "codex",
    name: "Codex CLI",
    kind: "cli",
    program: "codex",
    default_model: None,
    remedy: "install it with `npm install -g @openai/codex` or set TASKSGODZILLA_CODEX_BIN; then set CODEX_API_KEY, or share a login with TASKSGODZILLA_CODEX_LOGIN",
};

/// Its own state: below the engine's home, or the login a person shares.
fn codex_home(request: &Request) -> PathBuf {
    request.login.clone().unwrap_or_else(|| request.home.join("codex"))
}

impl Engine for Codex {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn command(&self, program: &Path, request: &Request) -> CommandLine {
        let access = if request.role.writes() { "workspace-write" } else { "read-only" };
        let mut line = Arguments::default();
        line.words(&["exec"]);
        if request.resume.is_some() {
            // Neither -s nor -C is known here: the process's own directory counts.
            line.words(&["resume", "--json"]);
            line.pair("-c", format!("sandbox_mode={access}"));
        } else {
            line.words(&["--json", "-s", access]);
            line.pair("-C", &request.directory);
        }
        if let Some(model) = &request.model {
            line.pair("-m", model);
        }
        line.words(&["--skip-git-repo-check", "--ignore-user-config"]);
        line.words(&["-c", "analytics.enabled=false", "--disable", "plugins"]);
        // What a tool writes outside the worktree would be lost with the private /tmp anyway.
        line.words(&["-c", "sandbox_workspace_write.exclude_slash_tmp=true"]);
        line.words(&["-c", "sandbox_workspace_write.exclude_tmpdir_env_var=true"]);
        // A file makes the folder: codex refuses a home that does not exist.
        let mut files = Vec::new();
        if request.login.is_none() {
            files.push((codex_home(request).join(".tasksgodzilla"), Vec::new()));
        }
        if let Some(schema) = &request.schema {
            line.pair("--output-schema", request.schema_file());
            files.push((request.schema_file(), schema.to_string().into_bytes()));
        }
        line.pair("-o", request.last_message());
        line.0.extend(request.arguments.iter().map(OsString::from));
        if let Some(session) = &request.resume {
            line.words(&[&session.id]);
        }
        line.words(&["-"]);
        let mut environment = request.environment.clone();
        environment.push((
            "CODEX_HOME".to_owned(),
            crate::secret::Secret::new(codex_home(request).display().to_string()),
        ));
        CommandLine { program: program.to_owned(), arguments: line.0, environment, files }
    }

    fn reader(&self, request: &Request) -> Box<dyn Reader> {
        Box::new(CodexReader::new(request.resume.as_ref().map(|session| session.prior)))
    }
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(OsString::from));
    }

    fn pair(&mut self, flag: &str, value: impl Into<OsString>) {
        self.0.push(flag.into());
        self.0.push(value.into());
    }
}
