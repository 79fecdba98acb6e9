//! A session over the API with nothing but the binary: a server, a project, runs that are created,
//! started, followed, paused, resumed, approved and cancelled, and the same events seen by a watcher.

use std::time::Duration;

use serde_json::Value;

use crate::env::{TestEnv, wait_until};

/// A state directory that is served, and a project in it.
struct World {
    env: TestEnv,
    project: String,
}

impl World {
    /// Answers as JSON.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let all: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        self.env.run(&all).ok().json()
    }

    fn status(&self, run: &str) -> Value {
        self.json(&["protocols", "show", run])["status"].clone()
    }

    /// Ids of the steps of a run.
    fn steps(&self, run: &str) -> Vec<String> {
        let steps = self.json(&["steps", "list", "--protocol", run]);
        steps.as_array().unwrap().iter().map(|step| step["id"].to_string()).collect()
    }
}

fn world(env: TestEnv) -> World {
    let (repository, _) = env.repository_with_remote("repo");
    let made = env.run(&["projects", "create", "--path", repository.to_str().unwrap(), "--json"]);
    let project = made.ok().json();
    assert_eq!((project["name"].as_str(), project["base_branch"].as_str()), (Some("repo"), Some("main")));
    let project = project["id"].to_string();
    World { env, project }
}

#[test]
fn a_run_is_led_to_its_end_from_the_command_line_alone() {
    let env = TestEnv::new();
    let (server, _) = env.serve(&[]);
    let mut watcher = env.start(&["events", "watch", "--after", "0", "--json"]);
    let world = world(env);

    let create = ["protocols", "create", "--project", &world.project, "--engine", "dummy", "do it"];
    let run = world.json(&create);
    assert_eq!(
        (run["status"].as_str(), run["protocol_name"].as_str()),
        (Some("pending"), Some("0001-do-it"))
    );
    let run = run["id"].to_string();
    let started = world.env.run(&["protocols", "start", &run, "--follow", "--json"]);
    assert_eq!(started.ok().json()["status"], "planned");
    for event in ["planning_enqueued", "planned"] {
        assert!(started.stderr.contains(event), "{event} is shown live: {started:?}");
    }

    let paused = world.json(&["protocols", "pause", &run, "--reason", "lunch"]);
    assert_eq!(
        (paused["status"].as_str(), paused["paused_from"].as_str()),
        (Some("paused"), Some("planned"))
    );
    world.env.run(&["protocols", "start", &run]).refused(1, "illegal_transition");
    assert_eq!(world.json(&["protocols", "resume", &run])["status"], "planned");

    let mut steps = world.steps(&run);
    assert!(steps.len() > 1, "{steps:?}");
    add_a_step(&world, &run);
    let last = steps.pop().unwrap();
    let mut approved = 0;
    for step in &steps {
        world.env.run(&["protocols", "run-next", &run, "--follow"]).ok();
        match world.json(&["steps", "show", step])["status"].as_str().unwrap() {
            // A step of set-up needs no verdict.
            "completed" => {}
            "needs_qa" => {
                let now = world.json(&["steps", "approve", step, "--note", "looked at it"]);
                assert_eq!(now["status"], "completed");
                approved += 1;
            }
            other => panic!("step {step} is {other}"),
        }
    }
    assert!(approved > 0, "{steps:?}");
    world.env.run(&["steps", "approve", &last]).ok();
    assert_eq!(world.status(&run), "completed");
    world.env.run(&["protocols", "cancel", &run]).refused(1, "illegal_transition");

    let other = cancel_another(&world);
    watched_once(&mut watcher, &other);
    let ended = watcher.signal("-INT");
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let checked = world.json(&["events", "verify"]);
    assert_eq!(checked["ok"], true);
    server.signal("-TERM").ok();
    world.env.run(&["verify"]).ok();
}

/// Adds a step by hand and looks at what it would do.
fn add_a_step(world: &World, run: &str) {
    let add =
        ["steps", "create", "--protocol", run, "--index", "1", "--name", "x.md", "--summary", "say bye"];
    world.env.run(&add).refused(1, "duplicate_step");
    let add =
        ["steps", "create", "--protocol", run, "--index", "9", "--name", "x.md", "--summary", "say bye"];
    let step = world.json(&add)["id"].to_string();
    let plan = world.json(&["steps", "plan", &step]);
    assert_eq!(
        (plan["engine_id"].as_str(), plan["prompt_path"].as_str()),
        (Some("dummy"), Some("spec:x.md"))
    );
    let shown = world.env.run(&["steps", "plan", &step]);
    let has = |name: &str, value: &str| {
        let line = shown.stdout.lines().find(|line| line.starts_with(name));
        assert!(line.is_some_and(|line| line.ends_with(value)), "{name} {value}: {shown:?}");
    };
    has("engine ", "dummy (scripted, nothing real is done)");
    has("prompt ", "spec:x.md");
    has("gate status ", "open");
    has("time ", "1200 s");
    world.env.run(&["steps", "approve", &step]).ok();
    let shown = world.env.run(&["steps", "plan", &step]);
    assert!(shown.stdout.contains("closed: step_run"), "{shown:?}");
}

/// Starts a run whose engine never ends, and cancels it.
fn cancel_another(world: &World) -> String {
    let arguments = [
        "protocols",
        "create-and-start",
        "--project",
        &world.project,
        "--engine",
        "dummy",
        "--model",
        "hang",
        "do it again",
    ];
    let run = world.json(&arguments)["id"].to_string();
    wait_until("the engine works", Duration::from_secs(30), || {
        let calls = world.json(&["runs", "list", "--protocol", &run, "--status", "running"]);
        !calls.as_array().unwrap().is_empty()
    });
    assert_eq!(world.json(&["protocols", "cancel", &run, "--reason", "enough"])["status"], "cancelled");
    wait_until("the engine is gone", Duration::from_secs(30), || {
        let calls = world.json(&["runs", "list", "--protocol", &run, "--status", "running"]);
        calls.as_array().unwrap().is_empty()
    });
    run
}

/// The watcher has printed every event up to the end of this run once, in order.
fn watched_once(watcher: &mut crate::env::Running, run: &str) {
    let run: i64 = run.parse().unwrap();
    let (mut last, mut actors) = (0, Vec::new());
    let cancelled = |event: &Value| event["event_type"] == "cancelled" && event["protocol_run_id"] == run;
    loop {
        let event: Value = serde_json::from_str(&watcher.line(|_| true)).unwrap();
        assert_eq!(event["seq"].as_i64().unwrap(), last + 1, "{event}");
        last += 1;
        actors.extend(event["actor"].as_str().map(str::to_owned));
        if cancelled(&event) {
            break;
        }
    }
    assert!(last > 15, "{last} events");
    assert!(actors.contains(&"admin".to_owned()), "{actors:?}");
}

#[test]
fn a_followed_run_that_advances_by_itself_ends_with_its_verdict() {
    let env = TestEnv::new();
    let (server, _) = env.serve(&[]);
    let world = world(env);
    let arguments = [
        "protocols",
        "create-and-start",
        "--project",
        &world.project,
        "--engine",
        "dummy",
        "--auto-advance",
        "--follow",
        "do it",
    ];
    let ended = world.env.run(&arguments);
    assert!(ended.ok().stdout.contains("completed"), "{ended:?}");
    let calls = world.json(&["protocols", "runs", "1", "--kind", "exec"]);
    let call = calls[0]["run_id"].as_str().unwrap().to_owned();
    let followed = world.env.run(&["runs", "logs", &call, "--follow"]);
    assert!(!followed.ok().stdout.is_empty(), "{followed:?}");
    assert_eq!(world.env.run(&["runs", "logs", &call]).ok().stdout, followed.stdout);
    let diff = world.env.run(&["protocols", "diff", "1"]);
    assert!(diff.ok().stdout.contains("diff --git "), "{diff:?}");
    let changes = world.json(&["protocols", "diff", "1", "--stat"]);
    assert!(!changes.as_array().unwrap().is_empty());
    server.signal("-TERM").ok();
}

#[test]
fn a_watcher_goes_on_over_a_restart_of_the_server() {
    let env = TestEnv::new();
    let (server, address) = env.serve(&["--no-worker"]);
    let mut watcher = env.start(&["events", "watch", "--after", "0", "--json"]);
    let world = world(env);
    watcher.line(|line| line.contains("project_created"));
    server.signal("-KILL");
    watcher.error_line(|line| line.contains("the connection broke"));
    let port = address.rsplit(':').next().unwrap();
    let mut server = world.env.start(&["serve", "--no-worker", "--port", port]);
    server.line(|line| line.starts_with("serving "));
    watcher.error_line(|line| line.contains("connected again"));
    world.env.run(&["projects", "update", &world.project, "--name", "renamed"]).ok();
    let event: Value = serde_json::from_str(&watcher.line(|_| true)).unwrap();
    assert_eq!(event["event_type"], "project_updated", "the first event is not shown again");
    assert_eq!(watcher.signal("-INT").code, Some(130));
    server.signal("-TERM").ok();
}
