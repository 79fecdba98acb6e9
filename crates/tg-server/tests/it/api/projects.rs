//! Projects over HTTP: what may be written, what is shown, and that no secret ever comes back.

mod secrets;
mod urls;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tg_core::{ids::ProjectId, scope::Scope};
use tg_server::{
    store::{self, StoreError, event::Filter},
    testing::api::{Api, Got},
};

use crate::database::{self, TestDatabase, on_both, raw};

const URL: &str = "https://forge.example/team/demo.git";

/// Kinds and facts of the events of a project, oldest first.
async fn told(test: &TestDatabase, project: i64) -> Vec<(String, Value)> {
    let mut tx = test.db.read().await.unwrap();
    let filter = Filter { project: Some(ProjectId(project)), ..Filter::default() };
    let mut events = store::event::list(&mut tx, &Scope::All, &filter, 100).await.unwrap();
    events.reverse();
    assert!(events.iter().all(|event| event.actor.as_deref() == Some("admin")), "{events:?}");
    assert!(events.iter().all(|event| event.metadata["request_id"].is_string()), "{events:?}");
    let facts = |mut facts: Value| {
        facts.as_object_mut().unwrap().remove("request_id");
        facts
    };
    events.into_iter().map(|event| (event.event_type, facts(event.metadata))).collect()
}

async fn made(api: &Api, name: &str) -> i64 {
    let got = api.post("/projects", &json!({ "name": name, "git_url": URL })).await;
    assert_eq!(got.status, StatusCode::CREATED, "{}", got.json());
    got.json()["id"].as_i64().unwrap()
}

async fn send(api: &Api, method: &str, path: &str, body: &Value) -> Got {
    api.call(method, path).as_admin().json(body).send().await
}

fn places(got: &Got) -> Vec<Value> {
    got.json()["errors"].as_array().unwrap().iter().map(|error| error["loc"].clone()).collect()
}

async fn a_project_is_created_shown_and_changed(test: TestDatabase) {
    let api = Api::new(&test.app());
    let body = json!({
        "name": "  Demo ", "git_url": URL, "local_path": "/srv/demo", "ci_provider": "gitlab",
        "default_models": { "exec": "big,small" },
    });
    let got = api.post("/projects", &body).await;
    assert_eq!(got.status, StatusCode::CREATED, "{}", got.json());
    let id = got.json()["id"].as_i64().unwrap();
    assert_eq!(got.header("location"), format!("/projects/{id}"));
    let path = format!("/projects/{id}");
    let shown = api.get(&path).await;
    assert_eq!(shown.json(), got.json());
    for (field, value) in [
        ("name", json!("Demo")),
        ("git_url", json!(URL)),
        ("local_path", json!("/srv/demo")),
        ("base_branch", json!("main")),
        ("ci_provider", json!("gitlab")),
        ("default_models", json!({ "exec": "big,small" })),
        ("secrets_set", json!([])),
        ("archived_at", Value::Null),
    ] {
        assert_eq!(shown.json()[field], value, "{field}");
    }

    let change = json!({ "name": "Other", "base_branch": "main", "ci_provider": null, "local_path": null });
    let stale = api.call("PATCH", &path).as_admin().header("if-match", "\"old\"").json(&change).send().await;
    assert_eq!(stale.refusal(), (412, "precondition_failed".to_owned()));
    let tag = shown.header("etag").to_owned();
    let changed = api.call("PATCH", &path).as_admin().header("if-match", &tag).json(&change).send().await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.json());
    assert_eq!(changed.json()["name"], "Other");
    assert_eq!(changed.json()["ci_provider"], Value::Null);
    assert_eq!(changed.json()["default_models"], json!({ "exec": "big,small" }), "absent stays");
    let again = api.call("PATCH", &path).as_admin().header("if-match", &tag).json(&change).send().await;
    assert_eq!(again.refusal(), (412, "precondition_failed".to_owned()), "the tag is used up");
    let nothing = send(&api, "PATCH", &path, &change).await;
    assert_eq!((nothing.status, nothing.json()), (StatusCode::OK, changed.json()), "nothing to change");
    assert_eq!(
        told(&test, id).await,
        [
            ("project_created".to_owned(), json!({ "name": "Demo", "git_url": URL })),
            ("project_updated".to_owned(), json!({ "fields": ["name", "local_path", "ci_provider"] })),
        ]
    );
}

async fn what_does_not_hold_is_told_with_its_place_and_leaves_nothing(test: TestDatabase) {
    let api = Api::new(&test.app());
    let long = "x".repeat(101);
    let state = test.app().config.home.root.clone();
    let inside = state.join("projects/1/repo").display().to_string();
    let file = format!("file://{inside}");
    for (change, place) in [
        (json!({ "name": "" }), json!(["body", "name"])),
        (json!({ "name": " \t " }), json!(["body", "name"])),
        (json!({ "name": long }), json!(["body", "name"])),
        (json!({ "name": "a\u{1b}[31mb" }), json!(["body", "name"])),
        (json!({ "name": "a\u{202e}b" }), json!(["body", "name"])),
        (json!({ "name": 5 }), json!(["body", "name"])),
        (json!({ "git_url": inside }), json!(["body", "git_url"])),
        (json!({ "git_url": file }), json!(["body", "git_url"])),
        (json!({ "git_url": format!("{}/../x", state.display()) }), json!(["body", "git_url"])),
        (json!({ "local_path": "demo" }), json!(["body", "local_path"])),
        (json!({ "local_path": inside }), json!(["body", "local_path"])),
        (json!({ "local_path": "/a\nb" }), json!(["body", "local_path"])),
        (json!({ "base_branch": "-x" }), json!(["body", "base_branch"])),
        (json!({ "base_branch": "refs/heads/x" }), json!(["body", "base_branch"])),
        (json!({ "ci_provider": "bitbucket" }), json!(["body", "ci_provider"])),
        (json!({ "default_models": { "exec": "-x" } }), json!(["body", "default_models", "exec"])),
        (json!({ "default_models": { "exec": "a b" } }), json!(["body", "default_models", "exec"])),
        (json!({ "default_models": { "other": "a" } }), json!(["body", "default_models", "other"])),
        (json!({ "secrets": { "nobody_token": "long enough" } }), json!(["body", "secrets", "nobody_token"])),
        (json!({ "secrets": { "api_token": "long enough" } }), json!(["body", "secrets", "api_token"])),
        (json!({ "secrets": { "github_token": "short" } }), json!(["body", "secrets", "github_token"])),
        (json!({ "budget": {} }), json!(["body", "budget"])),
        (json!({ "project_classification": "x" }), json!(["body", "project_classification"])),
        (json!({ "archived_at": null }), json!(["body", "archived_at"])),
        (json!({ "id": 5 }), json!(["body", "id"])),
    ] {
        let mut body = json!({ "name": "Demo", "git_url": URL });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let got = api.post("/projects", &body).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{change}");
        assert_eq!(places(&got), [place], "{change}: {}", got.json());
    }
    let two = api.post("/projects", &json!({ "name": "", "git_url": "ext::sh -c id" })).await;
    assert_eq!(places(&two), [json!(["body", "name"]), json!(["body", "git_url"])], "all at once");
    let none = api.post("/projects", &json!({ "name": "Demo" })).await;
    assert_eq!(places(&none), [json!(["body", "git_url"])]);
    assert_eq!(api.get("/projects?archived=true").await.json(), json!([]), "nothing was written");
    assert_eq!(told(&test, 1).await, []);

    let id = made(&api, "Demo").await;
    for (change, place) in [
        (json!({ "git_url": URL }), json!(["body", "git_url"])),
        (json!({ "secrets": {} }), json!(["body", "secrets"])),
        (json!({ "automation": {} }), json!(["body", "automation"])),
        (json!({ "name": "" }), json!(["body", "name"])),
        (json!({ "local_path": inside }), json!(["body", "local_path"])),
        (json!({ "base_branch": "a..b" }), json!(["body", "base_branch"])),
        (json!({ "default_models": { "qa": "" } }), json!(["body", "default_models", "qa"])),
    ] {
        let got = send(&api, "PATCH", &format!("/projects/{id}"), &change).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{change}");
        assert_eq!(places(&got), [place], "{change}: {}", got.json());
    }
    assert_eq!(told(&test, id).await.len(), 1, "no event was written by a refused change");
}

async fn a_link_into_the_state_directory_is_no_repository(test: TestDatabase) {
    let app = test.app();
    let api = Api::new(&app);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("innocent");
    std::os::unix::fs::symlink(&app.config.home.root, &link).unwrap();
    for path in [link.clone(), link.join("")] {
        let body = json!({ "name": "Demo", "git_url": path.display().to_string() });
        assert_eq!(
            places(&api.post("/projects", &body).await),
            [json!(["body", "git_url"])],
            "{}",
            path.display()
        );
    }
    let plain = json!({ "name": "Demo", "git_url": elsewhere.path().display().to_string() });
    assert_eq!(api.post("/projects", &plain).await.status, StatusCode::CREATED);
}

async fn pages_show_every_project_once_newest_first(test: TestDatabase) {
    let api = Api::new(&test.app());
    let mut wanted = Vec::new();
    for number in 0..7 {
        wanted.insert(0, made(&api, &format!("p{number}")).await);
    }
    let hidden = wanted.remove(3);
    send(&api, "DELETE", &format!("/projects/{hidden}"), &json!({ "confirm": true })).await;
    let (mut seen, mut path) = (Vec::new(), "/projects?limit=2".to_owned());
    for _ in 0..9 {
        let got = api.get(&path).await;
        let page = got.json();
        let ids: Vec<i64> = page.as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect();
        assert!(ids.len() <= 2, "{ids:?}");
        seen.extend(ids);
        let next = got.header("x-next-cursor").to_owned();
        if next.is_empty() {
            break;
        }
        path = format!("/projects?limit=2&cursor={next}");
    }
    assert_eq!(seen, wanted);
    wanted.insert(3, hidden);
    let all = api.get("/projects?archived=true").await.json();
    let all: Vec<i64> = all.as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect();
    assert_eq!(all, wanted);
    for query in ["cursor=run-3", "cursor=3", "cursor=project-", "archived=perhaps", "limit=0"] {
        assert_eq!(api.get(&format!("/projects?{query}")).await.refusal().0, 422, "{query}");
    }
}

async fn an_archived_project_takes_no_work_and_keeps_its_history(test: TestDatabase) {
    let app = test.app();
    let api = Api::new(&app);
    let id = made(&api, "Demo").await;
    let path = format!("/projects/{id}");
    let secret = format!("{path}/secrets/github_token");
    assert_eq!(send(&api, "PUT", &secret, &json!({ "value": "long-enough" })).await.status, StatusCode::OK);
    for body in [json!({}), json!({ "confirm": false })] {
        assert_eq!(send(&api, "DELETE", &path, &body).await.refusal(), (400, "confirm_required".to_owned()));
    }
    let empty = api.call("DELETE", &path).as_admin().send().await;
    assert_eq!(empty.refusal(), (400, "confirm_required".to_owned()));
    assert_eq!(send(&api, "DELETE", &path, &json!({ "confirm": "yes" })).await.refusal().0, 422);

    let mut tx = test.db.begin().await.unwrap();
    let project = store::project::load(&mut tx, &Scope::All, ProjectId(id)).await.unwrap();
    database::run(&mut tx, &project, "0001-open").await;
    tx.commit().await.unwrap();
    let yes = json!({ "confirm": true });
    assert_eq!(send(&api, "DELETE", &path, &yes).await.refusal(), (409, "run_not_terminal".to_owned()));
    raw(&test.db, "UPDATE protocol_runs SET status = 'paused', paused_from = 'pending'").await;
    assert_eq!(send(&api, "DELETE", &path, &yes).await.refusal(), (409, "run_not_terminal".to_owned()));
    raw(&test.db, "UPDATE protocol_runs SET status = 'cancelled', finished_at = 1").await;
    assert_eq!(send(&api, "DELETE", &path, &yes).await.status, StatusCode::NO_CONTENT);
    assert_eq!(send(&api, "DELETE", &path, &yes).await.status, StatusCode::NO_CONTENT, "done is done");

    assert_eq!(api.get("/projects").await.json(), json!([]));
    assert!(api.get(&path).await.json()["archived_at"].is_string());
    let refused = (409, "project_archived".to_owned());
    assert_eq!(send(&api, "PATCH", &path, &json!({ "name": "x" })).await.refusal(), refused);
    assert_eq!(send(&api, "PUT", &secret, &json!({ "value": "long-enough" })).await.refusal(), refused);
    assert_eq!(send(&api, "DELETE", &secret, &json!({})).await.status, StatusCode::NO_CONTENT);
    let mut tx = test.db.begin().await.unwrap();
    let new = store::protocol::NewRun {
        project_id: project.id,
        protocol_name: "0002-late".to_owned(),
        status: tg_core::status::FirstStatus::Pending,
        auto_advance: false,
        engine: None,
        models: tg_core::project::ModelDefaults::default(),
        base_branch: Some("main".to_owned()),
        description: None,
        sandbox_off: false,
    };
    let late = store::protocol::insert(&mut tx, &Scope::All, &new, 1).await;
    assert!(matches!(late, Err(StoreError::Archived(archived)) if archived == project.id), "{late:?}");
    assert_eq!(store::project::find(&mut tx, URL, None).await.unwrap(), None, "no work by its address");
    drop(tx);
    let kinds: Vec<String> = told(&test, id).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(
        kinds,
        ["project_created", "project_secret_set", "project_archived", "project_secret_removed"]
    );
}

async fn an_archive_and_a_new_run_at_once_do_not_both_win(test: TestDatabase) {
    let app = test.app();
    let api = Api::new(&app);
    for round in 0..6 {
        let id = made(&api, &format!("p{round}")).await;
        let path = format!("/projects/{id}");
        let yes = json!({ "confirm": true });
        let archive = send(&api, "DELETE", &path, &yes);
        let create = async {
            let mut tx = test.db.begin().await.unwrap();
            let new = store::protocol::NewRun {
                project_id: ProjectId(id),
                protocol_name: "0001-race".to_owned(),
                status: tg_core::status::FirstStatus::Pending,
                auto_advance: false,
                engine: None,
                models: tg_core::project::ModelDefaults::default(),
                base_branch: Some("main".to_owned()),
                description: None,
                sandbox_off: false,
            };
            let made = store::protocol::insert(&mut tx, &Scope::All, &new, 1).await;
            tokio::task::yield_now().await;
            if made.is_ok() {
                tx.commit().await.unwrap();
            }
            made.is_ok()
        };
        let (archived, created) = tokio::join!(archive, create);
        let archived = archived.status == StatusCode::NO_CONTENT;
        assert!(archived != created, "round {round}: archived {archived}, created {created}");
    }
}

async fn a_projects_token_sees_its_project_and_changes_nothing(test: TestDatabase) {
    let api = Api::new(&test.app());
    let (own, other) = (made(&api, "own").await, made(&api, "other").await);
    let given = api.post(&format!("/projects/{own}/token"), &json!({})).await.json();
    let token = given["token"].as_str().unwrap();
    let call = |method: &str, path: &str| api.call(method, path).token(token);
    let listed = call("GET", "/projects").send().await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed[0]["id"], own);
    assert_eq!(call("GET", &format!("/projects?cursor=project-{own}")).send().await.json(), json!([]));
    assert_eq!(call("GET", &format!("/projects/{own}")).send().await.status, StatusCode::OK);
    assert_eq!(
        call("GET", &format!("/projects/{other}")).send().await.refusal(),
        (404, "not_found".to_owned())
    );
    for project in [own, other] {
        let path = format!("/projects/{project}");
        for (method, path, body) in [
            ("POST", "/projects".to_owned(), json!({ "name": "x", "git_url": URL })),
            ("PATCH", path.clone(), json!({ "name": "x" })),
            ("DELETE", path.clone(), json!({ "confirm": true })),
            ("PUT", format!("{path}/secrets/github_token"), json!({ "value": "long-enough" })),
            ("DELETE", format!("{path}/secrets/github_token"), json!({})),
        ] {
            let got = call(method, &path).json(&body).send().await;
            assert_eq!(got.refusal(), (403, "forbidden".to_owned()), "{method} {path}");
        }
    }
    send(&api, "DELETE", &format!("/projects/{own}"), &json!({ "confirm": true })).await;
    assert_eq!(call("GET", "/projects").send().await.json(), json!([]), "archived is hidden from it, too");
    let all = call("GET", "/projects?archived=true").send().await.json();
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
}

async fn an_answer_is_given_once_for_a_key(test: TestDatabase) {
    let api = Api::new(&test.app());
    let body = json!({ "name": "Demo", "git_url": URL });
    let call = || api.call("POST", "/projects").as_admin().header("idempotency-key", "k1");
    let first = call().json(&body).send().await;
    let second = call().json(&body).send().await;
    assert_eq!((second.status, second.json()), (StatusCode::CREATED, first.json()));
    assert_eq!(second.header("idempotency-replayed"), "true");
    let other = call().json(&json!({ "name": "Other", "git_url": URL })).send().await;
    assert_eq!(other.refusal(), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(api.get("/projects").await.json().as_array().unwrap().len(), 1);
}

mod both {
    use super::on_both;
    on_both!(
        a_project_is_created_shown_and_changed,
        what_does_not_hold_is_told_with_its_place_and_leaves_nothing,
        a_link_into_the_state_directory_is_no_repository,
        pages_show_every_project_once_newest_first,
        an_archived_project_takes_no_work_and_keeps_its_history,
        an_archive_and_a_new_run_at_once_do_not_both_win,
        a_projects_token_sees_its_project_and_changes_nothing,
        an_answer_is_given_once_for_a_key,
    );
}
