//! Every route of the document × every kind of sender. A project's token learns nothing of another
//! project: an object of it answers exactly as one that does not exist, and no refused call leaves a
//! trace.

use serde_json::{Value, json};
use tg_server::testing::{
    api::{Api, Got},
    app::{Setup, TestApp},
};

/// A word that stands in every text of the other project.
const CANARY: &str = "bravo-canary";
/// Ids that nothing has.
const NOBODY: &str = "999999";

/// Ids of the objects of one project.
struct Side {
    project: String,
    run: String,
    step: String,
    job: String,
    call: String,
    comment: String,
    token: String,
}

/// An operation of the document.
struct Operation {
    method: String,
    path: String,
    access: String,
}

impl Operation {
    /// The address with the ids of a side; `None` stands for ids that nothing has.
    fn at(&self, side: Option<&Side>) -> String {
        let of = |pick: fn(&Side) -> &String| side.map_or(NOBODY, |side| pick(side).as_str()).to_owned();
        let id = if self.path.starts_with("/projects/") {
            of(|side| &side.project)
        } else if self.path.starts_with("/protocols/") {
            of(|side| &side.run)
        } else if self.path.starts_with("/steps/") {
            of(|side| &side.step)
        } else if self.path.starts_with("/review_comments/") {
            of(|side| &side.comment)
        } else {
            NOBODY.to_owned()
        };
        let path = self
            .path
            .replace("{id}", &id)
            .replace("{job_id}", &of(|side| &side.job))
            .replace("{run_id}", &of(|side| &side.call))
            .replace("{artifact_id}", "1")
            .replace("{action}", "pause")
            .replace("{key}", "webhook_token");
        assert!(!path.contains('{'), "tell the matrix what to put into {path}");
        path
    }

    fn names_an_object(&self) -> bool {
        self.path.contains('{') && !self.path.starts_with("/tokens/")
    }

    fn is_stream(&self) -> bool {
        self.path.ends_with("stream")
    }
}

fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(tg_server::api::document()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                access: operation["x-access"].as_str().unwrap().to_owned(),
            });
        }
    }
    found
}

/// A world in which wrong tokens may be tried without end.
async fn world() -> TestApp {
    let setup = Setup::new(env!("CARGO_BIN_EXE_tg-shim"));
    setup.set("TASKSGODZILLA_LOGIN_FAILURES_PER_MINUTE", "100000").make().await
}

async fn ask(api: &Api, method: &str, path: &str, token: Option<&str>) -> Got {
    let mut call = api.call(method, path);
    if let Some(token) = token {
        call = call.token(token);
    }
    if method != "GET" {
        call = call.json(&json!({}));
    }
    call.send().await
}

async fn made(api: &Api, path: &str, body: Value) -> Value {
    let got = api.post(path, &body).await;
    assert!(got.status.is_success(), "POST {path}: {} {}", got.status, String::from_utf8_lossy(&got.body));
    got.json()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A project with one of everything.
async fn side(api: &Api, word: &str) -> Side {
    let url = format!("https://forge.example/team/{word}.git");
    let project = text(&made(api, "/projects", json!({"name": word, "git_url": url})).await["id"]);
    let new = json!({"protocol_name": format!("{word}-run"), "description": word, "engine": "dummy"});
    let run = text(&made(api, &format!("/projects/{project}/protocols"), new).await["id"]);
    let step =
        json!({"step_index": 0, "step_name": format!("00-{word}.md"), "step_type": "work", "summary": word});
    let step = text(&made(api, &format!("/protocols/{run}/steps"), step).await["id"]);
    let other = json!({"protocol_name": format!("{word}-other"), "description": word, "engine": "dummy"});
    let other = text(&made(api, &format!("/projects/{project}/protocols"), other).await["id"]);
    let started = made(api, &format!("/protocols/{other}/actions/start"), json!({})).await;
    let job = text(&started["job"]["job_id"]);
    let call = format!("call-{word}");
    let outside = json!({"job_type": word, "run_id": call, "project_id": project.parse::<i64>().unwrap()});
    made(api, "/runs/start", outside).await;
    let log = api.call("POST", &format!("/runs/{call}/logs")).as_admin().header("content-type", "text/plain");
    assert!(log.body(format!("{word} was here\n")).send().await.status.is_success());
    let comment =
        json!({"path": format!("{word}.rs"), "side": "new", "line": 1, "sha": "a".repeat(40), "body": word});
    let comment = text(&made(api, &format!("/protocols/{run}/review_comments"), comment).await["id"]);
    let token = text(&made(api, &format!("/projects/{project}/token"), json!({})).await["token"]);
    Side { project, run, step, job, call, comment, token }
}

/// What does not depend on the request: without its id, and with ids made alike.
fn without_ids(got: &Got, side: &Side) -> (u16, String) {
    let mut body = got.json();
    body["request_id"] = Value::Null;
    let mut text = body.to_string();
    for id in [&side.job, &side.call] {
        text = text.replace(id.as_str(), NOBODY);
    }
    for id in [&side.project, &side.run, &side.step, &side.comment] {
        text = text.replace(&format!(" {id} "), &format!(" {NOBODY} "));
    }
    (got.status.as_u16(), text)
}

async fn last_event(api: &Api) -> Value {
    api.get("/events?limit=1").await.json()[0]["seq"].clone()
}

#[tokio::test]
async fn nobody_gets_further_than_the_rule_of_the_route() {
    let world = world().await;
    let api = Api::new(&world.app);
    let (alpha, bravo) = (side(&api, "alpha").await, side(&api, CANARY).await);
    let before = last_event(&api).await;
    let operations = operations();
    assert!(operations.len() >= 60, "only {} operations: is the document whole?", operations.len());
    for operation in operations.iter().filter(|operation| operation.access != "open") {
        let (method, path) = (operation.method.as_str(), operation.at(Some(&bravo)));
        let in_query = format!("{path}?token={}&access_token={}", bravo.token, bravo.token);
        for (path, token) in [(&path, None), (&path, Some("tgz_wrong")), (&in_query, None)] {
            let got = ask(&api, method, path, token).await;
            assert_eq!(got.refusal(), (401, "unauthorized".to_owned()), "{method} {path}");
        }
        if operation.access == "admin" {
            for path in [operation.at(Some(&alpha)), path, operation.at(None)] {
                let got = ask(&api, method, &path, Some(&alpha.token)).await;
                assert_eq!(got.refusal(), (403, "forbidden".to_owned()), "{method} {path}");
            }
        } else if operation.names_an_object() {
            let foreign = ask(&api, method, &path, Some(&alpha.token)).await;
            let nobody = ask(&api, method, &operation.at(None), Some(&alpha.token)).await;
            assert_eq!(without_ids(&foreign, &bravo), without_ids(&nobody, &bravo), "{method} {path}");
            assert!(
                [404, 415, 422].contains(&foreign.status.as_u16()),
                "{method} {path}: {}",
                foreign.status
            );
        }
    }
    assert_eq!(last_event(&api).await, before, "a refused call left an event");
}

#[tokio::test]
async fn what_a_project_sees_holds_no_byte_of_another() {
    let world = world().await;
    let api = Api::new(&world.app);
    let (alpha, bravo) = (side(&api, "alpha").await, side(&api, CANARY).await);
    let mut read = 0;
    for operation in operations().iter().filter(|one| one.method == "GET" && !one.is_stream()) {
        let path = operation.at(Some(&alpha));
        let got = ask(&api, "GET", &path, Some(&alpha.token)).await;
        let body = String::from_utf8_lossy(&got.body).into_owned();
        assert!(!body.contains(CANARY), "GET {path}: {body}");
        assert!(!body.contains(&bravo.token) && !body.contains(&bravo.job), "GET {path}: {body}");
        assert!(!got.headers.iter().any(|(_, value)| value.to_str().unwrap_or_default().contains(CANARY)));
        read += usize::from(got.status.is_success());
        // The same route shows the admin the other project: the canary is one.
        if operation.access == "member" && got.status.is_success() && !operation.names_an_object() {
            let all = ask(&api, "GET", &path, Some(tg_server::testing::api::ADMIN)).await;
            assert!(all.body.len() >= got.body.len(), "GET {path}: the admin sees less");
        }
    }
    assert!(read >= 20, "only {read} routes answered");
    for query in ["project_id", "protocol_run_id", "step_run_id"] {
        let id = match query {
            "project_id" => &bravo.project,
            "protocol_run_id" => &bravo.run,
            _ => &bravo.step,
        };
        let got = ask(&api, "GET", &format!("/events?{query}={id}"), Some(&alpha.token)).await;
        assert_eq!(got.refusal().0, 404, "/events?{query}={id}");
    }
    let counts = ask(&api, "GET", "/queues", Some(&alpha.token)).await.json();
    assert_eq!(counts["default"]["queued"], 1, "{counts}");
    let all = api.get("/queues").await.json();
    assert_eq!(all["default"]["queued"], 2, "{all}");
}

#[tokio::test]
async fn the_admin_is_let_in_everywhere() {
    let world = world().await;
    let api = Api::new(&world.app);
    let alpha = side(&api, "alpha").await;
    for operation in operations().iter().filter(|one| one.access != "open" && !one.is_stream()) {
        let path = operation.at(Some(&alpha));
        let got = ask(&api, &operation.method, &path, Some(tg_server::testing::api::ADMIN)).await;
        assert!(![401, 403].contains(&got.status.as_u16()), "{} {path}: {}", operation.method, got.status);
        assert!(got.status.as_u16() < 500, "{} {path}: {}", operation.method, got.status);
    }
}
