//! What a test needs and this machine may lack: a Postgres, a sandbox, an agent command line. A plain
//! `cargo test` skips loudly; `make test` names what must be there in `TASKSGODZILLA_TEST_REQUIRE`.

use std::path::PathBuf;

/// A variable that only tests read.
#[expect(clippy::disallowed_methods, reason = "settings of tests are none of the product")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Says that a test is skipped because `what` is absent.
///
/// # Panics
/// When `TASKSGODZILLA_TEST_REQUIRE` names `what`: there, absence is a failure.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn skip(what: &str, why: &str) {
    let required = variable("TASKSGODZILLA_TEST_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|word| word.trim() == what);
    assert!(!is_required, "{what} is required here and absent: {why}");
    eprintln!("SKIPPED: no {what}: {why}");
}

/// The real Codex to test with, if there is one; else the test is skipped or fails, see [`skip`].
pub fn codex() -> Option<PathBuf> {
    let binary = variable("TASKSGODZILLA_TEST_CODEX_BIN").map(PathBuf::from);
    match binary {
        Some(path) if path.is_file() => Some(path),
        Some(path) => {
            skip(
                "codex",
                &format!("TASKSGODZILLA_TEST_CODEX_BIN names {}, which is no file", path.display()),
            );
            None
        }
        None => {
            skip("codex", "set TASKSGODZILLA_TEST_CODEX_BIN, or use `make test`");
            None
        }
    }
}

/// The program that makes requests from an API's document, if there is one; else as [`skip`] says.
pub fn schemathesis() -> Option<PathBuf> {
    let program = variable("TASKSGODZILLA_TEST_SCHEMATHESIS").map(PathBuf::from);
    if program.as_ref().is_none_or(|path| !path.is_file()) {
        skip("schemathesis", "set TASKSGODZILLA_TEST_SCHEMATHESIS, or use `make test`");
        return None;
    }
    program
}
