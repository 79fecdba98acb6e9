//! What goes wrong between a command and the server, told as cause and remedy. A token is never part of
//! it: neither addresses nor answers hold one.

use std::{error::Error, io};

use serde_json::Value;
use tg_core::wire::Problem;

use super::address::Target;
use crate::cli::{CliError, ErrorKind};

/// Longest answer to a refused request that is read.
pub const MOST: usize = 1024 * 1024;

/// A request that got no answer.
pub fn no_answer(target: &Target, error: &reqwest::Error) -> CliError {
    let base = target.base.as_str().trim_end_matches('/');
    if error.is_timeout() {
        return CliError::failed(format!("the server at {base} does not answer in time"))
            .hint("try again; its log says what it is busy with");
    }
    if !error.is_connect() {
        return CliError::failed(format!("the connection to {base} broke: {}", root(error)))
            .hint("look whether it was done before you try again");
    }
    if is_refused(error) {
        return if target.is_local {
            nobody(base)
        } else {
            CliError::failed(format!(
                "no server answers at {base}: start it there, or name another with --api-base"
            ))
        };
    }
    CliError::failed(format!("{base} cannot be reached: {}", root(error)))
        .hint("check the address, the network and, for https, the certificate")
}

/// No server runs on this machine: one line that says what to start.
pub fn nobody(base: &str) -> CliError {
    CliError::failed(format!("no server answers at {base}: start one with `tasksgodzilla serve`"))
}

fn is_refused(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        source = inner.source();
    }
    false
}

/// The innermost cause, which is the one a person understands.
fn root(error: &reqwest::Error) -> String {
    let mut inner: &dyn Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// An answer that refuses. `had_token` says whether a token was shown.
pub fn refused(target: &Target, status: u16, body: &[u8]) -> CliError {
    let Some(problem) = serde_json::from_slice::<Problem>(body).ok() else {
        let base = target.base.as_str().trim_end_matches('/');
        return CliError::failed(format!("{base} answers {status} without saying why"))
            .hint("this is no answer of TasksGodzilla: check --api-base, and any proxy on the way");
    };
    let (cause, said) = match problem.detail.rsplit_once("; ") {
        Some((cause, remedy)) => (cause, Some(remedy.to_owned())),
        None => (problem.detail.as_str(), None),
    };
    let told = |message: &String| !problem.detail.contains(message.as_str());
    let fields = problem.errors.iter().filter(|error| told(&error.msg)).take(20);
    let fields = fields.map(|error| format!("{}: {}", place(&error.loc), error.msg));
    let parts: Vec<String> = std::iter::once(cause.to_owned()).chain(fields).collect();
    let request = problem.request_id.map_or_else(String::new, |id| format!(", request {id}"));
    let error = CliError::new(ErrorKind::Failed, format!("{} [{}{request}]", parts.join("; "), problem.code));
    match own_remedy(&problem.code, target).or(said).or_else(|| remedy(&problem.code)) {
        Some(remedy) => error.hint(remedy),
        None => error,
    }
}

/// `body.name` of `["body", "name"]`.
fn place(loc: &[Value]) -> String {
    let parts: Vec<String> =
        loc.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
    parts.join(".")
}

/// Where only this side knows what to do.
fn own_remedy(code: &str, target: &Target) -> Option<String> {
    (code == "unauthorized").then(|| {
        match target.token {
            Some(_) => "the token that was sent is not one of this server: give another with --token or --project-token",
            None => "no token was sent: give one with --token or TASKSGODZILLA_API_TOKEN; the token of the state directory only goes to its own server",
        }
        .to_owned()
    })
}

/// Where the server says only what is wrong.
fn remedy(code: &str) -> Option<String> {
    let remedy = match code {
        "forbidden" => "this needs the admin's token, not a project's",
        "not_found" => "the `list` commands show what exists and what your token may see",
        "illegal_transition" => "`tasksgodzilla protocols show ID` shows where the run stands",
        "rate_limited" => "wait a moment, then try again",
        "unavailable" => "try again; the log of the server says why",
        "internal" => "the log of the server holds the cause under this request id",
        "idempotency_in_progress" => "the same request is under way; look whether it was done",
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// An answer in a form that this version does not know.
pub fn unreadable(target: &Target, what: &str, error: &impl std::fmt::Display) -> CliError {
    CliError::failed(format!("the answer of {} to {what} cannot be read: {error}", target.base)).hint(
        "server and command may be of different versions: compare `tasksgodzilla --version` with /version there",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::address::{Asked, Local, Said, Token, choose};

    fn target(token: bool) -> Target {
        let asked = Asked { base: Some(("http://h:1".to_owned(), Said::Flag)), ..Asked::default() };
        let mut target = choose(&asked, &Local::default()).unwrap();
        target.token = token.then(|| Token::Bearer(tg_server::secret::Secret::new("hunter2".to_owned())));
        target
    }

    fn told(status: u16, body: &serde_json::Value) -> CliError {
        refused(&target(true), status, body.to_string().as_bytes())
    }

    #[test]
    fn a_problem_keeps_its_cause_remedy_code_and_request() {
        let body = serde_json::json!({
            "type": "about:blank", "title": "Conflict", "status": 409, "code": "illegal_transition",
            "detail": "run 7 is paused, it cannot be started; resume it", "request_id": "r-1",
        });
        let error = told(409, &body);
        assert_eq!(error.error, "run 7 is paused, it cannot be started [illegal_transition, request r-1]");
        assert_eq!(error.hint.as_deref(), Some("resume it"));
        let body = serde_json::json!({
            "type": "about:blank", "title": "Invalid", "status": 422, "code": "validation_failed",
            "detail": "the request is not valid", "request_id": null,
            "errors": [{"loc": ["body", "steps", 0, "name"], "msg": "must not be empty", "type": "value"}],
        });
        let error = told(422, &body);
        let wanted = "the request is not valid; body.steps.0.name: must not be empty [validation_failed]";
        assert_eq!(error.error, wanted);
    }

    #[test]
    fn a_missing_token_and_a_wrong_one_have_different_remedies() {
        let body = serde_json::json!({
            "type": "about:blank", "title": "Unauthorized", "status": 401, "code": "unauthorized",
            "detail": "no or wrong token; log in", "request_id": null,
        });
        let body = body.to_string();
        let with = refused(&target(true), 401, body.as_bytes()).hint.unwrap();
        let without = refused(&target(false), 401, body.as_bytes()).hint.unwrap();
        assert!(with.contains("not one of this server") && without.contains("no token was sent"));
        assert!(!format!("{with}{without}").contains("hunter2"));
    }

    #[test]
    fn an_answer_of_somebody_else_is_called_so() {
        let error = refused(&target(true), 502, b"<html>Bad gateway</html>");
        assert!(error.error.contains("502") && error.hint.unwrap().contains("proxy"));
    }
}
