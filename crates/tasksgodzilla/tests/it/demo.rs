//! `demo`: from nothing to a completed run, as often as one likes.

use std::path::Path;

use crate::env::TestEnv;

#[test]
fn it_completes_twice_and_what_it_names_is_there() {
    let env = TestEnv::new();
    for _ in 0..2 {
        let ended = env.run(&["demo", "--json"]);
        let demo = ended.ok().json();
        assert_eq!(demo["run"]["status"], "completed");
        assert_eq!(demo["run"]["engine"], "dummy");
        let commits = demo["commits"].as_array().unwrap();
        assert!(commits.len() >= 2, "{commits:?}");
        let files = Path::new(demo["protocol_files"].as_str().unwrap());
        assert!(files.ends_with(".protocols/0001-greeting"), "{files:?}");
        assert!(files.join("plan.md").is_file());
        let home = Path::new(demo["directory"].as_str().unwrap()).join("state");
        let verified = env.run(&["--home", home.to_str().unwrap(), "verify", "--json"]);
        assert_eq!(verified.ok().json()["first_bad"], serde_json::Value::Null);
    }
    let left = std::fs::read_dir(env.home().join("demo")).unwrap().count();
    assert_eq!(left, 1, "only the last demo is kept");
    env.run(&["demo", "--keep", "--quiet"]).ok();
    assert_eq!(std::fs::read_dir(env.home().join("demo")).unwrap().count(), 2);
}

#[test]
fn it_tells_what_a_person_wants_to_see() {
    let env = TestEnv::new();
    let ended = env.run(&["demo", "--verbose"]);
    for wanted in [
        "timeline",
        "protocol_created",
        "0001-greeting",
        "[protocol-0001/00]",
        ".protocols/0001-greeting",
        "plan.md",
        "nothing real was done",
        "rm -rf",
    ] {
        assert!(ended.ok().stdout.contains(wanted), "{wanted} not in {ended:?}");
    }
    assert!(!ended.stdout.contains('\u{1b}') && !ended.stderr.contains('\u{1b}'), "{ended:?}");
}
