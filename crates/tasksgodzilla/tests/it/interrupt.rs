//! Ctrl-C: once asks the run to pause, twice cancels it; either way nothing is left running.

use std::os::unix::ffi::OsStrExt;

use crate::env::TestEnv;

/// Processes whose environment names this state directory.
fn left_running(env: &TestEnv) -> Vec<String> {
    let home = env.home();
    let mark = home.as_os_str().as_bytes();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            std::fs::read(path.join("environ"))
                .is_ok_and(|environ| environ.windows(mark.len()).any(|window| window == mark))
        })
        .map(|path| std::fs::read_to_string(path.join("cmdline")).unwrap_or_default())
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn twice_cancels_and_leaves_nothing_running() {
    let env = TestEnv::new();
    let (repo, _) = env.repository_with_remote("repo");
    let arguments =
        ["run", "--engine", "dummy", "--model", "hang", "--repo", repo.to_str().unwrap(), "do it"];
    let mut run = env.start(&arguments);
    run.error_line(|line| line.contains("planning_enqueued"));
    run.send("-INT");
    run.error_line(|line| line.contains("Ctrl-C again cancels"));
    let ended = run.signal("-INT");
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let shown = env.ask(&["protocols", "show", "1", "--json"]).ok().json();
    assert_eq!(shown["status"], "cancelled");
    assert_eq!(left_running(&env), Vec::<String>::new());
    env.run(&["verify"]).ok();
}

#[test]
fn once_pauses_and_the_run_can_go_on() {
    let mut env = TestEnv::new();
    let (repo, _) = env.repository_with_remote("repo");
    let script = env.path("script.json");
    let slow = r#"[{"match":{"phase":"execute","attempt":1},"do":[{"sleep_ms":1500},{"write":["done.txt","x"]},{"final":"done"}]}]"#;
    std::fs::write(&script, slow).unwrap();
    env.set("TASKSGODZILLA_DUMMY_SCRIPT", script.to_str().unwrap());
    let mut run = env.start(&["run", "--engine", "dummy", "--repo", repo.to_str().unwrap(), "do it"]);
    run.error_line(|line| line.contains("step_enqueued"));
    let ended = run.signal("-INT");
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let shown = env.ask(&["protocols", "show", "1", "--json"]).ok().json();
    assert_eq!(shown["status"], "paused");
    assert_eq!(left_running(&env), Vec::<String>::new());
    let went_on = env.run(&["run", "--continue", "1", "--json"]);
    assert_eq!(went_on.ok().json()["status"], "completed");
}
