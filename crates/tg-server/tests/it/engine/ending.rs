//! Every way a call ends: nothing of it may be left, and it must not take long.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tg_server::{
    engine::{FailKind, Progress, Role, supervise},
    process::tree,
};

use super::fixture::{Fixture, SHIM};

/// The whole tree must be gone this soon after it was told to stop.
const GONE: Duration = Duration::from_secs(5);
/// Size of the flood and what it may cost.
const FLOOD_BYTES: u64 = 1024 * 1024 * 1024;
const FLOOD_COST: u64 = 64 * 1024 * 1024;

const SAYS_TEXT: &str = r#"echo '{"type":"item.completed","item":{"type":"agent_message","text":"begun"}}'"#;
const SAYS_DONE: &str = r#"echo '{"type":"turn.completed"}'"#;

fn begun(fixture: &Fixture) -> bool {
    fixture.said().contains("begun")
}

#[tokio::test]
async fn silence_ends_a_call() {
    let mut fixture = Fixture::new(Role::Execute, "hang");
    fixture.limits.idle = Duration::from_millis(300);
    let start = Instant::now();
    assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::TimeoutIdle);
    assert!(start.elapsed() < GONE);
    assert_eq!(fixture.alive(), Vec::<i32>::new());
}

#[tokio::test]
async fn talk_without_end_is_ended_by_the_wall_limit() {
    let mut fixture = Fixture::new(Role::Execute, "chatty-hang");
    fixture.limits.idle = Duration::from_secs(20);
    fixture.limits.wall = Duration::from_millis(700);
    let start = Instant::now();
    assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::TimeoutWall);
    assert!(start.elapsed() < GONE);
    assert!(fixture.said().contains("still at it"));
    assert_eq!(fixture.alive(), Vec::<i32>::new());
}

#[tokio::test]
async fn endless_retries_are_silence() {
    let mut fixture = Fixture::script(
        r#"cat >/dev/null; while :; do echo '{"type":"error","message":"Reconnecting... 1/5"}'; sleep 0.02; done"#,
    );
    fixture.limits.idle = Duration::from_millis(400);
    fixture.limits.wall = Duration::from_secs(8);
    assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::TimeoutIdle);
}

#[tokio::test]
async fn an_open_tool_may_be_silent() {
    let mut fixture = Fixture::script(&format!(
        r#"cat >/dev/null
        echo '{{"type":"item.started","item":{{"id":"1","type":"command_execution","command":"make"}}}}'
        sleep 1
        echo '{{"type":"item.completed","item":{{"id":"1","type":"command_execution","command":"make","exit_code":0}}}}'
        {SAYS_DONE}"#
    ));
    fixture.limits.idle = Duration::from_millis(300);
    assert_eq!(fixture.run().await.outcome, Ok(()));
    assert!(fixture.seen().contains(&Progress::ToolStart("make".to_owned())));
}

#[tokio::test]
async fn a_polite_engine_ends_within_its_grace() {
    let mut fixture = Fixture::script(&format!(
        "cat >/dev/null; trap 'exit 0' TERM; {SAYS_TEXT}; while :; do sleep 0.05; done"
    ));
    fixture.limits.grace = Duration::from_secs(30);
    let start = Instant::now();
    let (ended, ()) = tokio::join!(fixture.run(), async {
        fixture.until("it has begun", begun).await;
        fixture.cancel.cancel();
    });
    assert_eq!(ended.outcome.unwrap_err().kind, FailKind::Cancelled);
    assert!(start.elapsed() < GONE, "{:?}", start.elapsed());
}

/// An engine that will not end, with a daemon in a session of its own.
fn stubborn() -> Fixture {
    let mut fixture = Fixture::script(&format!(
        "cat >/dev/null; trap '' TERM INT HUP; (setsid sleep 300 &) ; {SAYS_TEXT}; while :; do sleep 0.2; done"
    ));
    fixture.limits.grace = Duration::from_millis(500);
    fixture
}

async fn cancelled_when_begun(fixture: &Fixture) {
    let (ended, start) = tokio::join!(fixture.run(), async {
        fixture.until("it has begun", begun).await;
        fixture.until("its daemon is there", |fixture| fixture.alive().len() >= 3).await;
        fixture.cancel.cancel();
        Instant::now()
    });
    assert_eq!(ended.outcome.unwrap_err().kind, FailKind::Cancelled);
    assert!(start.elapsed() < GONE, "{:?}", start.elapsed());
    assert_eq!(fixture.alive(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_stubborn_engine_is_killed_with_its_daemon() {
    cancelled_when_begun(&stubborn()).await;
}

#[tokio::test]
async fn a_confined_stubborn_engine_is_killed_with_its_daemon() {
    if let Some(fixture) = stubborn().confined().await {
        cancelled_when_begun(&fixture).await;
    }
}

#[tokio::test]
async fn a_confined_polite_engine_is_told_and_not_only_killed() {
    let fixture = Fixture::script(&format!(
        "cat >/dev/null; trap 'echo told > told; exit 0' TERM; {SAYS_TEXT}; while :; do sleep 0.05; done"
    ));
    let Some(fixture) = fixture.confined().await else { return };
    let (ended, ()) = tokio::join!(fixture.run(), async {
        fixture.until("it has begun", begun).await;
        fixture.cancel.cancel();
    });
    assert_eq!(ended.outcome.unwrap_err().kind, FailKind::Cancelled);
    assert!(fixture.request.directory.join("told").exists());
}

#[tokio::test]
async fn what_a_finished_engine_left_is_killed() {
    let fixture = Fixture::new(Role::Execute, "orphan");
    let start = Instant::now();
    assert_eq!(fixture.run().await.outcome, Ok(()));
    assert!(start.elapsed() < GONE);
    assert!(fixture.said().contains("left process"), "{}", fixture.said());
    assert_eq!(fixture.alive(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_cancelled_order_starts_nothing() {
    let fixture = Fixture::new(Role::Execute, "ok");
    fixture.cancel.cancel();
    assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::Cancelled);
    assert!(!fixture.request.directory.join("dummy").exists());
}

#[tokio::test]
async fn dropping_the_call_ends_the_engine() {
    let fixture = Fixture::new(Role::Execute, "hang");
    let stopped = tokio::time::timeout(Duration::from_millis(500), fixture.run()).await;
    assert!(stopped.is_err());
    fixture.until("nothing is left", |fixture| fixture.alive().is_empty()).await;
}

#[tokio::test]
async fn a_killed_shim_leaves_nothing() {
    let fixture = stubborn();
    let (ended, ()) = tokio::join!(fixture.run(), async {
        fixture.until("it has begun", begun).await;
        let is_shim = |pid: &i32| {
            std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(SHIM))
        };
        let shims: Vec<i32> = fixture.alive().into_iter().filter(is_shim).collect();
        assert_eq!(shims.len(), 1);
        tree::signal(shims[0], rustix::process::Signal::KILL);
    });
    assert_eq!(ended.outcome.unwrap_err().kind, FailKind::Crashed);
    assert_eq!(fixture.alive(), Vec::<i32>::new());
}

/// Runs one ignored test of this binary in a process of its own.
#[expect(clippy::disallowed_methods, reason = "a test that must be alone in its process")]
fn alone(test: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", test])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn kill_nine_of_the_worker_leaves_nothing() {
    let mut parent = alone("engine::ending::alone_a_worker_with_a_hanging_call");
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let call =
        lines.find_map(|line| line.unwrap().split_once("CALL ").map(|(_, call)| call.to_owned())).unwrap();
    let mark = format!("TASKSGODZILLA_RUN_ID={call}");
    let alive = || tree::with_variable(&mark).unwrap();
    assert!(alive().len() >= 3, "{:?}", alive());
    parent.kill().unwrap();
    parent.wait().unwrap();
    let start = Instant::now();
    while !alive().is_empty() {
        assert!(start.elapsed() < GONE, "left: {:?}", alive());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
#[ignore = "is started and killed by another test"]
async fn alone_a_worker_with_a_hanging_call() {
    let fixture = stubborn();
    tokio::join!(fixture.run(), async {
        fixture.until("its daemon is there", |fixture| fixture.alive().len() >= 3).await;
        println!("\nCALL {}", fixture.request.call);
    });
}

#[test]
fn a_flood_costs_little_memory() {
    let mut child = alone("engine::ending::alone_a_flood");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "is started by another test, alone, because it measures memory"]
async fn alone_a_flood() {
    let mut fixture = Fixture::new(Role::Execute, "flood");
    fixture.request.arguments = vec!["--flood-bytes".to_owned(), FLOOD_BYTES.to_string()];
    let before = highest_memory();
    let ended = fixture.run().await;
    assert_eq!(ended.outcome, Ok(()));
    assert!(ended.output_bytes > FLOOD_BYTES);
    assert!(ended.warnings.iter().any(|warning| warning.contains("was cut")), "{:?}", ended.warnings);
    let cost = highest_memory() - before;
    println!("flood of {FLOOD_BYTES} bytes cost {} KiB", cost / 1024);
    assert!(cost < FLOOD_COST, "{cost}");
}

/// Most memory this process ever had.
fn highest_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

#[expect(clippy::disallowed_methods, reason = "stands for a process that a dead worker left")]
fn left_over(state: &Path, call: &str) -> Child {
    Command::new("/bin/sleep")
        .arg("300")
        .env_clear()
        .env("TASKSGODZILLA_STATE", state)
        .env("TASKSGODZILLA_RUN_ID", call)
        .spawn()
        .unwrap()
}

#[test]
fn orphans_are_ended_when_dead_and_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
    let mut dead = left_over(&ours, "dead-call");
    let mut live = left_over(&ours, "live-call");
    let mut strange = left_over(&other, "dead-call");
    let ended = std::thread::scope(|scope| {
        // Somebody must take note of its end, or it stays as a zombie.
        let waiting = scope.spawn(|| dead.wait().unwrap());
        let ended = supervise::reap_orphans(&ours, &|call| call == "live-call").unwrap();
        assert!(!waiting.join().unwrap().success());
        ended
    });
    let alive = [live.try_wait().unwrap().is_none(), strange.try_wait().unwrap().is_none()];
    for child in [&mut live, &mut strange] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!((ended, alive), (1, [true, true]));
}
