//! Stories of the HTTP door, by resource.

mod document;
mod frame;

use tg_server::testing::app::TestApp;

/// The usual world.
async fn world() -> TestApp {
    TestApp::new(env!("CARGO_BIN_EXE_tg-shim")).await
}
