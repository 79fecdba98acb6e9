//! Self-test of supervision: the dummy engine leaves a process behind on purpose, and it must be gone
//! when the call is over. Only processes of this one call are looked at.

use std::{sync::Arc, time::Duration};

use tg_core::ids::CallId;
use tg_server::{
    config::Config,
    engine::{
        Engine, Request, Role,
        dummy::Dummy,
        supervise::{self, Limits},
    },
    process::Wrap,
    redact::Redactor,
};
use tokio_util::sync::CancellationToken;

use super::{Check, State};
use crate::start;

const NAME: &str = "sub-reaper";

/// Runs the self-test.
pub async fn look(config: &Config) -> Check {
    let call = CallId(format!("doctor-{}", std::process::id()));
    let folder = config.home.call_dir(&call);
    let home = config.home.root.join("engines").join("doctor");
    for directory in [&folder, &home] {
        if let Err(error) = start::private_directory(directory) {
            return Check::not_ok(NAME, State::Fail, error.error, error.hint.unwrap_or_default());
        }
    }
    let check = match orphan(config, &call).await {
        Ok(()) => Check::ok(NAME, "a process that an engine left behind was ended with it"),
        Err(why) => Check::not_ok(
            NAME,
            State::Fail,
            why,
            "run on Linux with /proc mounted and a binary that can be started from its place",
        ),
    };
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "the folder of the self-test stays behind");
    }
    check
}

async fn orphan(config: &Config, call: &CallId) -> Result<(), String> {
    let program = supervise::resolve(config, &Dummy).map_err(|failure| failure.message)?;
    let request = Request {
        call: call.clone(),
        role: Role::Plan,
        step: String::new(),
        attempt: 1,
        directory: config.home.call_dir(call),
        prompt: "leave a process behind".to_owned(),
        model: Some("orphan".to_owned()),
        schema: None,
        resume: None,
        home: config.home.root.join("engines").join("doctor"),
        login: None,
        call_dir: config.home.call_dir(call),
        unconfined: true,
        environment: Vec::new(),
        arguments: Vec::new(),
    };
    let limits = Limits {
        wall: Duration::from_secs(20),
        idle: Duration::from_secs(20),
        grace: Duration::from_secs(1),
        log_bytes: 1024 * 1024,
    };
    let plain = Config { dummy_script: None, ..config.clone() };
    let (redactor, never) = (Redactor::default(), CancellationToken::new());
    let watch = Arc::new(|_: &_| {});
    let ended =
        supervise::call(&plain, &Dummy, &program, &request, &Wrap::None, limits, &redactor, &never, watch)
            .await;
    ended.outcome.map_err(|failure| format!("{} did not run: {}", Dummy.card().id, failure.message))?;
    let left = supervise::reap_orphans(&config.home.root, &|found| found != call.0)
        .map_err(|error| format!("the list of processes cannot be read: {error}"))?;
    if left == 0 { Ok(()) } else { Err(format!("{left} process(es) outlived their engine")) }
}
