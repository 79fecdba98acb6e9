//! Comments over HTTP: made, listed, changed, deleted, within their project.

use serde_json::{Value, json};
use tg_server::testing::{
    api::{Api, Got},
    app::TestApp,
};

use super::world;

fn comment(body: &str) -> Value {
    json!({"path": "src/a.rs", "side": "new", "line": 3, "sha": "a".repeat(40), "body": body})
}

async fn with_run() -> (TestApp, Api, String) {
    let app = world().await;
    let run = app.create("0001-say-hello", None).await;
    let api = Api::new(&app.app);
    (app, api, format!("/protocols/{run}/review_comments"))
}

async fn patch(api: &Api, path: &str, change: &Value) -> Got {
    api.call("PATCH", path).as_admin().json(change).send().await
}

#[tokio::test]
async fn a_comment_is_made_listed_changed_and_deleted() {
    let (_app, api, list) = with_run().await;
    let made = api.post(&list, &comment("Say it louder.")).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.json());
    let place = made.header("location").to_owned();
    let first = made.json();
    assert_eq!(place, format!("/review_comments/{}", first["id"]));
    assert_eq!((&first["state"], &first["author"]), (&json!("open"), &json!("admin")));
    assert_eq!(
        (&first["path"], &first["side"], &first["line"]),
        (&json!("src/a.rs"), &json!("new"), &json!(3))
    );
    let second = api.post(&list, &comment("Twice.")).await.json();
    let third = api.post(&list, &comment("Thrice.")).await.json();
    assert_eq!(api.get(&list).await.json(), json!([third, second, first]), "newest first");
    let page = api.get(&format!("{list}?limit=2")).await;
    assert_eq!(page.json(), json!([third, second]));
    let next = page.header("x-next-cursor").to_owned();
    assert_eq!(api.get(&format!("{list}?limit=2&cursor={next}")).await.json(), json!([first]));

    let changed = patch(&api, &place, &json!({"body": "Say it much louder."})).await.json();
    assert_eq!((&changed["body"], &changed["state"]), (&json!("Say it much louder."), &json!("open")));
    assert_eq!(patch(&api, &place, &json!({"state": "resolved"})).await.json()["state"], "resolved");
    let refused = patch(&api, &place, &json!({"body": "Too late."})).await;
    assert_eq!(refused.refusal(), (409, "comment_not_open".to_owned()));
    assert_eq!(patch(&api, &place, &json!({"state": "open"})).await.json()["state"], "open");
    assert_eq!(patch(&api, &place, &json!({})).await.json()["state"], "open", "nothing changes");

    let stale =
        api.call("PATCH", &place).as_admin().header("if-match", "\"old\"").json(&json!({})).send().await;
    assert_eq!(stale.refusal(), (412, "precondition_failed".to_owned()));
    let gone = api.call("DELETE", &place).as_admin().send().await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    let again = api.call("DELETE", &place).as_admin().send().await;
    assert_eq!(again.refusal(), (404, "not_found".to_owned()));
    assert_eq!(api.get(&list).await.json(), json!([third, second]));
}

#[tokio::test]
async fn a_key_makes_one_comment_however_often_it_is_sent() {
    let (_app, api, list) = with_run().await;
    let send = async |body: &str| {
        let call = api.call("POST", &list).as_admin().header("idempotency-key", "k1");
        call.json(&comment(body)).send().await
    };
    let (once, twice) = (send("Once.").await, send("Once.").await);
    assert_eq!((once.json(), twice.header("idempotency-replayed")), (twice.json(), "true"));
    assert_eq!(send("Other.").await.refusal(), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(api.get(&list).await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_does_not_hold_is_named_and_nothing_is_written() {
    let (app, api, list) = with_run().await;
    let long = "x".repeat(16 * 1024 + 1);
    for (field, value) in [
        ("path", json!("")),
        ("path", json!("../a")),
        ("path", json!("/etc/passwd")),
        ("path", json!("a\nb")),
        ("side", json!("left")),
        ("line", json!(0)),
        ("line", json!(-3)),
        ("line", json!("3")),
        ("line", json!(1.5)),
        ("sha", json!("HEAD")),
        ("sha", json!("A".repeat(40))),
        ("sha", json!("a".repeat(64))),
        ("body", json!(" \n")),
        ("body", json!(long)),
        ("body", json!("a\u{0}b")),
        ("body", Value::Null),
        ("state", json!("sent")),
        ("author", json!("eve")),
    ] {
        let mut new = comment("Say it.");
        new[field] = value.clone();
        let got = api.post(&list, &new).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{field}: {value}");
        assert_eq!(got.json()["errors"][0]["loc"], json!(["body", field]), "{value}");
    }
    let all_at_once = json!({"path": "..", "side": "old", "line": 0, "sha": "x", "body": ""});
    assert_eq!(api.post(&list, &all_at_once).await.json()["errors"].as_array().unwrap().len(), 4);
    assert_eq!(api.get(&list).await.json(), json!([]));
    let place = api.post(&list, &comment("Say it.")).await.header("location").to_owned();
    for change in [
        json!({"state": "sent"}),
        json!({"state": "outdated"}),
        json!({"state": null}),
        json!({"body": ""}),
        json!({"line": 4}),
    ] {
        let got = patch(&api, &place, &change).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{change}");
    }
    assert_eq!(api.get(&list).await.json()[0]["body"], "Say it.");
    for cursor in ["project-1", "comment-x", "comment"] {
        let got = api.get(&format!("{list}?cursor={cursor}")).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{cursor}");
    }
    let run = app.create("0002-other", None).await;
    assert!(app.events(run).await.is_empty(), "comments tell no events");
}

#[tokio::test]
async fn another_projects_token_finds_nothing() {
    let (app, api, list) = with_run().await;
    let place = api.post(&list, &comment("Secret words.")).await.header("location").to_owned();
    let mut tx = app.app.db.begin().await.unwrap();
    let other = crate::database::project(&mut tx, "other").await.id.0;
    tx.commit().await.unwrap();
    let token = async |project: i64| {
        let asked = json!({"name": format!("of {project}"), "scope": "project", "project_id": project});
        api.post("/tokens", &asked).await.json()["token"].as_str().unwrap().to_owned()
    };
    let (own, foreign) = (token(app.project.id.0).await, token(other).await);
    for (method, path, body) in [
        ("GET", &list, None),
        ("POST", &list, Some(comment("From outside."))),
        ("PATCH", &place, Some(json!({"state": "resolved"}))),
        ("DELETE", &place, None),
    ] {
        let call = |token: &str| {
            let call = api.call(method, path).token(token);
            match &body {
                Some(body) => call.json(body),
                None => call,
            }
        };
        let hidden = call(&foreign).send().await;
        assert_eq!(hidden.refusal(), (404, "not_found".to_owned()), "{method} {path}");
        assert!(!String::from_utf8_lossy(&hidden.body).contains("Secret"));
        let stranger = api.call(method, path);
        assert_eq!(stranger.send().await.refusal().0, 401, "{method} {path}");
        let seen = call(&own).send().await;
        assert!(seen.status.is_success(), "{method} {path}: {}", seen.status);
    }
    let left = api.get(&list).await.json();
    assert_eq!(left.as_array().unwrap().len(), 1, "the member's own comment");
    assert_eq!(left[0]["author"], format!("token:of {}", app.project.id));
}
