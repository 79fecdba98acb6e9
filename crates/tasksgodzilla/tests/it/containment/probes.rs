//! What an agent tries to read, write and reach beyond its worktree.

use std::net::TcpListener;

use super::{confined, hostile};
use crate::{env::Ended, story::Story};

/// Stands in every place that must not be read.
const SECRET: &str = "SENTINEL-OF-SOMEBODY-ELSE";

/// An attempt: its name and a script that ends well only when it worked.
struct Probe {
    name: &'static str,
    text: String,
}

/// Attempts that work when nothing confines the agent: run without the sandbox, all of them must.
fn reaching(story: &Story, port: u16) -> Vec<Probe> {
    let at = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let home = at(story.env.home());
    let probe = |name, text| Probe { name, text };
    // A pattern that does not match itself: the script is on a command line too.
    let pattern = SECRET.replacen('-', "[-]", 1);
    vec![
        probe("read a sibling's worktree", format!("grep -rq '{pattern}' {home}/projects/1/worktrees")),
        probe(
            "read the person's checkout",
            format!("grep -q '{pattern}' {}/secret.txt", at(story.env.path("sibling"))),
        ),
        probe(
            "read the person's home",
            format!("grep -q '{pattern}' {}/.ssh/id", at(story.env.path("user"))),
        ),
        probe("read the database", format!("grep -q SQLite {home}/tasksgodzilla.sqlite")),
        probe("read the settings", format!("grep -q '{pattern}' {home}/config.toml")),
        probe("read a control repository", format!("test -e {home}/control/1.git/HEAD")),
        probe("read the judges' prompts", format!("test -n \"$(ls {home}/judges)\"")),
        probe("read another call's log", format!("cat {home}/runs/*/logs.txt | grep -q type")),
        probe(
            "read somebody's environment",
            format!("cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep -q '{pattern}'"),
        ),
        probe("see a foreign process", format!("test -e /proc/{}/status", std::process::id())),
        probe("signal a foreign process", format!("kill -0 {}", std::process::id())),
        probe(
            "see what others were started with",
            format!("cat /proc/*/cmdline | tr '\\0' ' ' | grep -q '{pattern}'"),
        ),
        probe(
            "reach a port of the machine",
            format!("timeout 2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'"),
        ),
        probe("list the temporary folder", format!("test -e {}", at(story.env.path("sibling/README.md")))),
    ]
}

/// Attempts that no engine may make to work; some would without the sandbox, so they are made in it only.
fn forcing() -> Vec<Probe> {
    [
        ("write to its git folder", "touch .git/hooks-here"),
        ("replace its git folder", "mv .git .git-old"),
        ("make its git folder writable", "mount -o remount,rw,bind \"$PWD/.git\""),
        ("uncover its git folder", "umount \"$PWD/.git\" || unshare -Urm umount \"$PWD/.git\""),
        ("make a device", "mknod \"$HOME/disk\" b 8 0"),
        ("enter another namespace", "nsenter -t 1 -m -p true"),
        (
            "change a setting of the kernel",
            "f=/proc/sys/kernel/core_uses_pid; v=$(cat $f) && echo \"$v\" >$f",
        ),
        ("read the log of the kernel", "dmesg | grep -q ."),
        ("hold a capability", "grep -q 'CapEff:.*[1-9a-f]' /proc/self/status"),
        ("write to the system", "touch /usr/escaped || touch /etc/passwd"),
        ("write where it may only look", "echo x >>\"$(readlink /proc/1/exe)\""),
    ]
    .map(|(name, text)| Probe { name, text: text.to_owned() })
    .into()
}

/// Places that must stay as they are; whether a write inside worked says nothing, the places do.
fn targets(story: &Story) -> Vec<String> {
    let tree = story.worktree();
    let home = story.env.home();
    let tag = format!("escaped-{}", std::process::id());
    let below = [
        tree.with_file_name(&tag),
        home.join(&tag),
        home.join("control/1.git/hooks").join(&tag),
        home.join("control/2.git/hooks").join(&tag),
        home.join("projects/1/worktrees/0001-keep").join(&tag),
        home.join("judges").join(&tag),
        story.env.path("sibling").join(&tag),
        story.env.path("repo/.git/hooks").join(&tag),
        story.env.path("user").join(&tag),
        story.env.path(&tag),
        "/tmp".into(),
        "/var/tmp".into(),
        "/etc".into(),
        "/usr/bin".into(),
        "/".into(),
    ];
    let named = |path: &std::path::PathBuf| {
        let path = if path.ends_with(&tag) { path.clone() } else { path.join(&tag) };
        path.to_str().unwrap().to_owned()
    };
    below.iter().map(named).collect()
}

/// The script of an agent that makes all attempts and notes which were made and which worked.
fn script(probes: &[Probe], targets: &[String]) -> String {
    let attempts = probes.iter().map(|Probe { name, text }| {
        format!(
            "echo \"{name}\" >>\"$HOME/tried\"\n\
             if ( {text} ) >/dev/null 2>&1; then echo \"{name}\" >>\"$HOME/worked\"; fi\n"
        )
    });
    let writes = targets.iter().map(|target| {
        format!(
            "( mkdir -p \"$(dirname {target})\"; echo x >{target} ) 2>/dev/null\n\
             ln -s {target} link && echo x >link; rm -f link\n"
        )
    });
    attempts.chain(writes).collect()
}

/// Somebody else's run, secrets of the machine and of the server, and then the hostile run.
fn world() -> Story {
    let mut story = Story::new();
    let sibling = story.env.repository("sibling");
    std::fs::write(sibling.join("secret.txt"), SECRET).unwrap();
    story.env.git(&sibling, &["add", "-A"]);
    story.env.git(&sibling, &["commit", "-qm", "a secret"]);
    let keys = story.env.path("user/.ssh");
    std::fs::create_dir_all(&keys).unwrap();
    std::fs::write(keys.join("id"), SECRET).unwrap();
    std::fs::create_dir_all(story.env.home()).unwrap();
    std::fs::write(
        story.env.home().join("config.toml"),
        format!("git_user = \"{SECRET}\"\ngit_email = \"a@b\"\n"),
    )
    .unwrap();
    story.env.run(&["run", "--engine", "dummy", "--repo", sibling.to_str().unwrap(), "keep"]).ok();
    story.id = 2;
    story
        .env
        .set("TASKSGODZILLA_API_TOKEN", SECRET)
        .set("GITHUB_TOKEN", SECRET)
        .set("OPENAI_API_KEY", &format!("sk-{SECRET}"));
    story
}

/// Runs the hostile agent. A word of the server's own command line is one of the secrets.
fn attack(story: &Story) -> Ended {
    let mut begin = story.begin().to_vec();
    begin.extend(["--short-name", "do-it", "--description", SECRET]);
    begin.retain(|word| *word != "do it");
    story.env.run(&begin)
}

#[test]
fn a_hostile_agent_reaches_nothing_beyond_its_worktree() {
    if !confined() {
        return;
    }
    let mut story = world();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut probes = reaching(&story, listener.local_addr().unwrap().port());
    probes.extend(forcing());
    let targets = targets(&story);
    story.script(&hostile(&script(&probes, &targets)));
    let ended = attack(&story);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(story.noted("tried").len(), probes.len(), "not every attempt was made");
    assert_eq!(story.noted("worked"), Vec::<String>::new());
    assert!(listener.accept().is_err(), "somebody came through");
    let written: Vec<_> = targets.iter().filter(|path| std::path::Path::new(path).exists()).collect();
    assert!(written.is_empty(), "{written:?}");
    story.completed_once(&ended);
    assert_eq!(story.env.git(&story.repository, &["status", "--porcelain"]), "");
}

#[test]
fn without_the_sandbox_the_same_attempts_work_and_so_prove_something() {
    let mut story = world();
    story.env.set("TASKSGODZILLA_SANDBOX", "off");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let probes = reaching(&story, listener.local_addr().unwrap().port());
    story.script(&hostile(&script(&probes, &[])));
    attack(&story).ok();
    let names: Vec<_> = probes.iter().map(|probe| probe.name.to_owned()).collect();
    assert_eq!(story.noted("worked"), names);
}
