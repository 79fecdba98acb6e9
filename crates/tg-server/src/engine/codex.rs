//! Codex CLI: command line and JSONL reader. Pure.

use std::path::Path;

use super::{Card, CommandLine, Engine, Reader, Request};

/// The codex adapter.
pub struct Codex;

impl Engine for Codex {
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
