//! Built-in scripted engine: deterministic, offline, used only when asked for by name.
//!
//! This file is the pure adapter; `dummy/act.rs` is the process it starts.

mod act;
mod plan;
mod read;
mod script;

use std::path::Path;

pub use self::act::main;
use self::read::DummyReader;
use super::{Card, CommandLine, Engine, Reader, Request};

/// The dummy adapter.
pub struct Dummy;

static CARD: Card = Card {
    id: "dummy",
    name: "Dummy (scripted, no model)",
    kind: "builtin",
    program: "",
    default_model: Some("ok"),
    remedy: "it is built in; name one of its scenarios as the model",
};

impl Engine for Dummy {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn command(&self, program: &Path, request: &Request) -> CommandLine {
        let attempt = request.attempt.to_string();
        let mut arguments: Vec<_> = ["__dummy", "--role", request.role.as_str()].map(Into::into).into();
        let pairs = [
            ("--step", request.step.as_str()),
            ("--model", request.model.as_deref().unwrap_or("ok")),
            ("--attempt", attempt.as_str()),
        ];
        arguments.extend(pairs.iter().flat_map(|(flag, value)| [(*flag).into(), (*value).into()]));
        if request.schema.is_some() {
            arguments.push("--schema".into());
        }
        arguments.extend(request.arguments.iter().map(Into::into));
        CommandLine {
            program: program.to_owned(),
            arguments,
            environment: request.environment.clone(),
            files: Vec::new(),
        }
    }

    fn reader(&self, _request: &Request) -> Box<dyn Reader> {
        Box::new(DummyReader::default())
    }
}
