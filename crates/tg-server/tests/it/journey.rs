//! Journeys: a task from start to rest with real git, real processes and a scripted agent.

use tg_server::testing::app::{Setup, TestApp};

const SHIM: &str = env!("CARGO_BIN_EXE_tg-shim");
const NAME: &str = "0001-say-hello";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_becomes_a_pushed_and_completed_run() {
    let app = TestApp::new(SHIM).await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    app.run_pending_jobs().await;
    println!("{}", app.timeline(run).await);
    println!("{:?}", app.pushed(NAME).await);
    for call in app.calls(run).await {
        println!("{:?} {:?} {:?}", call.run_kind, call.status, call.error);
    }
    assert_eq!(
        app.standing(run).await,
        "completed | 00-setup.md completed | 01-implement.md completed | 02-verify.md completed"
    );
}
