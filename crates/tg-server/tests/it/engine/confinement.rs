//! What a confined engine can see and write.

use std::{fs, path::Path};

use serde_json::json;
use tg_server::{
    engine::{
        FailKind, Role,
        sandbox::{Grant, Sandbox},
    },
    process::{Command, Wrap, run},
    secret::Secret,
};

use super::fixture::{Fixture, sandbox};

/// Says what a shell command printed, as the last message; quotes and ends of line become spaces.
fn tells(command: &str) -> Fixture {
    Fixture::script(&format!(
        r#"cat >/dev/null; said=$( ({command}) 2>/dev/null | tr '\n\000"\\' '    ')
        echo "{{\"type\":\"item.completed\",\"item\":{{\"type\":\"agent_message\",\"text\":\"$said.\"}}}}"
        echo '{{"type":"turn.completed"}}'"#
    ))
}

async fn told(fixture: Fixture) -> Option<String> {
    let fixture = fixture.confined().await?;
    let ended = fixture.run().await;
    assert_eq!(ended.outcome, Ok(()), "{}", fixture.log());
    Some(ended.final_text)
}

#[tokio::test]
async fn an_execution_works_and_its_change_is_on_the_disk() {
    let Some(fixture) = Fixture::new(Role::Execute, "ok").confined().await else { return };
    assert_eq!(fixture.run().await.outcome, Ok(()));
    assert!(fixture.request.directory.join("dummy/01-work.md").is_file());
}

#[tokio::test]
async fn only_an_execution_may_write() {
    for role in [Role::Discover, Role::Plan, Role::Qa] {
        let mut fixture = Fixture::new(role, "ok");
        let script = fixture.root().join("script.json");
        fs::write(&script, json!([{"do": [{"write": ["stray.txt", "x"]}]}]).to_string()).unwrap();
        fixture.config.dummy_script = Some(script);
        let Some(fixture) = fixture.confined().await else { return };
        assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::Crashed);
        assert!(!fixture.request.directory.join("stray.txt").exists());
    }
}

#[tokio::test]
async fn an_escape_writes_nothing_outside() {
    let fixture = Fixture::new(Role::Execute, "escape");
    fs::create_dir(fixture.request.directory.join(".git")).unwrap();
    let Some(fixture) = fixture.confined().await else { return };
    assert_eq!(fixture.run().await.outcome, Ok(()));
    let git = fixture.request.directory.join(".git");
    let tried = [
        Path::new("/etc"),
        Path::new("/usr"),
        Path::new("/var/tmp"),
        Path::new("/"),
        Path::new("/tmp"),
        fixture.root(),
        &git,
    ];
    for place in tried {
        let escaped: Vec<_> = fs::read_dir(place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("escaped-"))
            .collect();
        assert_eq!(escaped, Vec::<String>::new(), "in {}", place.display());
    }
}

#[tokio::test]
async fn siblings_state_and_secrets_of_the_machine_cannot_be_read() {
    let fixture =
        tells("cat ../sibling/note ../home/tasksgodzilla.sqlite /etc/shadow /root/.bashrc; ls /home");
    for file in ["sibling/note", "home/tasksgodzilla.sqlite"] {
        let path = fixture.root().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "confidential").unwrap();
    }
    let Some(text) = told(fixture).await else { return };
    assert_eq!(text, ".");
}

#[tokio::test]
async fn the_environment_is_ours_and_nobody_elses_can_be_seen() {
    let mut fixture = tells("cat /proc/[0-9]*/environ | tr '\\000' '\\n' | cut -d= -f1 | sort -u");
    fixture.request.environment.push(("ENGINE_KEY".to_owned(), Secret::new("key-of-the-engine".to_owned())));
    let Some(text) = told(fixture).await else { return };
    let mut names: Vec<&str> = text.trim_end_matches('.').split_whitespace().collect();
    // The shell adds its own.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    let expected = [
        "CODEX_HOME",
        "ENGINE_KEY",
        "HOME",
        "LANG",
        "NO_COLOR",
        "PATH",
        "TASKSGODZILLA_RUN_ID",
        "TASKSGODZILLA_STATE",
        "TERM",
        "TMPDIR",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn keys_are_on_no_command_line() {
    let mut fixture = Fixture::script(
        "cat >/dev/null; echo '{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\"text\":\"begun\"}}'; sleep 300",
    );
    fixture.request.environment.push(("ENGINE_KEY".to_owned(), Secret::new("key-of-the-engine".to_owned())));
    let Some(fixture) = fixture.confined().await else { return };
    tokio::join!(fixture.run(), async {
        fixture.until("it has begun", |fixture| fixture.said().contains("begun")).await;
        for pid in fixture.alive() {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&line).contains("key-of-the-engine"));
        }
        fixture.cancel.cancel();
    });
}

#[tokio::test]
async fn the_log_of_the_call_is_out_of_reach() {
    let fixture = tells("ls $(dirname $0)/home/runs/*");
    let Some(text) = told(fixture).await else { return };
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["exchange", "."]);
}

#[tokio::test]
async fn without_network_there_is_no_interface() {
    let Some(text) = told(tells("tail -n +3 /proc/net/dev | cut -d: -f1")).await else { return };
    assert_eq!(text.trim(), "lo .");
}

#[tokio::test]
async fn processes_outside_cannot_be_seen() {
    let pid = std::process::id();
    let Some(text) = told(tells(&format!("cat /proc/{pid}/stat; ls -d /proc/[0-9]* | wc -l"))).await else {
        return;
    };
    let count: u32 = text.trim_end_matches('.').trim().parse().unwrap();
    assert!(count < 15, "{text}");
}

#[tokio::test]
async fn nothing_is_confined_by_a_sandbox_that_is_not_there() {
    let sandbox = Sandbox::Unavailable("no bwrap here".to_owned());
    let fixture = Fixture::new(Role::Execute, "ok");
    let grant = grant(&fixture);
    assert_eq!(sandbox.wrap(&grant), Err("no bwrap here".to_owned()));
    assert_eq!(sandbox.git_wrap(&grant.home, &grant.worktree), Wrap::None);
}

#[tokio::test]
async fn a_grant_that_shows_everything_is_refused() {
    let Some(sandbox) = sandbox().await else { return };
    let fixture = Fixture::new(Role::Execute, "ok");
    for wide in ["/", "/home", "relative"] {
        let grant = Grant { worktree: wide.into(), ..grant(&fixture) };
        assert!(sandbox.wrap(&grant).is_err(), "{wide}");
    }
}

#[tokio::test]
async fn git_works_in_its_wrap_and_reaches_nothing_else() {
    let Some(sandbox) = sandbox().await else { return };
    let fixture = Fixture::new(Role::Execute, "ok");
    let control = fixture.root().join("control");
    fs::create_dir(&control).unwrap();
    let secret = fixture.root().join("secret");
    fs::write(&secret, "confidential").unwrap();
    let command = |line: String| Command {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), line.into()],
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        directory: fixture.request.directory.clone(),
        input: Vec::new(),
        wrap: sandbox.git_wrap(&control, &fixture.request.directory),
        timeout: std::time::Duration::from_secs(20),
        output_cap: 4096,
    };
    let made = run(command(format!("git --git-dir={} init -q --bare && echo x > file", control.display())))
        .await
        .unwrap();
    assert_eq!(made.status, Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(control.join("HEAD").is_file() && fixture.request.directory.join("file").is_file());
    let read = run(command(format!("cat {}", secret.display()))).await.unwrap();
    assert_ne!(read.status, Some(0));
    assert_eq!(read.stdout, b"");
}

#[tokio::test]
async fn a_login_is_shared_only_when_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    fs::write(&file, "the login").unwrap();
    let try_it = format!("cat {0}; cat $CODEX_HOME/auth.json; touch {0}.renewed", file.display());
    let Some(said) = told(tells(&try_it)).await else { return };
    assert!(!said.contains("the login"), "{said}");
    assert!(!folder.path().join("auth.json.renewed").exists());
    let mut fixture = tells(&try_it);
    fixture.request.login = Some(folder.path().to_owned());
    let said = told(fixture).await.unwrap();
    assert_eq!(said.matches("the login").count(), 2, "{said}");
    assert!(folder.path().join("auth.json.renewed").exists(), "a login can be renewed");
}

fn grant(fixture: &Fixture) -> Grant {
    Grant {
        worktree: fixture.request.directory.clone(),
        role: Role::Execute,
        home: fixture.request.home.clone(),
        login: None,
        call_dir: fixture.request.call_dir.clone(),
        read_only: Vec::new(),
        network: false,
    }
}
