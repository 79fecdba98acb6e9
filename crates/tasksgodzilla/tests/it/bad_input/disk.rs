//! A disk that is full: the database's, the worktrees', before and in the middle of a run. Each small
//! disk is a tmpfs in a mount namespace of its own, which is gone with its last process.

use std::fs;

use serde_json::{Value, json};

use super::world::{WORK, World, once_each, plan};
use crate::env::Ended;

/// What a script left of one command: code, output, errors.
fn part(world: &World, name: &str) -> Ended {
    let read = |kind: &str| fs::read_to_string(world.env.path(&format!("{name}.{kind}"))).unwrap_or_default();
    let code = read("code").trim().parse().ok();
    Ended { code, signal: None, stdout: read("out"), stderr: read("err") }
}

/// Mounts `disk` with this size, fills it so that `free` KiB are left, and defines `run NAME ARGS…`
/// and `ask NAME ARGS…`, which runs beside a server of its own.
fn prelude(world: &World, disk: &str, size: &str, free: u32) -> String {
    let disk = world.env.path(disk);
    fs::create_dir_all(&disk).unwrap();
    format!(
        r#"set -u
DISK='{disk}'; PARTS='{parts}'
mount -t tmpfs -o size={size},mode=700 none "$DISK" || exit 77
fill() {{ left=$(df -k --output=avail "$DISK" | tail -1); n=$((left - $1)); [ $n -le 0 ] || dd if=/dev/zero of="$DISK/ballast" bs=1024 count=$n status=none; }}
run() {{ name=$1; shift; "$BIN" "$@" >"$PARTS/$name.out" 2>"$PARTS/$name.err" </dev/null; echo $? >"$PARTS/$name.code"; }}
ask() {{
  "$BIN" serve --port 0 --no-worker >"$PARTS/serve.out" 2>"$PARTS/serve.err" </dev/null & server=$!
  for _ in $(seq 400); do grep -q '^serving' "$PARTS/serve.out" && break; sleep 0.05; done
  run "$@"; kill $server; wait $server
}}
fill {free}
"#,
        disk = disk.display(),
        parts = world.env.path("").display(),
    )
}

#[test]
fn a_state_directory_on_a_full_disk_is_refused_and_works_when_there_is_room() {
    let world = World::new();
    let arguments = world.arguments("dummy", &[]).join("' '").replace("Do the work", "Work");
    let script = prelude(&world, "home", "64m", 0)
        + &format!(
            r#"run first '{arguments}'
rm "$DISK/ballast"
ask listed protocols list --json
run second '{arguments}'
run verified verify
"#
        );
    world.env.shell(&script).ok();
    let first = part(&world, "first");
    first.refused(1, "");
    assert!(first.stderr.to_lowercase().contains("space") || first.stderr.contains("full"), "{first:?}");
    assert_eq!(part(&world, "listed").ok().json(), json!([]));
    assert_eq!(part(&world, "second").ok().json()["status"], "completed");
    part(&world, "verified").ok();
    world.untouched();
    world.nothing_running();
}

#[test]
fn a_disk_that_fills_up_under_the_database_loses_nothing() {
    let mut world = World::new();
    let ballast = world.env.path("home/late");
    let plan = plan(&[("01-work.md", WORK)]);
    world.script(&json!([
        {"match": {"phase": "plan", "step": ""}, "do": [{"sleep_ms": 2500}, {"structured": plan}]},
    ]));
    world.env.set("TASKSGODZILLA_LEASE_SECONDS", "3");
    let arguments = world.arguments("dummy", &["--skip-simple-decompose"]).join("' '");
    // Full while the planner thinks, roomy again after some attempts to write have failed.
    let script = prelude(&world, "home", "64m", 40960)
        + &format!(
            r#"("$BIN" '{arguments}' >"$PARTS/first.out" 2>"$PARTS/first.err" </dev/null; echo $? >"$PARTS/first.code") &
n=0; until ls "$DISK"/runs/*/logs.txt >/dev/null 2>&1 || [ $n -gt 300 ]; do sleep 0.1; n=$((n + 1)); done
dd if=/dev/zero of='{ballast}' bs=4096 status=none 2>/dev/null
sleep 5
rm -f '{ballast}'
wait
run again run --continue 1 --json
ask shown protocols show 1 --json
run verified verify
"#,
            ballast = ballast.display()
        );
    world.env.shell(&script).ok();
    let shown = part(&world, "shown").ok().json();
    let status = shown["status"].as_str().unwrap();
    // Blocked with a reason or carried through; never passed over, never lost.
    assert!(status == "completed" || (status == "blocked" && shown["status_reason"].is_object()), "{shown}");
    part(&world, "verified").ok();
    if status == "completed" {
        once_each(&world.pushed(&shown));
    }
    world.untouched();
    world.nothing_running();
}

#[test]
fn worktrees_on_a_full_disk_block_the_run_and_room_cures_it() {
    let mut world = World::new();
    let projects = world.env.path("projects");
    world.env.set("TASKSGODZILLA_PROJECTS_ROOT", projects.to_str().unwrap());
    let plan = plan(&[("01-work.md", WORK)]);
    let big = "x".repeat(600 * 1024);
    let write = |n: usize| json!({"write": [format!("big-{n}.txt"), big.clone()]});
    let mut acts: Vec<Value> = (0..8).map(write).collect();
    acts.push(json!({"final": "Done."}));
    world.script(&json!([
        {"match": {"phase": "plan", "step": ""}, "do": [{"structured": plan}]},
        {"match": {"phase": "execute", "step": "01-work.md"}, "do": acts},
    ]));
    let arguments = world.arguments("dummy", &["--skip-simple-decompose"]).join("' '");
    let script = prelude(&world, "projects", "64m", 3072)
        + &format!(
            r#"run first '{arguments}'
ask blocked protocols show 1 --json
run verified verify
rm "$DISK/ballast"
ask retried protocols retry-latest 1
run second run --continue 1 --json
"#
        );
    world.env.shell(&script).ok();
    let first = part(&world, "first");
    first.refused(1, "blocked (step_failed)");
    first.refused(1, "No space left");
    let blocked = part(&world, "blocked").ok().json();
    assert_eq!(blocked["status_reason"]["code"], "step_failed", "{blocked}");
    part(&world, "verified").ok();
    part(&world, "retried").ok();
    assert_eq!(part(&world, "second").ok().json()["status"], "completed");
    let pushed = world.pushed(&blocked);
    let works = pushed.iter().filter(|subject| subject.contains(": 01-work.md ")).count();
    assert_eq!(works, 1, "{pushed:?}");
    world.sound();
}
