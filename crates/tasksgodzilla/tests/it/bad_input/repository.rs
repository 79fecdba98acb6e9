//! Repositories that are none, are half there, vanish, or try to run code.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::world::{WORK, World, in_worktree, once_each, plan, snapshot, wait_until};
use crate::env::TestEnv;

#[test]
fn what_is_no_repository_is_refused_with_a_remedy_and_nothing_is_made() {
    let env = TestEnv::new();
    fs::create_dir(env.path("plain")).unwrap();
    fs::write(env.path("file"), "x").unwrap();
    fs::create_dir_all(env.path("fake/.git/objects")).unwrap();
    fs::write(env.path("fake/.git/HEAD"), "ref: refs/heads/main\n").unwrap();
    std::os::unix::fs::symlink("loop", env.path("loop")).unwrap();
    let before = ["plain", "fake"].map(|name| snapshot(&env.path(name)));
    for name in ["absent", "absent/deeper", "plain", "file", "fake", "loop"] {
        let path = env.path(name);
        let ended = env.run(&["run", "--engine", "dummy", "--repo", path.to_str().unwrap(), "Do it"]);
        ended.refused(1, name);
    }
    assert_eq!(["plain", "fake"].map(|name| snapshot(&env.path(name))), before);
    assert_eq!(env.ask(&["protocols", "list", "--json"]).ok().json(), json!([]));
}

#[test]
fn a_repository_without_a_base_branch_is_refused_with_a_remedy() {
    let env = TestEnv::new();
    let empty = env.path("empty");
    fs::create_dir(&empty).unwrap();
    env.git(&empty, &["init", "-q", "-b", "main"]);
    let detached = env.repository("detached");
    env.git(&detached, &["checkout", "-q", "--detach"]);
    env.git(&detached, &["branch", "-q", "-D", "main"]);
    for (path, code) in [(&empty, 1), (&detached, 2)] {
        let before = snapshot(path);
        let ended = env.run(&["run", "--engine", "dummy", "--repo", path.to_str().unwrap(), "Do it"]);
        ended.refused(code, "");
        assert!(ended.stderr.contains("branch"), "{ended:?}");
        assert_eq!(snapshot(path), before);
    }
    let (named, _) = env.repository_with_remote("named");
    let named = named.to_str().unwrap();
    for (branch, code) in
        [("absent", 1), ("refs/heads/main", 2), ("--upload-pack=x", 2), ("a..b", 2), ("HEAD", 2)]
    {
        let argument = format!("--base-branch={branch}");
        env.run(&["run", "--engine", "dummy", "--repo", named, &argument, "Do it"]).refused(code, branch);
    }
    assert_eq!(env.ask(&["protocols", "list", "--json"]).ok().json(), json!([]));
}

#[test]
fn a_dirty_checkout_stays_as_it_is_byte_for_byte() {
    for has_remote in [true, false] {
        let env = TestEnv::new();
        let (repository, remote) = if has_remote {
            let (repository, remote) = env.repository_with_remote("checkout");
            (repository, Some(remote))
        } else {
            (env.repository("checkout"), None)
        };
        let mut world = World::with(env, repository, remote);
        dirty(&world.env, &world.repository);
        world.remember();
        let ended = world.run("dummy", &[]);
        assert_eq!(ended.ok().json()["status"], "completed");
        world.sound();
        let run = ended.json();
        let readme = fs::read_to_string(in_worktree(&run, "README.md").unwrap()).unwrap();
        assert_eq!(readme, "# sample\n", "what is not committed is no part of the run");
        assert_eq!(in_worktree(&run, "new.txt"), None);
        assert!(!has_remote || world.pushed(&run).len() >= 3, "{:?}", world.pushed(&run));
    }
}

/// Changed, staged, untracked, ignored, removed, half merged.
fn dirty(env: &TestEnv, repository: &Path) {
    fs::write(repository.join("gone.txt"), "x\n").unwrap();
    fs::write(repository.join(".gitignore"), "*.log\n").unwrap();
    env.git(repository, &["add", "-A"]);
    env.git(repository, &["commit", "-qm", "more"]);
    fs::write(repository.join("README.md"), "half done\n").unwrap();
    fs::write(repository.join("staged.txt"), "staged\n").unwrap();
    env.git(repository, &["add", "staged.txt"]);
    fs::write(repository.join("staged.txt"), "and changed again\n").unwrap();
    fs::write(repository.join("new.txt"), "untracked\n").unwrap();
    fs::write(repository.join("debug.log"), "ignored\n").unwrap();
    fs::write(repository.join(".git/MERGE_MSG"), "half a merge\n").unwrap();
    fs::remove_file(repository.join("gone.txt")).unwrap();
    // An index whose times do not match: whoever asks git for the status the plain way rewrites it.
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let ignore = fs::File::options().write(true).open(repository.join(".gitignore")).unwrap();
    ignore.set_modified(old).unwrap();
}

#[test]
fn a_remote_that_goes_away_in_the_middle_loses_no_work_and_its_return_cures() {
    let mut world = World::new();
    world.script(&json!([
        {"match": {"phase": "plan", "step": ""}, "do": [{"structured": plan(&[("01-work.md", WORK)])}]},
        {"match": {"phase": "execute", "step": "00-setup.md"}, "do": [{"sleep_ms": 1500}, {"final": "Done."}]},
        // Longer than the first tries of the push that failed: those must leave this agent alone.
        {"match": {"phase": "execute", "step": "01-work.md"},
            "do": [{"write": ["work.txt", "work\n"]}, {"sleep_ms": 4000}, {"final": "Done."}]},
    ]));
    let running = world.env.start(&world.arguments("dummy", &["--skip-simple-decompose"]));
    let runs = world.env.home().join("runs");
    let worktree = world.env.home().join("projects/1/worktrees/0001-do-the-work");
    wait_until(|| runs.read_dir().is_ok_and(|calls| calls.count() == 2));
    let remote = world.remote.clone().unwrap();
    let away = remote.with_extension("away");
    fs::rename(&remote, &away).unwrap();
    let run = world.blocked(&running.end(), "push_failed", "check the address");
    assert_eq!(fs::read_to_string(worktree.join("work.txt")).unwrap(), "work\n", "the work itself stands");
    let executed = world.calls(&run).iter().filter(|call| call["run_kind"] == "exec").count();
    assert_eq!(executed, 2, "no agent works twice because a push fails");

    // Back again: what the hint says completes the run, and no step is done twice.
    fs::rename(&away, &remote).unwrap();
    let again = world.env.run(&["run", "--continue", &run["id"].to_string(), "--json"]);
    assert_eq!(again.ok().json()["status"], "completed");
    once_each(&world.pushed(&run));
    world.sound();
}

/// Traps in a repository: each makes a file of its own when it runs.
struct Traps {
    sentinels: PathBuf,
    programs: PathBuf,
}

impl Traps {
    fn new(env: &TestEnv) -> Self {
        let traps = Self { sentinels: env.path("sentinels"), programs: env.path("programs") };
        fs::create_dir(&traps.sentinels).unwrap();
        fs::create_dir(&traps.programs).unwrap();
        traps
    }

    /// A program that makes its sentinel and hands its input on.
    fn program(&self, name: &str) -> String {
        let path = self.programs.join(name);
        self.write(&path, name);
        path.to_str().unwrap().to_owned()
    }

    fn write(&self, path: &Path, name: &str) {
        let sentinel = self.sentinels.join(name);
        fs::write(path, format!("#!/bin/sh\n: > '{}'\ncat\nexit 0\n", sentinel.display())).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn fired(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.sentinels).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Settings, hooks and drivers in a git dir; attributes that use them are committed before.
    fn arm(&self, env: &TestEnv, repository: &Path) {
        for hook in ["pre-commit", "post-checkout", "post-commit", "pre-push", "reference-transaction"] {
            self.write(&repository.join(".git/hooks").join(hook), &format!("hook-{hook}"));
        }
        let included = self.programs.join("included.config");
        fs::write(&included, format!("[core]\n\teditor = {}\n", self.program("include"))).unwrap();
        fs::write(repository.join(".git/info/attributes"), "* filter=evil diff=evil merge=evil\n").unwrap();
        for (key, value) in [
            ("core.fsmonitor", self.program("fsmonitor")),
            ("core.sshCommand", self.program("ssh")),
            ("core.pager", self.program("pager")),
            ("core.askPass", self.program("askpass")),
            ("core.alternateRefsCommand", self.program("alternates")),
            ("credential.helper", format!("!{}", self.program("credential"))),
            ("filter.evil.clean", self.program("clean")),
            ("filter.evil.smudge", self.program("smudge")),
            ("diff.evil.textconv", self.program("textconv")),
            ("diff.evil.command", self.program("diff")),
            ("merge.evil.driver", self.program("merge")),
            ("gpg.program", self.program("gpg")),
            ("commit.gpgSign", "true".to_owned()),
            ("remote.origin.uploadpack", self.program("uploadpack")),
            ("remote.origin.receivepack", self.program("receivepack")),
            ("uploadpack.packObjectsHook", self.program("packobjects")),
            ("include.path", included.to_str().unwrap().to_owned()),
        ] {
            env.git(
                Path::new("/"),
                &["config", "--file", repository.join(".git/config").to_str().unwrap(), key, &value],
            );
        }
    }
}

fn with_attributes(world: &World) {
    let attributes = "* filter=evil diff=evil merge=evil\n";
    fs::write(world.repository.join(".gitattributes"), attributes).unwrap();
    world.env.git(&world.repository, &["add", "-A"]);
    world.env.git(&world.repository, &["commit", "-qm", "attributes"]);
    if world.remote.is_some() {
        world.env.git(&world.repository, &["push", "-q", "origin", "main"]);
    }
}

#[test]
fn a_whole_run_executes_nothing_that_the_repository_configures() {
    for has_remote in [true, false] {
        let env = TestEnv::new();
        let repository = env.repository("checkout");
        let mut world = if has_remote { World::new() } else { World::with(env, repository, None) };
        with_attributes(&world);
        let traps = Traps::new(&world.env);
        traps.arm(&world.env, &world.repository);
        world.remember();
        let run = world.run("dummy", &[]).ok().json();
        assert_eq!(run["status"], "completed");
        assert_eq!(traps.fired(), Vec::<String>::new());
        world.sound();
        assert!(!has_remote || world.pushed(&run).len() >= 3, "{:?}", world.pushed(&run));
        // The traps are armed: plain git runs them.
        fs::write(world.repository.join("README.md"), "changed\n").unwrap();
        for arguments in [&["status"][..], &["add", "-A"], &["diff", "HEAD~1"]] {
            plain(&world.env, &world.repository, arguments);
        }
        let fired = traps.fired();
        for name in ["clean", "diff", "fsmonitor"] {
            assert!(fired.contains(&name.to_owned()), "{name} is no trap: {fired:?}");
        }
    }
}

/// Plain git, whatever it says: only what it runs matters.
fn plain(env: &TestEnv, repository: &Path, arguments: &[&str]) {
    let line = format!("cd '{}' && git {} >/dev/null 2>&1; true", repository.display(), arguments.join(" "));
    env.shell(&line).ok();
}

#[test]
fn an_address_in_the_settings_that_runs_a_program_is_not_used() {
    for key in ["remote.origin.url", "remote.origin.pushurl", "url.ext::sh.insteadOf"] {
        let mut world = World::new();
        let traps = Traps::new(&world.env);
        let program = format!("ext::{}", traps.program("ext"));
        let config = world.repository.join(".git/config");
        let remote = world.remote.clone().unwrap();
        let (key, value) = if key.starts_with("url.") {
            (format!("url.{program}.insteadOf"), remote.to_str().unwrap().to_owned())
        } else {
            (key.to_owned(), program)
        };
        for (key, value) in [("protocol.ext.allow", "always"), (&key, &value)] {
            world.env.git(Path::new("/"), &["config", "--file", config.to_str().unwrap(), key, value]);
        }
        world.remember();
        let ended = world.run("dummy", &[]);
        // Refused, or run with the address as written; never with the program.
        assert!(matches!(ended.code, Some(0..=3)), "{ended:?}");
        if ended.code != Some(0) {
            ended.refused(ended.code.unwrap(), "");
        }
        assert_eq!(traps.fired(), Vec::<String>::new(), "{key}");
        world.sound();
    }
}

#[test]
fn an_agent_that_plants_a_repository_and_drivers_runs_nothing_of_ours() {
    let mut world = World::new();
    let traps = Traps::new(&world.env);
    let settings = format!(
        "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {}\n\tworktree = /\n[filter \"evil\"]\n\tclean = {}\n\tsmudge = {}\n",
        traps.program("fsmonitor"),
        traps.program("clean"),
        traps.program("smudge"),
    );
    let work = json!([
        {"write": [".gitattributes", "* filter=evil diff=evil\n"]},
        {"write": ["nested/.git/HEAD", "ref: refs/heads/main\n"]},
        {"write": ["nested/.git/config", settings]},
        {"write": ["nested/.git/objects/info/x", ""]},
        {"write": ["nested/.git/refs/heads/x", ""]},
        {"write": ["nested/inner.txt", "inner\n"]},
        {"write": [".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = ext::touch\n\tupdate = !touch\n"]},
        {"write": ["work.txt", "work\n"]},
        {"final": "Done."},
    ]);
    let steps = plan(&[("01-work.md", WORK)]);
    world.script(&json!([
        {"match": {"phase": "plan", "step": ""}, "do": [{"structured": steps}]},
        {"match": {"phase": "execute"}, "do": work},
    ]));
    let ended = world.run("dummy", &["--skip-simple-decompose"]);
    assert_eq!(traps.fired(), Vec::<String>::new(), "{ended:?}");
    world.sound();
    let run = ended.json();
    if run["status"] != "completed" {
        ended.refused(1, "blocked");
        return;
    }
    let branch = run["protocol_name"].as_str().unwrap();
    let remote = world.remote.clone().unwrap();
    assert_eq!(world.env.git(&remote, &["show", &format!("{branch}:work.txt")]), "work\n");
    let names = world.env.git(&remote, &["ls-tree", "-r", "--name-only", branch]);
    assert!(!names.contains(".git/"), "{names}");
}
