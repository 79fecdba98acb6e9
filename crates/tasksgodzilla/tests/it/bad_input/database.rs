//! SQLite held by another process in the middle of a run.

use std::{path::Path, time::Duration};

use serde_json::json;

use super::world::{WORK, World, once_each, plan, wait_until};

/// Longer than a statement waits for a lock and longer than the lease.
const HELD: Duration = Duration::from_secs(11);

#[test]
fn a_database_locked_in_the_middle_of_a_run_loses_nothing_and_does_nothing_twice() {
    let mut world = World::new();
    world.env.set("TASKSGODZILLA_LEASE_SECONDS", "4").set("TASKSGODZILLA_SCHEDULER_INTERVAL_SECONDS", "1");
    let steps = plan(&[("01-work.md", WORK)]);
    world.script(&json!([
        {"match": {"phase": "plan", "step": "", "attempt": 1}, "do": [{"sleep_ms": 1500}, {"structured": steps}]},
        {"match": {"phase": "plan", "step": ""}, "do": [{"structured": steps}]},
    ]));
    let running = world.env.start(&world.arguments("dummy", &["--skip-simple-decompose"]));
    let runs = world.env.home().join("runs");
    wait_until(|| runs.read_dir().is_ok_and(|mut entries| entries.next().is_some()));
    hold(&world.env.home().join("tasksgodzilla.sqlite"), HELD);
    let ended = running.end();
    let run = if ended.code == Some(0) {
        ended.json()
    } else {
        // A command that could not look at its run says so; the run itself is still there.
        ended.refused(1, "locked by another process");
        world.env.run(&["run", "--continue", "1", "--json"]).ok().json()
    };
    assert_eq!(run["status"], "completed");
    once_each(&world.pushed(&run));
    world.sound();
}

/// Holds the write lock of a SQLite file for a time.
fn hold(path: &Path, time: Duration) {
    let url = format!("sqlite:{}", path.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = tg_server::db::Db::open(&url, 1).await.unwrap();
        let tx = db.begin().await.unwrap();
        tokio::time::sleep(time).await;
        drop(tx);
        db.close().await;
    });
}
