//! Built-in scripted engine: deterministic, offline, used only when asked for by name.

use std::path::Path;

use super::{Card, CommandLine, Engine, Reader, Request};

/// The dummy adapter.
pub struct Dummy;

impl Engine for Dummy {
    fn card(&self) -> &'static Card {
        todo!()
    }

    fn command(&self, program: &Path, request: &Request) -> CommandLine {
        todo!()
    }

    fn reader(&self, request: &Request) -> Box<dyn Reader> {
        todo!()
    }
}
