//! JSON bodies of the HTTP API, shared by server, CLI and TUI.
