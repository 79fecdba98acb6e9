//! What a run and a step changed, over HTTP: text, list, limits, and what there is to say when there is
//! nothing to see.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tg_core::{ids::RunId, lifecycle::Signal};
use tg_server::testing::{api::Api, app::TestApp};

use crate::journey::{NAME, short, worked};

/// The agent of the work step changes files of all kinds, and plants what plain git would run.
fn rules(more: &str) -> Vec<Value> {
    let script = format!(
        "git mv -f README.md READ.md 2>/dev/null || mv README.md READ.md\n\
         printf '#!/bin/sh\\necho hello\\n' > hello.sh\n\
         printf 'caf\\351\\n' > \"$(printf '\\377').txt\"\n\
         printf '* -diff diff=evil\\n' > .gitattributes\n\
         printf '\\000\\001' > data.bin\n\
         {more}"
    );
    vec![
        json!({"match": {"phase": "execute", "step": "01-work.md"}, "do": [{"run": script}, {"final": "done"}]}),
    ]
}

async fn token(api: &Api, project: i64) -> String {
    let asked = json!({"name": format!("of {project}"), "scope": "project", "project_id": project});
    api.post("/tokens", &asked).await.json()["token"].as_str().unwrap().to_owned()
}

async fn world(more: &str) -> (TestApp, Api, RunId) {
    let app = short(&rules(more)).make().await;
    let run = worked(&app, None).await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
    let api = Api::new(&app.app);
    (app, api, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_and_a_step_are_shown_as_text_and_as_a_list() {
    let (app, api, run) = world("").await;
    let got = api.get(&format!("/protocols/{run}/diff")).await;
    assert_eq!(got.status.as_u16(), 200);
    assert_eq!(got.header("content-type"), "text/x-diff; charset=utf-8");
    assert_eq!((got.header("x-content-type-options"), got.header("x-truncated")), ("nosniff", ""));
    let text = String::from_utf8(got.body.to_vec()).unwrap();
    for part in [
        "rename from README.md\nrename to READ.md\n",
        "+echo hello\n",
        "+caf\u{fffd}\n",
        "Binary files /dev/null and b/data.bin differ\n",
        "+++ b/.protocols/0001-say-hello/plan.md\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let step = app.step(run, "01-work.md").await.id;
    let of_step = api.get(&format!("/steps/{step}/diff")).await;
    let text = String::from_utf8(of_step.body.to_vec()).unwrap();
    assert!(text.contains("+echo hello\n") && !text.contains("/plan.md"), "{text}");

    let list = api.get(&format!("/steps/{step}/diff?stat=true")).await;
    assert_eq!(list.header("content-type"), "application/json");
    let list = list.json();
    let find =
        |path: &str| list.as_array().unwrap().iter().find(|file| file["path"] == path).unwrap().clone();
    let renamed = json!({"path": "READ.md", "old_path": "README.md", "status": "renamed", "additions": 0,
        "deletions": 0, "binary": false});
    assert_eq!(find("READ.md"), renamed);
    let binary =
        json!({"path": "data.bin", "status": "added", "additions": 0, "deletions": 0, "binary": true});
    assert_eq!(find("data.bin"), binary);
    assert_eq!(find("\u{fffd}.txt")["additions"], 1);

    let one = api.get(&format!("/protocols/{run}/diff?path=hello.sh&context=0")).await;
    let one = String::from_utf8(one.body.to_vec()).unwrap();
    assert!(one.matches("diff --git").count() == 1 && !one.contains("\n #!/bin/sh"), "{one}");
    let folder = api.get(&format!("/protocols/{run}/diff?path=.protocols&stat=true")).await.json();
    assert!(!folder.as_array().unwrap().is_empty());
    assert!(
        folder
            .as_array()
            .unwrap()
            .iter()
            .all(|file| file["path"].as_str().unwrap().starts_with(".protocols/"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_an_agent_leaves_in_its_tree_runs_when_people_look() {
    let world = tempfile::tempdir().unwrap();
    let mark = world.path().join("fired");
    let (app, api, run) = self::world("").await;
    let tree = PathBuf::from(app.run(run).await.worktree_path.unwrap());
    let fire = format!("sh -c ': > {}'", mark.display());
    for (key, value) in [
        ("core.fsmonitor", fire.as_str()),
        ("diff.external", &fire),
        ("diff.evil.command", &fire),
        ("diff.evil.textconv", &fire),
        ("filter.evil.clean", &fire),
    ] {
        app.git(&tree, &["config", key, value]).await;
    }
    fs::write(tree.join(".gitattributes"), "* diff=evil filter=evil\n").unwrap();
    fs::write(tree.join("draft.txt"), "draft\n").unwrap();
    let step = app.step(run, "01-work.md").await.id;
    for path in [
        format!("/protocols/{run}/diff"),
        format!("/protocols/{run}/diff?stat=true&path=hello.sh"),
        format!("/steps/{step}/diff?path=hello.sh"),
        format!("/protocols/{run}/git/status"),
    ] {
        assert_eq!(api.get(&path).await.status.as_u16(), 200, "{path}");
    }
    assert!(!mark.exists(), "something of the agent ran");
    app.git(&tree, &["status"]).await;
    app.git(&tree, &["diff"]).await;
    assert!(mark.exists(), "plain git falls for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_tells_of_the_branch_and_of_what_is_not_committed() {
    let (app, api, run) = world("").await;
    let row = app.run(run).await;
    let clean = api.get(&format!("/protocols/{run}/git/status")).await.json();
    assert_eq!((&clean["dirty"], &clean["changed_files"]), (&json!(false), &json!([])));
    assert_eq!((&clean["ahead"], &clean["behind"]), (&json!(4), &json!(0)), "plan, two steps, one report");
    assert_eq!(clean["branch"], NAME);
    assert_eq!(clean["protocol_run_id"], run.0);
    assert_eq!(clean["head_sha"], json!(row.head_sha));
    assert_eq!(clean["pushed_sha"], json!(row.pushed_sha));
    assert_eq!(clean["worktree_path"], json!(row.worktree_path));
    assert_eq!(clean["repo_root"], json!(app.checkout));
    let tree = PathBuf::from(row.worktree_path.unwrap());
    fs::write(tree.join("draft.txt"), "draft\n").unwrap();
    let dirty = api.get(&format!("/protocols/{run}/git/status")).await.json();
    assert_eq!((&dirty["dirty"], &dirty["changed_files"]), (&json!(true), &json!(["draft.txt"])));
    let diff = api.get(&format!("/protocols/{run}/diff")).await;
    assert!(!String::from_utf8(diff.body.to_vec()).unwrap().contains("draft"), "only what is committed");

    fs::rename(&tree, tree.with_file_name("away")).unwrap();
    let gone = api.get(&format!("/protocols/{run}/git/status")).await;
    assert_eq!(gone.refusal(), (409, "worktree_missing".to_owned()));
    assert_eq!(api.get(&format!("/protocols/{run}/diff")).await.status.as_u16(), 200);
    let control = app.app.config.home.control_repo(app.project.id);
    fs::rename(&control, control.with_file_name("away")).unwrap();
    let step = app.step(run, "01-work.md").await.id;
    for path in [
        format!("/protocols/{run}/git/status"),
        format!("/protocols/{run}/diff"),
        format!("/steps/{step}/diff?stat=true"),
    ] {
        assert_eq!(api.get(&path).await.refusal(), (409, "repo_missing".to_owned()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_look_while_an_agent_is_at_work() {
    let slow = json!({"match": {"phase": "execute", "step": "00-setup.md"}, "do": [
        {"write": ["begun.txt", "x\n"]}, {"sleep_ms": 60_000}, {"final": "done"}]});
    let app = short(&[slow]).make().await;
    let run = app.create(NAME, None).await;
    let api = Api::new(&app.app);
    for path in [format!("/protocols/{run}/diff"), format!("/protocols/{run}/git/status")] {
        let got = api.get(&path).await;
        assert_eq!(got.refusal(), (409, "repo_missing".to_owned()), "{path}");
        assert!(got.json()["detail"].as_str().unwrap().contains("start it"), "{}", got.json());
    }
    app.start(run).await;
    let worker = app.worker(std::time::Duration::from_millis(200));
    app.until("the agent has begun", || async { app.file(run, "begun.txt").await.is_some() }).await;
    let status = api.get(&format!("/protocols/{run}/git/status")).await.json();
    assert_eq!((&status["dirty"], &status["changed_files"]), (&json!(true), &json!(["begun.txt"])));
    let diff = api.get(&format!("/protocols/{run}/diff?stat=true")).await.json();
    assert!(diff.to_string().contains("/plan.md") && !diff.to_string().contains("begun.txt"), "{diff}");
    let step = app.step(run, "00-setup.md").await.id;
    let got = api.get(&format!("/steps/{step}/diff")).await;
    assert_eq!((got.status.as_u16(), got.body.len()), (200, 0), "the step has committed nothing");
    app.signal(run, Signal::Cancel { reason: None }).await.unwrap();
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_diff_is_cut_and_says_so() {
    let (_app, api, run) =
        world("yes 0123456789012345678901234567890123456789 | head -n 200000 > long.txt\n").await;
    let got = api.get(&format!("/protocols/{run}/diff?path=long.txt")).await;
    assert_eq!(got.header("x-truncated"), "true");
    assert!(got.body.len() <= 5 * 1024 * 1024 + 100 && got.body.len() > 5_000_000);
    assert!(got.body.ends_with(b"\n\\ [cut: there is more than is shown; ask for one path]\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_questions_and_foreign_runs_are_refused() {
    let (app, api, run) = world("").await;
    for query in [
        "path=",
        "path=../x",
        "path=/etc/passwd",
        "path=a//b",
        "path=a%0Ab",
        "context=-1",
        "context=101",
        "context=x",
        "stat=maybe",
        "paths=x",
    ] {
        let got = api.get(&format!("/protocols/{run}/diff?{query}")).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{query}");
    }
    let step = app.step(run, "01-work.md").await.id;
    let mut tx = app.app.db.begin().await.unwrap();
    let other = crate::database::project(&mut tx, "other").await.id;
    tx.commit().await.unwrap();
    let (own, foreign) = (token(&api, app.project.id.0).await, token(&api, other.0).await);
    for path in [
        format!("/protocols/{run}/diff"),
        format!("/protocols/{run}/diff?stat=true"),
        format!("/steps/{step}/diff"),
        format!("/protocols/{run}/git/status"),
    ] {
        assert_eq!(api.call("GET", &path).token(&own).send().await.status.as_u16(), 200, "{path}");
        let hidden = api.call("GET", &path).token(&foreign).send().await;
        assert_eq!(hidden.refusal(), (404, "not_found".to_owned()), "{path}");
        assert_eq!(api.call("GET", &path).send().await.refusal(), (401, "unauthorized".to_owned()), "{path}");
    }
    for path in ["/protocols/999/diff", "/protocols/x/diff", "/steps/999/diff", "/protocols/999/git/status"] {
        assert_eq!(api.get(path).await.refusal(), (404, "not_found".to_owned()), "{path}");
    }
}
