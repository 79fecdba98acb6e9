//! Stories of the HTTP door, by resource.

mod actions;
mod diff;
mod document;
mod events;
mod examples;
mod execution_plan;
mod frame;
mod hostile;
mod matrix;
mod projects;
mod protocols;
mod review;
mod sse;
mod stream;

use tg_server::testing::app::TestApp;

/// The usual world.
async fn world() -> TestApp {
    TestApp::new(env!("CARGO_BIN_EXE_tg-shim")).await
}
