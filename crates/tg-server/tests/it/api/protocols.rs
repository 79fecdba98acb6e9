//! Runs and steps over HTTP, on both databases: created, listed, changed, archived; who may not, and
//! what is refused leaves nothing.

use serde_json::{Value, json};
use tg_core::{
    event::{Event, EventKind},
    ids::{ProjectId, RunId},
    scope::Scope,
    status::ProtocolStatus,
};
use tg_server::{
    app::App,
    store::{
        self,
        event::{Context, StoredEvent},
    },
    testing::api::{Api, Got},
};

use crate::database::{self, NOW, TestDatabase, on_both, raw};

/// A door on a database with one project (1) and one pending run (1).
pub async fn door(test: &TestDatabase) -> (App, Api) {
    database::seeded(&test.db).await;
    let app = test.app();
    let api = Api::new(&app);
    (app, api)
}

pub async fn patch(api: &Api, path: &str, body: &Value) -> Got {
    api.call("PATCH", path).as_admin().json(body).send().await
}

async fn delete(api: &Api, path: &str, body: &Value) -> Got {
    api.call("DELETE", path).as_admin().json(body).send().await
}

/// Every event, oldest first; the chain holds.
pub async fn events(app: &App) -> Vec<StoredEvent> {
    let mut tx = app.db.read().await.unwrap();
    let filter = store::event::Filter::default();
    let mut events = store::event::list(&mut tx, &Scope::All, &filter, 1000).await.unwrap();
    events.reverse();
    assert_eq!(store::event::verify(&mut tx, None).await.unwrap().first_bad, None);
    events
}

pub async fn kinds(app: &App) -> Vec<String> {
    events(app).await.into_iter().map(|event| event.event_type).collect()
}

/// A token of a second project.
pub async fn foreign(app: &App, api: &Api) -> String {
    let mut tx = app.db.begin().await.unwrap();
    let other = database::project(&mut tx, "other").await.id;
    tx.commit().await.unwrap();
    let body = json!({"name": "other", "scope": "project", "project_id": other.0});
    let got = api.post("/tokens", &body).await;
    assert_eq!(got.status, 201, "{}", got.json());
    got.json()["token"].as_str().unwrap().to_owned()
}

/// A name is refused because of a run that another caller has made and not committed. When that commit
/// fails there never was such a run, so the refusal must not be told.
async fn a_refusal_waits_for_what_it_saw(test: TestDatabase) {
    let (app, api) = door(&test).await;
    for (failing, status) in [(true, 503), (false, 409)] {
        if failing {
            raw(&app.db, "ALTER TABLE event_chains RENAME TO elsewhere").await;
        }
        let mut tx = app.db.begin_together().await.unwrap();
        let project = store::project::load(&mut tx, &Scope::All, ProjectId(1)).await.unwrap();
        database::run(&mut tx, &project, "0007-taken").await;
        store::event::append(&mut tx, &Context::default(), &Event::run(EventKind::UnknownJob), NOW);
        let body = json!({"protocol_name": "0007-taken"});
        let first = async {
            // Meanwhile the other asks for its turn, so that it goes on in the same transaction.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            tx.commit().await
        };
        let (asked, first) = tokio::join!(api.post("/projects/1/protocols", &body), first);
        assert_eq!(asked.status, status, "{}", asked.json());
        assert_eq!(first.is_err(), failing);
        if failing {
            raw(&app.db, "ALTER TABLE elsewhere RENAME TO event_chains").await;
        }
    }
}

async fn a_run_is_created_shown_and_listed(test: TestDatabase) {
    let (app, api) = door(&test).await;
    let body = json!({"short_name": "Log in, please!", "description": "Say\nhello", "auto_advance": true,
        "engine": "dummy", "models": {"exec": "big, small"}, "base_branch": "team/topic"});
    let call = api.call("POST", "/projects/1/protocols").as_admin().header("x-request-id", "req-7");
    let got = call.json(&body).send().await;
    assert_eq!((got.status.as_u16(), got.header("location")), (201, "/protocols/2"));
    let run = got.json();
    let expected = json!({"id": 2, "project_id": 1, "protocol_name": "0002-log-in-please", "status": "pending",
        "auto_advance": true, "engine": "dummy", "base_branch": "team/topic", "description": "Say\nhello",
        "paused_from": null, "status_reason": null, "created_at": "2027-01-15T08:00:00.000Z"});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&run[key], value, "{key}");
    }
    let shown = api.get("/protocols/2").await;
    assert_eq!(shown.json(), run);
    let same = api.call("GET", "/protocols/2").as_admin().header("if-none-match", shown.header("etag"));
    assert_eq!(same.send().await.status, 304);
    let told = events(&app).await.pop().unwrap();
    assert_eq!((told.event_type.as_str(), told.actor.as_deref()), ("protocol_created", Some("admin")));
    assert_eq!(told.metadata["request_id"], "req-7");
    assert_eq!(told.protocol_run_id, Some(RunId(2)));

    // A name by hand counts for the next number; the project's branch is the default.
    let named =
        api.post("/projects/1/protocols", &json!({"protocol_name": "0041-x", "status": "planned"})).await;
    assert_eq!(named.json()["status"], "planned");
    assert_eq!(named.json()["base_branch"], "main");
    let told = events(&app).await.pop().unwrap();
    assert_eq!(told.metadata["transitions"][0]["to"], "planned");
    let next = api.post("/projects/1/protocols", &json!({"short_name": "日本語"})).await;
    assert_eq!(next.json()["protocol_name"], "0042-task");

    let names = |got: &Got| -> Vec<String> {
        let list = got.json();
        list.as_array().unwrap().iter().map(|run| run["protocol_name"].as_str().unwrap().to_owned()).collect()
    };
    let all = ["0042-task", "0041-x", "0002-log-in-please", "0001-hello"];
    assert_eq!(names(&api.get("/projects/1/protocols").await), all);
    assert_eq!(names(&api.get("/projects/1/protocols?status=planned").await), [all[1]]);
    raw(&test.db, "UPDATE protocol_runs SET kind = 'setup' WHERE id = 3").await;
    let page = api.get("/projects/1/protocols?include_setup=false&limit=2").await;
    assert_eq!(names(&page), [all[0], all[2]]);
    assert_eq!(page.header("x-next-cursor"), "protocol-2");
    let page = api.get("/projects/1/protocols?include_setup=false&limit=2&cursor=protocol-2").await;
    assert_eq!((names(&page), page.header("x-next-cursor")), (vec![all[3].to_owned()], ""));
    for (query, place) in
        [("status=done", "status"), ("cursor=event-1", "cursor"), ("include_setup=maybe", "include_setup")]
    {
        let got = api.get(&format!("/projects/1/protocols?{query}")).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{query}");
        assert_eq!(got.json()["errors"][0]["loc"][1], place);
    }
}

async fn what_a_new_run_must_not_hold_is_told_with_its_place(test: TestDatabase) {
    let (app, api) = door(&test).await;
    let named = |name: &str| json!({"protocol_name": name});
    let long = "x".repeat(101);
    for (body, place) in [
        (json!({}), "protocol_name"),
        (json!({"protocol_name": "a", "short_name": "b"}), "short_name"),
        (named(""), "protocol_name"),
        (named("../x"), "protocol_name"),
        (named("a/b"), "protocol_name"),
        (named("x.lock"), "protocol_name"),
        (named(&long), "protocol_name"),
        (named("setup-1"), "protocol_name"),
        (named("setup-1-2"), "protocol_name"),
        (json!({"short_name": "a\u{0}b"}), "short_name"),
        (json!({"short_name": "a", "base_branch": "-x"}), "base_branch"),
        (json!({"short_name": "a", "engine": "none"}), "engine"),
        (json!({"short_name": "a", "description": "a\u{0}b"}), "description"),
        (json!({"short_name": "a", "models": {"exec": "--x"}}), "models"),
        (json!({"short_name": "a", "models": {"other": "x"}}), "models"),
        (json!({"short_name": "a", "status": "running"}), "status"),
        (json!({"short_name": "a", "auto_advance": "yes"}), "auto_advance"),
        (json!({"short_name": "a", "worktree_path": null}), "worktree_path"),
        (json!({"short_name": 5}), "short_name"),
    ] {
        let got = api.post("/projects/1/protocols", &body).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{body}");
        assert_eq!(got.json()["errors"][0]["loc"][0], "body", "{body}");
        assert_eq!(got.json()["errors"][0]["loc"][1], place, "{body}: {}", got.json());
    }
    let taken = api.post("/projects/1/protocols", &named("0001-hello")).await;
    assert_eq!(taken.refusal(), (409, "duplicate_name".to_owned()));
    raw(&test.db, "UPDATE protocol_runs SET protocol_number = 9999").await;
    let got = api.post("/projects/1/protocols", &json!({"short_name": "a"})).await;
    assert_eq!(got.refusal(), (409, "numbers_exhausted".to_owned()));
    for project in ["2", "x", "-1"] {
        let got = api.post(&format!("/projects/{project}/protocols"), &named("a")).await;
        assert_eq!(got.refusal(), (404, "not_found".to_owned()));
    }
    raw(&test.db, "UPDATE projects SET archived_at = 1").await;
    let got = api.post("/projects/1/protocols", &named("a")).await;
    assert_eq!(got.refusal(), (409, "project_archived".to_owned()));
    assert_eq!(events(&app).await, [], "a refused request tells nothing");
    assert_eq!(raw(&test.db, "UPDATE protocol_runs SET updated_at = 1").await, 1, "and creates nothing");
}

async fn a_run_changes_by_hand(test: TestDatabase) {
    let (app, api) = door(&test).await;
    let before = api.get("/protocols/1").await;
    let tag = before.header("etag");
    let got = patch(&api, "/protocols/1", &json!({"auto_advance": true})).await;
    assert_eq!((got.status.as_u16(), got.json()), (200, before.json()), "it is so already");
    assert_eq!(events(&app).await, []);
    let body = json!({"description": null, "auto_advance": false, "base_branch": "next"});
    let stale =
        api.call("PATCH", "/protocols/1").as_admin().header("if-match", "\"x\"").json(&body).send().await;
    assert_eq!(stale.refusal(), (412, "precondition_failed".to_owned()));
    let got = api.call("PATCH", "/protocols/1").as_admin().header("if-match", tag).json(&body).send().await;
    assert_eq!(got.status, 200);
    assert_eq!((&got.json()["description"], &got.json()["base_branch"]), (&Value::Null, &json!("next")));
    assert_eq!(api.get("/protocols/1").await.json(), got.json());
    let told = events(&app).await.pop().unwrap();
    assert_eq!(told.event_type, "protocol_updated");
    assert_eq!(told.metadata["fields"], json!(["description", "auto_advance", "base_branch"]));
    assert_eq!(told.actor.as_deref(), Some("admin"));
    for (body, place) in [
        (json!({"base_branch": "a b"}), "base_branch"),
        (json!({"base_branch": null}), "base_branch"),
        (json!({"description": 5}), "description"),
        (json!({"status": "completed"}), "status"),
        (json!({"template_config": {}}), "template_config"),
    ] {
        let got = patch(&api, "/protocols/1", &body).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{body}");
        assert_eq!(got.json()["errors"][0]["loc"][1], place, "{body}");
    }
    let base = json!({"base_branch": "other"});
    for (state, may) in [
        ("status = 'planned', base_sha = NULL", true),
        ("status = 'planned', base_sha = 'abc'", false),
        ("status = 'planning', base_sha = NULL", false),
        ("status = 'paused', paused_from = 'planning'", false),
        ("status = 'paused', paused_from = 'blocked'", true),
        ("status = 'running', paused_from = NULL", false),
        ("status = 'cancelled', finished_at = 1", false),
    ] {
        raw(&test.db, &format!("UPDATE protocol_runs SET base_branch = 'main', {state}")).await;
        let got = patch(&api, "/protocols/1", &base).await;
        let expected = if may { (200, String::new()) } else { (409, "base_branch_in_use".to_owned()) };
        assert_eq!(got.refusal(), expected, "{state}");
        // The rest may change at any time.
        let other = json!({"description": state});
        assert_eq!(patch(&api, "/protocols/1", &other).await.json()["description"], state);
    }
}

async fn a_run_that_shall_walk_by_itself_walks_at_once(test: TestDatabase) {
    let (app, api) = door(&test).await;
    raw(&test.db, "UPDATE protocol_runs SET status = 'planned', auto_advance = 0").await;
    let step = json!({"step_index": 0, "step_name": "01-a.md", "step_type": "work"});
    assert_eq!(api.post("/protocols/1/steps", &step).await.status, 201);
    let got = patch(&api, "/protocols/1", &json!({"auto_advance": true})).await;
    assert_eq!(got.json()["status"], "running");
    assert_eq!(kinds(&app).await, ["step_created", "protocol_updated", "step_enqueued"]);
}

async fn a_run_is_archived_when_nothing_is_at_work(test: TestDatabase) {
    let (app, api) = door(&test).await;
    for body in [json!({}), json!({"confirm": false})] {
        let got = delete(&api, "/protocols/1", &body).await;
        assert_eq!(got.refusal(), (400, "confirm_required".to_owned()));
    }
    let sure = json!({"confirm": true});
    for status in ProtocolStatus::ALL {
        set_run(&test, *status).await;
        let legal = *status == ProtocolStatus::Pending || status.is_terminal();
        if legal {
            continue;
        }
        let got = delete(&api, "/protocols/1", &sure).await;
        assert_eq!(got.refusal(), (409, "illegal_transition".to_owned()), "{status}");
        assert_eq!(got.json()["legal_from"], json!(["pending", "failed", "cancelled", "completed"]));
    }
    assert_eq!(events(&app).await, []);
    set_run(&test, ProtocolStatus::Pending).await;
    assert_eq!(delete(&api, "/protocols/1", &sure).await.status, 204);
    assert_eq!(api.get("/projects/1/protocols").await.json(), json!([]));
    assert_eq!(api.get("/protocols/1").await.status, 200, "its history stays");
    let told = events(&app).await.pop().unwrap();
    assert_eq!(told.metadata["fields"], json!(["archived_at"]));
    let refused = (409, "protocol_archived".to_owned());
    assert_eq!(api.post("/protocols/1/actions/start", &json!({})).await.refusal(), refused);
    assert_eq!(patch(&api, "/protocols/1", &json!({"description": "x"})).await.refusal(), refused);
    assert_eq!(delete(&api, "/protocols/1", &sure).await.refusal(), refused);
    let step = json!({"step_index": 0, "step_name": "a.md", "step_type": "work"});
    assert_eq!(api.post("/protocols/1/steps", &step).await.refusal(), refused);
    // The name stays taken, and the project may be archived now.
    let again = api.post("/projects/1/protocols", &json!({"protocol_name": "0001-hello"})).await;
    assert_eq!(again.refusal(), (409, "duplicate_name".to_owned()));
    assert_eq!(delete(&api, "/projects/1", &sure).await.status, 204);
}

/// Puts run 1 into a status, as if everything before had happened.
pub async fn set_run(test: &TestDatabase, status: ProtocolStatus) {
    let paused = if status == ProtocolStatus::Paused { "'running'" } else { "NULL" };
    let finished = if status.is_terminal() { "1" } else { "NULL" };
    let text = format!(
        "UPDATE protocol_runs SET status = '{status}', paused_from = {paused}, finished_at = {finished} WHERE id = 1"
    );
    assert_eq!(raw(&test.db, &text).await, 1);
}

async fn steps_are_added_and_changed_by_hand(test: TestDatabase) {
    let (app, api) = door(&test).await;
    let body = json!({"step_index": 3, "step_name": "03-check.md", "step_type": "qa", "status": "needs_qa",
        "model": "big", "summary": "Looks", "engine_id": "dummy", "policy": {"behavior": "loop", "module_id": "m"}});
    let got = api.post("/protocols/1/steps", &body).await;
    assert_eq!((got.status.as_u16(), got.header("location")), (201, "/steps/1"));
    for (key, value) in body.as_object().unwrap() {
        assert_eq!(&got.json()[key], value, "{key}");
    }
    assert_eq!(api.get("/steps/1").await.json(), got.json());
    let told = events(&app).await.pop().unwrap();
    assert_eq!((told.event_type.as_str(), told.step_run_id.map(|id| id.0)), ("step_created", Some(1)));
    assert_eq!(
        (&told.metadata["step_index"], &told.metadata["step_name"]),
        (&json!(3), &json!("03-check.md"))
    );
    assert_eq!(told.metadata["transitions"][0]["to"], "needs_qa");
    let first = json!({"step_index": 0, "step_name": "00-setup.md", "step_type": "setup"});
    assert_eq!(api.post("/protocols/1/steps", &first).await.json()["status"], "pending");
    let order: Vec<i64> = api
        .get("/protocols/1/steps")
        .await
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step_index"].as_i64().unwrap())
        .collect();
    assert_eq!(order, [0, 3]);
    for taken in [
        json!({"step_index": 3, "step_name": "x.md", "step_type": "work"}),
        json!({"step_index": 9, "step_name": "03-check.md", "step_type": "work"}),
    ] {
        assert_eq!(
            api.post("/protocols/1/steps", &taken).await.refusal(),
            (409, "duplicate_step".to_owned())
        );
    }
    for (key, value) in [
        ("step_index", json!(-1)),
        ("step_index", json!(10_000)),
        ("step_name", json!("../x.md")),
        ("step_type", json!("other")),
        ("status", json!("completed")),
        ("engine_id", json!("none")),
        ("model", json!("-m")),
        ("summary", json!("a\u{0}")),
        ("policy", json!("loop")),
        ("policy", json!([{"behavior": 5}])),
        ("retries", json!(1)),
    ] {
        let mut body = json!({"step_index": 5, "step_name": "05.md", "step_type": "work"});
        body[key] = value;
        let got = api.post("/protocols/1/steps", &body).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{body}");
        assert_eq!(got.json()["errors"][0]["loc"][1], key, "{body}");
    }
    let told = events(&app).await.len();
    for status in ProtocolStatus::ALL.iter().filter(|status| status.is_terminal()) {
        set_run(&test, *status).await;
        let got = api
            .post("/protocols/1/steps", &json!({"step_index": 5, "step_name": "5", "step_type": "work"}))
            .await;
        assert_eq!(got.refusal(), (409, "illegal_transition".to_owned()), "{status}");
        assert_eq!((&got.json()["current"], &got.json()["requested"]), (&json!(status), &json!("add_step")));
    }
    assert_eq!(events(&app).await.len(), told);
}

async fn a_step_changes_by_hand_while_it_waits(test: TestDatabase) {
    let (app, api) = door(&test).await;
    let step = json!({"step_index": 0, "step_name": "01-a.md", "step_type": "work", "model": "old"});
    assert_eq!(api.post("/protocols/1/steps", &step).await.status, 201);
    let entry = json!({"id": "a", "name": "01-a.md", "engine_id": "codex", "prompt_ref": "01-a.md",
        "qa": {"policy": "skip"}});
    let config = json!({"protocol_spec": {"steps": [entry]}});
    raw(&test.db, &format!("UPDATE protocol_runs SET template_config = '{config}', spec_hash = 'old'")).await;
    let body = json!({"model": null, "engine_id": "dummy", "policy": [{"behavior": "loop", "module_id": "m"}],
        "summary": "new"});
    let tag = api.get("/steps/1").await.header("etag").to_owned();
    let stale = api.call("PATCH", "/steps/1").as_admin().header("if-match", "\"x\"").json(&body).send().await;
    assert_eq!(stale.refusal(), (412, "precondition_failed".to_owned()));
    let got = api.call("PATCH", "/steps/1").as_admin().header("if-match", &tag).json(&body).send().await;
    assert_eq!(got.status, 200);
    for (key, value) in body.as_object().unwrap() {
        assert_eq!(&got.json()[key], value, "{key}");
    }
    let run = api.get("/protocols/1").await.json();
    let entry = &run["template_config"]["protocol_spec"]["steps"][0];
    assert_eq!((&entry["engine_id"], &entry["policies"]), (&body["engine_id"], &body["policy"]));
    let told = events(&app).await.pop().unwrap();
    assert_eq!(told.event_type, "step_updated");
    assert_eq!(told.metadata["fields"], json!(["model", "engine_id", "policy", "summary"]));
    assert_eq!((&told.metadata["spec_hash"], run["spec_hash"] == "old"), (&run["spec_hash"], false));
    for status in ["pending", "running", "needs_qa", "completed", "failed", "cancelled", "blocked"] {
        let ended = if matches!(status, "completed" | "failed" | "cancelled") { "1" } else { "NULL" };
        raw(&test.db, &format!("UPDATE step_runs SET status = '{status}', finished_at = {ended}")).await;
        let got = patch(&api, "/steps/1", &json!({"summary": status})).await;
        if matches!(status, "pending" | "failed" | "blocked") {
            assert_eq!(got.json()["summary"], status);
        } else {
            assert_eq!(got.refusal(), (409, "illegal_transition".to_owned()));
            assert_eq!(got.json()["legal_from"], json!(["pending", "blocked", "failed"]));
        }
    }
    for body in
        [json!({"engine_id": "none"}), json!({"retries": 5}), json!({"policy": 5}), json!({"model": "a b"})]
    {
        assert_eq!(patch(&api, "/steps/1", &body).await.refusal().0, 422, "{body}");
    }
}

async fn another_projects_token_finds_nothing(test: TestDatabase) {
    let (app, api) = door(&test).await;
    let step = json!({"step_index": 0, "step_name": "01-a.md", "step_type": "work"});
    assert_eq!(api.post("/protocols/1/steps", &step).await.status, 201);
    let token = foreign(&app, &api).await;
    let told = events(&app).await.len();
    for (method, path, body) in [
        ("GET", "/projects/1/protocols", None),
        ("POST", "/projects/1/protocols", Some(json!({"protocol_name": "0001-hello"}))),
        ("GET", "/protocols/1", None),
        ("PATCH", "/protocols/1", Some(json!({"description": "x"}))),
        ("GET", "/protocols/1/steps", None),
        ("POST", "/protocols/1/steps", Some(step)),
        ("GET", "/steps/1", None),
        ("PATCH", "/steps/1", Some(json!({"summary": "x"}))),
        ("POST", "/protocols/1/actions/start", None),
        ("POST", "/protocols/1/actions/pause", None),
        ("POST", "/protocols/1/actions/cancel", None),
        ("POST", "/protocols/1/actions/open_pr", None),
        ("POST", "/steps/1/actions/run", None),
        ("POST", "/steps/1/actions/approve", None),
    ] {
        let mut call = api.call(method, path).token(&token);
        if let Some(body) = &body {
            call = call.json(body);
        }
        let got = call.send().await;
        assert_eq!(got.refusal(), (404, "not_found".to_owned()), "{method} {path}");
        assert!(!String::from_utf8_lossy(&got.body).contains("hello"), "{method} {path}");
    }
    let got = api.call("DELETE", "/protocols/1").token(&token).json(&json!({"confirm": true})).send().await;
    assert_eq!(got.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(events(&app).await.len(), told);
    assert_eq!(api.get("/protocols/1").await.json()["status"], "pending");
}

async fn a_key_creates_one_run_and_acts_once(test: TestDatabase) {
    let (app, api) = door(&test).await;
    let send = |path: &'static str, key: &'static str, body: Value| {
        let call = api.call("POST", path).as_admin().header("idempotency-key", key).json(&body);
        tokio::spawn(call.send())
    };
    let new = json!({"short_name": "once"});
    let (one, two) =
        (send("/projects/1/protocols", "k1", new.clone()), send("/projects/1/protocols", "k1", new));
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    assert_eq!((one.status.as_u16(), two.status.as_u16()), (201, 201));
    assert_eq!((one.body.clone(), one.header("location")), (two.body.clone(), two.header("location")));
    assert_ne!(one.header("idempotency-replayed") == "true", two.header("idempotency-replayed") == "true");
    let other = send("/projects/1/protocols", "k1", json!({"short_name": "other"})).await.unwrap();
    assert_eq!(other.refusal(), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(api.get("/projects/1/protocols").await.json().as_array().unwrap().len(), 2);
    for replayed in ["", "true"] {
        let got = send("/protocols/1/actions/start", "k2", json!({})).await.unwrap();
        assert_eq!((got.status.as_u16(), got.header("idempotency-replayed")), (200, replayed));
        assert_eq!(got.json()["job"]["job_type"], "plan_protocol_job");
    }
    let refused = send("/protocols/1/actions/start", "k3", json!({})).await.unwrap();
    assert_eq!(refused.refusal(), (409, "illegal_transition".to_owned()));
    assert_eq!(kinds(&app).await, ["protocol_created", "planning_enqueued"]);
    assert!(events(&app).await.iter().all(|event| event.created_at == NOW));
}

mod both {
    use super::on_both;
    on_both!(
        a_refusal_waits_for_what_it_saw,
        a_run_is_created_shown_and_listed,
        what_a_new_run_must_not_hold_is_told_with_its_place,
        a_run_changes_by_hand,
        a_run_that_shall_walk_by_itself_walks_at_once,
        a_run_is_archived_when_nothing_is_at_work,
        steps_are_added_and_changed_by_hand,
        a_step_changes_by_hand_while_it_waits,
        another_projects_token_finds_nothing,
        a_key_creates_one_run_and_acts_once,
    );
}
