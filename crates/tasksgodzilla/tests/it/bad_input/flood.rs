//! An engine that prints a gigabyte without an end of line: the memory of every process of ours stays
//! bounded, and the flood is no answer.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::world::World;
use crate::env::Ended;

const MIB: u64 = 1024 * 1024;

/// A gigabyte takes a while on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// Ends a call in a way that is not tried again.
const REFUSED: &str = r#"echo '{"type":"turn.failed","error":{"message":"401 Unauthorized"}}'; exit 1"#;

#[test]
fn a_gigabyte_without_an_end_of_line_costs_little_memory_and_never_passes() {
    let mut world = World::new();
    // The sandbox shows this engine its home, where it remembers its flood; the second call ends it all.
    world.codex(&format!(
        r#"cat >/dev/null
if [ -e "$HOME/flooded" ]; then {REFUSED}; fi
: > "$HOME/flooded"
head -c 1G /dev/zero | tr '\0' x"#
    ));
    world.env.set("TASKSGODZILLA_RUN_LOG_MAX_BYTES", "4194304");
    let (ended, flooded) = peak(&world);
    let run = world.blocked(&ended, "engine_unavailable", "401 Unauthorized");
    let call = &world.calls(&run)[0];
    assert_eq!(call["status"], "failed", "{call}");
    assert!(call["error"].as_str().unwrap().contains("without saying"), "{call}");
    assert_eq!(call["result"]["engine_call"]["output_bytes"].as_u64(), Some(1024 * MIB), "{call}");
    let log = world.env.home().join("runs").join(call["run_id"].as_str().unwrap()).join("logs.txt");
    assert!(fs::metadata(log).unwrap().len() < 5 * MIB, "the log is capped");

    let mut quiet = World::new();
    quiet.codex(&format!("cat >/dev/null; {REFUSED}"));
    let (ended, usual) = peak(&quiet);
    quiet.blocked(&ended, "engine_unavailable", "401 Unauthorized");
    assert!(usual > MIB, "peak memory was not seen: {usual}");
    assert!(
        flooded < usual + 64 * MIB,
        "peak memory {} MiB with a flood, {} MiB without",
        flooded / MIB,
        usual / MIB
    );
}

/// Runs codex on a world; the largest peak of resident memory of any process of ours.
fn peak(world: &World) -> (Ended, u64) {
    let running = world.env.start(&world.arguments("codex", &[]));
    let own = fs::read_link(format!("/proc/{}/exe", running.id())).unwrap();
    let began = Instant::now();
    let mut peak = 0;
    while !is_over(running.id()) {
        assert!(began.elapsed() < LIMIT, "the flood takes too long");
        peak = peak.max(high_water(&own, world));
        std::thread::sleep(Duration::from_millis(10));
    }
    (running.end(), peak)
}

/// The process has ended; nobody waited for it yet.
fn is_over(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z'))
}

/// Largest `VmHWM` in bytes among the processes of this test that run our binary.
fn high_water(own: &Path, world: &World) -> u64 {
    let home = world.env.home();
    let home = home.to_str().unwrap().as_bytes();
    let mut largest = 0;
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let is_ours = fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == own);
        if !is_ours || !read("environ").windows(home.len()).any(|part| part == home) {
            continue;
        }
        let status = String::from_utf8_lossy(&read("status")).into_owned();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0);
        largest = largest.max(kib * 1024);
    }
    largest
}
