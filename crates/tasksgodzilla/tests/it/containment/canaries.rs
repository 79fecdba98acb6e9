//! Secrets of the server, and the key an engine is given, are found nowhere afterwards: not in logs,
//! events, database, worktree, history, or on anybody's command line.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::json;

use crate::{
    env::{Ended, wait_until},
    story::Story,
};

/// Secrets of the server that no engine is given.
const SERVER: &[(&str, &str)] = &[
    ("TASKSGODZILLA_API_TOKEN", "canary/api+token=7f3a9c51e0"),
    ("TASKSGODZILLA_WEBHOOK_SECRET", "canary/webhook+secret=81c2d4"),
    ("GITHUB_TOKEN", "ghp_canary0123456789abcdefghijklmnopqrst"),
];

/// The key of the engine. Its characters make every encoding differ from the plain form.
const KEY: &str = "sk-canary/key+value=\"quoted\"&99887766";

/// Ways to tell a secret.
fn told(secret: &str) -> Vec<String> {
    let mut told = forms(secret);
    told.truncate(3);
    for before in ["", "x", "xy"] {
        for after in ["", "z", "zz"] {
            told.push(base64(format!("{before}{secret}{after}").as_bytes()));
        }
    }
    told
}

/// Forms in which a secret may be found.
fn forms(secret: &str) -> Vec<String> {
    let url: String = secret
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    let json = serde_json::to_string(secret).unwrap().trim_matches('"').to_owned();
    let mut forms = vec![secret.to_owned(), url, json];
    // At each of the three offsets, without the characters that neighbours have a part in.
    for pad in 0..3 {
        let padded = [vec![b'x'; pad], secret.as_bytes().to_vec()].concat();
        let text = base64(&padded);
        let from = [0, 2, 3][pad];
        let whole = padded.len() / 3 * 4;
        forms.push(text[from..whole].to_owned());
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_usize, |word, &byte| word << 8 | usize::from(byte))
            << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(SIGNS[word >> (18 - 6 * place) & 63]));
        }
        text.push_str(&"=".repeat(3 - chunk.len()));
    }
    text
}

/// Every file below a folder that holds one of the needles.
fn files_with(folder: &Path, needles: &[String], found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            files_with(&path, needles, found);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            found.extend(
                needles
                    .iter()
                    .filter(|needle| text.contains(*needle))
                    .map(|needle| format!("{needle} in {}", path.display())),
            );
        }
    }
}

/// Nothing of the state directory, of the remote, of what was said or can be listed holds a secret.
fn sweep(story: &Story, said: &[&Ended]) {
    let needles: Vec<String> =
        SERVER.iter().map(|(_, secret)| *secret).chain([KEY]).flat_map(forms).collect();
    let mut found = Vec::new();
    files_with(&story.env.home(), &needles, &mut found);
    assert_eq!(found, Vec::<String>::new());
    // Objects are packed, so the history is looked at as text.
    let control = story.env.home().join("control/1.git");
    let mut shown = story.env.git(&control, &["log", "--all", "-p", "--no-ext-diff", "--no-textconv"]);
    for arguments in [
        &["events", "recent", "--limit", "500", "--json"][..],
        &["runs", "list", "--json"],
        &["protocols", "show", "1"],
        &["config", "show"],
        &["doctor"],
    ] {
        let ended = story.env.ask(arguments);
        shown += &ended.stdout;
        shown += &ended.stderr;
    }
    for ended in said {
        shown += &ended.stdout;
        shown += &ended.stderr;
    }
    let shown_in: Vec<_> = needles.iter().filter(|needle| shown.contains(*needle)).collect();
    assert!(shown_in.is_empty(), "{shown_in:?} in {shown}");
}

fn story() -> Story {
    let mut story = Story::new();
    for (name, secret) in SERVER {
        story.env.set(name, secret);
    }
    story.env.set("OPENAI_API_KEY", KEY).set("TASKSGODZILLA_LOG_LEVEL", "trace");
    story
}

#[test]
fn an_agent_that_tells_every_secret_it_can_find_tells_none() {
    let mut story = story();
    let tell = "env; cat /proc/*/environ | tr '\\0' '\\n'; cat /proc/*/cmdline | tr '\\0' ' '; true";
    let mut acts = vec![json!({"run": tell}), json!({"run": format!("{tell} >&2")})];
    // Told by somebody who knows the key from elsewhere, in every form.
    acts.extend(told(KEY).iter().flat_map(|form| [json!({"say": form}), json!({"raw": form})]));
    acts.push(json!({"final": format!("The key is {KEY}, in other words {}", base64(KEY.as_bytes()))}));
    let with_work = [acts.clone(), vec![json!({"write": ["work.txt", "done\n"]})]].concat();
    let with_work: Vec<_> = with_work.into_iter().collect();
    story.script(&json!([
        {"match": {"phase": "execute"}, "do": with_work},
        {"match": {"phase": "qa", "step": "01-implement.md"}, "do": [
            {"run": tell}, {"final": format!("# Report\n\nThe key {KEY} was used.\n\nVerdict: PASS\n")},
        ]},
        {"match": {"phase": "qa"}, "do": [{"run": tell}, {"say": KEY}, {"fail": "auth"}]},
    ]));
    // The script is material of the test and lies outside the state directory.
    let ended = story.env.run(&story.begin());
    assert_eq!(ended.code, Some(1), "the last judge fails: {ended:?}");
    assert!(story.left().commits.len() >= 4, "the others did their work");
    sweep(&story, &[&ended]);
}

/// A program in the place of codex: it has the key, tells it in every way, and fails or answers.
fn loose_tongue(story: &Story, end: &str) -> std::path::PathBuf {
    let path = story.env.path("bin/codex");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text = format!(
        r#"#!/bin/sh
[ "$1" = exec ] || {{ echo "codex-cli 0.169.0"; exit 0; }}
cat >/dev/null
touch "$HOME/came"
printf '%s' "$OPENAI_API_KEY" | grep -q canary && touch "$HOME/had-the-key"
printf '{{"type":"thread.started","thread_id":"t-1"}}\n{{"type":"turn.started"}}\n'
echo "$OPENAI_API_KEY"
printf '%s' "$OPENAI_API_KEY" | base64 -w0; echo
printf 'x%s' "$OPENAI_API_KEY" | base64 -w0; echo
env
env >&2
printf '%s' "$OPENAI_API_KEY" | cut -c1-10 | tr -d '\n'; sleep 0.2; printf '%s' "$OPENAI_API_KEY" | cut -c11-; echo
printf '{{"type":"item.completed","item":{{"id":"i","type":"agent_message","text":"%s"}}}}\n' "$(printf '%s' "$OPENAI_API_KEY" | sed 's/"/\\"/g')"
while [ -e "$HOME/wait" ]; do sleep 0.05; done
{end}
"#
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn an_engine_that_tells_its_key_and_fails_is_not_quoted() {
    let mut story = story();
    let end = r#"printf '{"type":"turn.failed","error":{"message":"401 Unauthorized: key %s was refused"}}\n' "$(printf '%s' "$OPENAI_API_KEY" | sed 's/"/\\"/g')"; echo "refused $OPENAI_API_KEY" >&2; exit 1"#;
    let program = loose_tongue(&story, end);
    // More would fill the pipe that is read only at the end.
    story.env.set("TASKSGODZILLA_LOG_LEVEL", "info");
    // The sandbox is not what is tested here, and the program is a script of ours.
    story.env.set("TASKSGODZILLA_CODEX_BIN", program.to_str().unwrap()).set("TASKSGODZILLA_SANDBOX", "off");
    let home = story.env.home().join("engines/1/codex");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("wait"), "").unwrap();
    let running =
        story.env.start(&["run", "--engine", "codex", "--repo", story.repository.to_str().unwrap(), "do it"]);
    wait_until("the engine is at work", std::time::Duration::from_secs(30), || home.join("came").exists());
    // While it works, nobody's command line shows a secret.
    let needles: Vec<String> =
        SERVER.iter().map(|(_, secret)| *secret).chain([KEY]).flat_map(forms).collect();
    let processes = story.env.processes();
    assert!(processes.len() >= 3, "worker, supervisor and engine: {processes:?}");
    for process in processes {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        assert!(!needles.iter().any(|needle| line.contains(needle)), "{line}");
    }
    fs::remove_file(home.join("wait")).unwrap();
    let ended = running.end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(home.join("had-the-key").exists(), "it was given no key, so nothing was tested");
    story.ended_honestly(&ended);
    sweep(&story, &[&ended]);
    let logs = fs::read_dir(story.env.home().join("runs")).unwrap();
    let told = logs.map(|call| fs::read_to_string(call.unwrap().path().join("logs.txt")).unwrap());
    assert!(told.into_iter().any(|log| log.contains("[redacted]")));
}
