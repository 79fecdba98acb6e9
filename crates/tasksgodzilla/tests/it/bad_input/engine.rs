//! Engines that are not there, say nothing, say nonsense, do not end or leave others behind.

use std::fs;

use serde_json::{Value, json};

use super::world::{WORK, World, plan};

/// Statuses of the engine calls of a run.
fn attempts(world: &World, run: &Value) -> Vec<String> {
    world.calls(run).iter().map(|call| call["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_engine_that_cannot_be_run_is_refused_before_anything_is_made() {
    let mut world = World::new();
    let path = world.codex("exit 0");
    fs::remove_file(&path).unwrap();
    world.run("codex", &[]).refused(3, "was not found");
    fs::write(&path, "no program").unwrap();
    world.run("codex", &[]).refused(3, "was not found");
    assert_eq!(world.list(&["protocols", "list"]), Vec::<Value>::new());
    world.sound();
}

#[test]
fn an_engine_that_vanishes_between_two_steps_blocks_and_its_return_cures() {
    let mut world = World::new();
    let plan = plan(&[("01-work.md", WORK)]);
    let works = codex_that_plans(&plan, "echo hello > greeting.txt");
    let path = world.codex(&works);
    let run = world.run("codex", &["--plan-only"]).ok().json();
    assert_eq!(run["status"], "planned");
    fs::rename(&path, path.with_extension("away")).unwrap();
    let id = run["id"].to_string();
    let ended = world.env.run(&["run", "--continue", &id, "--json"]);
    world.blocked(&ended, "engine_unavailable", "npm install");
    assert!(world.steps(&run).iter().all(|step| step["status"] != "completed"), "{:?}", world.steps(&run));
    fs::rename(path.with_extension("away"), &path).unwrap();
    world.env.ask(&["protocols", "retry-latest", &id]).ok();
    let again = world.env.run(&["run", "--continue", &id, "--json"]);
    assert_ne!(again.json()["status_reason"]["code"], "engine_unavailable", "{again:?}");
    world.sound();
}

/// Plans well; executes as told; judges nothing.
fn codex_that_plans(plan: &Value, execute: &str) -> String {
    let message = json!({"type": "item.completed",
        "item": {"id": "i", "type": "agent_message", "text": plan.to_string()}});
    format!(
        r#"cat >/dev/null
echo '{{"type":"thread.started","thread_id":"t"}}'
case "$*" in
*output-schema*) cat <<'END'
{message}
END
;;
*workspace-write*) {execute} ;;
esac
echo '{{"type":"turn.completed","usage":{{"input_tokens":1,"cached_input_tokens":0,"output_tokens":1}}}}'"#
    )
}

#[test]
fn an_engine_that_is_not_logged_in_blocks_at_once_and_says_how_to_log_in() {
    let mut world = World::new();
    world.codex(
        r#"cat >/dev/null
echo '{"type":"thread.started","thread_id":"t"}'
echo '{"type":"turn.failed","error":{"message":"unexpected status 401 Unauthorized: key sk-proj-0123456789abcdefghij refused"}}'
exit 1"#,
    );
    let ended = world.run("codex", &[]);
    let run = world.blocked(&ended, "engine_unavailable", "TASKSGODZILLA_CODEX_LOGIN");
    assert!(ended.stderr.contains("401 Unauthorized"), "{ended:?}");
    assert_eq!(attempts(&world, &run), ["failed"], "nobody logs in between two attempts");
    assert_eq!(world.steps(&run), Vec::<Value>::new());
}

#[test]
fn an_engine_that_ends_with_0_and_nothing_never_passes() {
    let mut world = World::new();
    world.codex("cat >/dev/null; exit 0");
    let run = world.blocked(&world.run("codex", &[]), "engine_error", "without saying");
    assert_eq!(attempts(&world, &run), ["failed"; 3]);
    assert_eq!(world.steps(&run), Vec::<Value>::new());
}

#[test]
fn work_that_says_nothing_never_passes() {
    says_nothing("execute", "step_failed", "failed");
}

#[test]
fn a_judge_that_says_nothing_never_passes() {
    says_nothing("qa", "qa_error", "blocked");
}

fn says_nothing(role: &str, code: &str, status: &str) {
    let mut world = World::new();
    world.script(&json!([{"match": {"phase": role, "step": "01-implement.md"}, "do": [{"exit": 0}]}]));
    let run = world.blocked(&world.run("dummy", &[]), code, "without a last line");
    let steps = world.steps(&run);
    assert_eq!(steps[1]["step_name"], "01-implement.md");
    assert_eq!((&steps[1]["status"], &steps[2]["status"]), (&json!(status), &json!("pending")), "{steps:?}");
}

#[test]
fn work_that_changes_nothing_is_no_work() {
    let mut world = World::new();
    let plan = plan(&[("01-work.md", WORK)]);
    world.script(&json!([
        {"match": {"phase": "plan", "step": ""}, "do": [{"structured": plan}]},
        {"match": {"phase": "qa"}, "do": [{"final": "# Report\n\nNothing was done.\n\nVerdict: FAIL\n"}]},
        {"match": {"phase": "execute"}, "do": [{"final": "I did everything, believe me."}]},
    ]));
    let ended = world.run("dummy", &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.json()["status"], "blocked");
    world.sound();
}

#[test]
fn invalid_utf8_is_no_answer_and_breaks_nothing() {
    let mut world = World::new();
    world.codex(
        r#"cat >/dev/null
printf '{"type":"thread.started","thread_id":"\xff\xfe"}\n\xc3\x28\xa0\xa1 \xf0\x28\x8c\x28\n'
printf '\x1b]0;owned\x07\x1b[2J\xff\n' >&2
printf '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"\xff\xff{}"}}\n'
printf '{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}\n'"#,
    );
    let ended = world.run("codex", &[]);
    let run = world.blocked(&ended, "planning_invalid", "not JSON");
    assert!(!ended.stderr.contains('\u{1b}') && !ended.stdout.contains('\u{1b}'), "{ended:?}");
    let call = world.calls(&run)[0]["run_id"].as_str().unwrap().to_owned();
    let log = world.env.ask(&["runs", "logs", &call]);
    assert!(log.ok().stdout.contains('\u{fffd}'), "the log is text: {log:?}");
    assert!(!log.stdout.contains('\u{1b}'), "the log of an agent does not steer the terminal: {log:?}");
}

#[test]
fn an_engine_that_hangs_in_silence_is_stopped() {
    let mut world = World::new();
    world.env.set("TASKSGODZILLA_ENGINE_IDLE_SECONDS", "1").set("TASKSGODZILLA_ENGINE_GRACE_SECONDS", "1");
    world.script(&json!([{"match": {"phase": "plan", "attempt": 3}, "do": [{"exit": 0}]}]));
    let ended = world.run("dummy", &["--model", "hang"]);
    let run = world.blocked(&ended, "engine_error", "");
    let calls = world.calls(&run);
    assert!(calls[0]["error"].as_str().unwrap().contains("printed nothing for 1"), "{calls:?}");
    assert_eq!(attempts(&world, &run), ["failed"; 3]);
}

#[test]
fn an_engine_that_ignores_sigterm_is_killed() {
    let mut world = World::new();
    world.env.set("TASKSGODZILLA_ENGINE_IDLE_SECONDS", "1").set("TASKSGODZILLA_ENGINE_GRACE_SECONDS", "1");
    let mark = world.env.path("mark");
    world.codex(&format!(
        r"trap '' TERM INT HUP
(trap '' TERM INT HUP; exec -a '{mark}' sleep 600) >/dev/null 2>&1 &
while :; do sleep 600; done",
        mark = mark.display()
    ));
    let run = world.blocked(&world.run("codex", &[]), "engine_error", "printed nothing");
    assert_eq!(attempts(&world, &run), ["failed"; 3]);
}

#[test]
fn daemons_that_an_engine_forks_do_not_outlive_it() {
    let mut world = World::new();
    let run = world.run("dummy", &["--model", "orphan"]).ok().json();
    assert_eq!(run["status"], "completed");
    world.sound();
    // Twice away from its parent, in a session of its own, without our environment, its pipes closed.
    for sandbox in ["auto", "off"] {
        let mark = world.env.path("mark");
        world.codex(&format!(
            r#"[ "$1" = --version ] && exit 0 # A server looks at its engines.
cat >/dev/null
for i in 1 2 3; do
  (env -i setsid bash -c 'cd /; trap "" TERM HUP; (exec -a "{mark}" sleep 600) & sleep 600 & exit' \
    </dev/null >/dev/null 2>&1 &)
done
echo '{{"type":"turn.failed","error":{{"message":"401 Unauthorized"}}}}'
exit 1"#,
            mark = mark.display()
        ));
        let ended = world.run("codex", &["--sandbox", sandbox, "--yes"]);
        world.blocked(&ended, "engine_unavailable", "401 Unauthorized");
    }
}
