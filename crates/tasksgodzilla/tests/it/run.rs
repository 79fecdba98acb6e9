//! `run`: what it refuses, what it leaves alone, how it ends.

use std::path::Path;

use crate::env::TestEnv;

const DUMMY: &[&str] = &["run", "--engine", "dummy"];

fn dummy<'a>(more: &[&'a str]) -> Vec<&'a str> {
    DUMMY.iter().chain(more).copied().collect()
}

fn runs(env: &TestEnv) -> Vec<serde_json::Value> {
    env.ask(&["protocols", "list", "--json"]).ok().json().as_array().unwrap().clone()
}

#[test]
fn an_empty_task_is_usage() {
    let env = TestEnv::new();
    let repo = env.repository("repo");
    let at = ["--repo", repo.to_str().unwrap()];
    env.run(&dummy(&[at[0], at[1], "  "])).refused(2, "the task is empty");
    env.run(&dummy(&at)).refused(2, "the task is empty");
    env.run_with_input(&dummy(&at), b"\n\n").refused(2, "the task is empty");
    env.run(&dummy(&[at[0], at[1], "--description", ""])).refused(2, "the task is empty");
}

#[test]
fn a_task_past_the_cap_is_usage_and_one_of_a_megabyte_is_not() {
    let env = TestEnv::new();
    let (repo, _) = env.repository_with_remote("repo");
    let repo = repo.to_str().unwrap();
    let long = "x".repeat(1024 * 1024 + 1);
    env.run_with_input(&dummy(&["--repo", repo]), long.as_bytes()).refused(2, "longer than");
    let mut task = "Do this at length\n".to_owned();
    task.push_str(&"word ".repeat((1024 * 1024 - task.len()) / 5));
    let ended = env.run_with_input(&dummy(&["--repo", repo, "--json"]), task.as_bytes());
    let run = ended.ok().json();
    assert_eq!(run["status"], "completed");
    assert_eq!(run["protocol_name"], "0001-do-this-at-length");
    assert_eq!(run["description"].as_str().unwrap().len(), task.len());
}

#[test]
fn what_is_no_repository_is_refused_and_nothing_is_created() {
    let env = TestEnv::new();
    std::fs::create_dir(env.path("plain")).unwrap();
    for absent in ["absent", "plain"] {
        let path = env.path(absent);
        let ended = env.run(&dummy(&["--repo", path.to_str().unwrap(), "do it"]));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("error: "), "{ended:?}");
        assert!(ended.stderr.contains(absent), "{ended:?}");
    }
    assert!(runs(&env).is_empty());
}

#[test]
fn an_address_that_runs_programs_is_refused() {
    let env = TestEnv::new();
    let sentinel = env.path("sentinel");
    let address = format!("ext::sh -c touch% {}", sentinel.display());
    for bad in [address.as_str(), "--upload-pack=touch x", "https://ada:hunter2@example.org/r.git"] {
        let ended = env.run(&dummy(&[&format!("--repo={bad}"), "do it"]));
        assert_ne!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
    }
    assert!(!sentinel.exists());
    assert!(runs(&env).is_empty());
}

#[test]
fn an_absent_base_branch_is_refused() {
    let env = TestEnv::new();
    let (repo, _) = env.repository_with_remote("repo");
    let ended = env.run(&dummy(&["--repo", repo.to_str().unwrap(), "--base-branch", "absent", "do it"]));
    ended.refused(1, "absent");
    env.run(&dummy(&["--repo", repo.to_str().unwrap(), "--base-branch", "--x", "do it"]));
    assert!(runs(&env).is_empty());
}

#[test]
fn a_remote_that_is_gone_is_refused() {
    let env = TestEnv::new();
    let (repo, remote) = env.repository_with_remote("repo");
    std::fs::remove_dir_all(remote).unwrap();
    let ended = env.run(&dummy(&["--repo", repo.to_str().unwrap(), "do it"]));
    ended.refused(1, "");
    assert!(runs(&env).is_empty());
}

#[test]
fn without_a_remote_it_completes_and_says_that_nothing_is_pushed() {
    let env = TestEnv::new();
    let repo = env.repository("repo");
    let ended = env.run(&dummy(&["--repo", repo.to_str().unwrap(), "do it"]));
    ended.ok();
    assert!(ended.stderr.contains("no remote"), "{ended:?}");
    assert!(ended.stdout.contains("nothing was pushed"), "{ended:?}");
}

#[test]
fn the_repository_around_the_current_directory_is_the_default_and_names_count_up() {
    let env = TestEnv::new();
    let (repo, remote) = env.repository_with_remote("repo");
    std::fs::create_dir_all(repo.join(".protocols/0007-by-hand")).unwrap();
    std::fs::write(repo.join(".protocols/0007-by-hand/plan.md"), "x").unwrap();
    env.git(&repo, &["add", "-A"]);
    env.git(&repo, &["commit", "-qm", "a protocol of another machine"]);
    env.git(&repo, &["push", "-q", "origin", "main"]);
    std::fs::create_dir(repo.join("deep")).unwrap();
    let run = |directory: &Path| {
        let mut command = env.command(&dummy(&["--json", "do it"]));
        command.current_dir(directory);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    assert_eq!(run(&repo)["protocol_name"], "0008-do-it");
    env.git(&repo, &["push", "-q", "origin", "main:refs/heads/0011-elsewhere"]);
    assert_eq!(run(&repo.join("deep"))["protocol_name"], "0012-do-it");
    let branches = env.git(&remote, &["for-each-ref", "--format=%(refname:short)"]);
    assert!(branches.contains("0008-do-it") && branches.contains("0012-do-it"), "{branches}");
}

#[test]
fn a_dirty_checkout_is_allowed_and_never_touched() {
    let env = TestEnv::new();
    let (repo, _) = env.repository_with_remote("repo");
    std::fs::write(repo.join("README.md"), "half done\n").unwrap();
    std::fs::write(repo.join("new.txt"), "untracked\n").unwrap();
    let before = env.git(&repo, &["status", "--porcelain=v2", "--branch"]);
    let ended = env.run(&dummy(&["--repo", repo.to_str().unwrap(), "do it"]));
    assert!(ended.ok().stderr.contains("uncommitted changes"), "{ended:?}");
    assert_eq!(env.git(&repo, &["status", "--porcelain=v2", "--branch"]), before);
    assert_eq!(std::fs::read_to_string(repo.join("README.md")).unwrap(), "half done\n");
}

#[test]
fn a_completed_run_prints_the_run_object_and_its_commits_carry_their_step() {
    let env = TestEnv::new();
    let (repo, remote) = env.repository_with_remote("repo");
    let ended = env.run(&dummy(&["--repo", repo.to_str().unwrap(), "--json", "Add a licence"]));
    let run = ended.ok().json();
    assert_eq!(run["status"], "completed");
    assert_eq!(run["engine"], "dummy");
    let log = env.git(&remote, &["log", "--format=%s%n%b", "main..0001-add-a-licence"]);
    assert!(log.contains("feat(protocol): add plan for 0001-add-a-licence [protocol-0001/00]"), "{log}");
    assert!(log.contains("TG-Step: "), "{log}");
    let verified = env.run(&["verify", "--json"]).ok().json();
    assert!(verified["commits"].as_u64().unwrap() >= 1, "{verified}");
    assert!(verified["transitions"].as_u64().unwrap() >= 3, "{verified}");
    assert_eq!(verified["first_bad"], serde_json::Value::Null);
    assert_eq!(env.run(&["verify", "--branch", "nonesuch", "--json"]).ok().json()["commits"], 0);
    std::fs::remove_dir_all(env.home().join("control")).unwrap();
    let ended = env.run(&["verify"]);
    ended.refused(1, "cannot be read");
}

#[test]
fn plan_only_stops_planned_and_continue_completes() {
    let env = TestEnv::new();
    let (repo, _) = env.repository_with_remote("repo");
    let planned = env.run(&dummy(&["--repo", repo.to_str().unwrap(), "--plan-only", "--json", "do it"]));
    let run = planned.ok().json();
    assert_eq!(run["status"], "planned");
    let id = run["id"].to_string();
    let steps = env.ask(&["steps", "list", "--protocol", &id, "--json"]).ok().json();
    assert!(steps.as_array().unwrap().iter().all(|step| step["status"] == "pending"), "{steps}");
    let ended = env.run(&["run", "--continue", &id, "--json"]);
    assert_eq!(ended.ok().json()["status"], "completed");
    assert!(!ended.stderr.contains("protocol_created"), "old events are not told again: {ended:?}");
    assert_eq!(ended.stderr.matches("protocol_completed").count(), 1, "{ended:?}");
    let again = env.run(&["run", "--continue", &id, "--json"]);
    assert_eq!(again.ok().json()["status"], "completed", "nothing is left to do");
}

#[test]
fn a_failed_judgement_ends_with_1_reason_and_next_action() {
    let env = TestEnv::new();
    let (repo, _) = env.repository_with_remote("repo");
    let ended = env.run(&dummy(&["--repo", repo.to_str().unwrap(), "--model", "qa-fail", "do it"]));
    ended.refused(1, "qa_failed");
    assert!(ended.stderr.contains("run --continue 1"), "{ended:?}");
}

#[test]
fn an_engine_that_is_not_there_is_a_missing_dependency() {
    let env = TestEnv::new();
    let repo = env.repository("repo");
    env.run(&["run", "--repo", repo.to_str().unwrap(), "do it"]).refused(3, "codex");
    env.run(&["run", "--engine", "nonesuch", "do it"]).refused(2, "nonesuch");
    assert!(runs(&env).is_empty());
}

#[test]
fn the_dummy_engine_and_an_open_sandbox_are_labelled() {
    let env = TestEnv::new();
    let repo = env.repository("repo");
    let ended = env.run(&dummy(&["--repo", repo.to_str().unwrap(), "--sandbox", "off", "do it"]));
    assert!(ended.ok().stderr.contains("UNCONFINED"), "{ended:?}");
    assert!(ended.stdout.contains("UNCONFINED"), "{ended:?}");
    assert!(ended.stdout.contains("nothing real is done"), "{ended:?}");
    let shown = env.ask(&["protocols", "show", "1"]);
    assert!(shown.ok().stdout.contains("UNCONFINED"), "{shown:?}");
}

#[test]
fn a_database_locked_by_another_process_is_said_plainly() {
    let env = TestEnv::new();
    env.run(&["migrate"]).ok();
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let path = env.home().join("tasksgodzilla.sqlite");
    let holder = hold(&path, receive);
    let repo = env.repository("repo");
    let ended = env.run(&dummy(&["--repo", repo.to_str().unwrap(), "do it"]));
    ended.refused(1, "locked by another process");
    drop(send);
    holder.join().unwrap();
    env.run(&dummy(&["--repo", repo.to_str().unwrap(), "do it"])).ok();
}

/// Holds the write lock of a SQLite file until the other end is dropped.
fn hold(path: &Path, until: std::sync::mpsc::Receiver<()>) -> std::thread::JoinHandle<()> {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let url = format!("sqlite:{}", path.display());
    let holder = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let db = tg_server::db::Db::open(&url, 1).await.unwrap();
            let tx = db.begin().await.unwrap();
            ready.send(()).unwrap();
            until.recv().unwrap_err();
            drop(tx);
        });
    });
    is_ready.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
    holder
}
