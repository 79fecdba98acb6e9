//! What holds for every route: ids of requests, headers, the shape of refusals, tags, pages.

use std::time::Duration;

use axum::http::StatusCode;
use tg_server::{store, testing::api::Api};

use super::world;

#[tokio::test]
async fn a_request_without_a_token_is_told_so_and_gets_its_id_back() {
    let world = world().await;
    let api = Api::new(&world.app);
    let got = api.call("GET", "/projects").header("x-request-id", "mine.1").send().await;
    assert_eq!(got.refusal(), (401, "unauthorized".to_owned()));
    assert_eq!(got.header("x-request-id"), "mine.1");
    assert_eq!(got.json()["request_id"], "mine.1");
    assert_eq!(got.header("content-type"), "application/problem+json");
    let got = api.call("GET", "/projects").header("x-request-id", "not an id").token("wrong").send().await;
    assert_eq!(got.refusal(), (401, "unauthorized".to_owned()));
    assert_ne!(got.header("x-request-id"), "not an id");
    assert_eq!(got.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn one_object_has_a_tag_and_is_not_sent_twice() {
    let world = world().await;
    let api = Api::new(&world.app);
    let got = api.get(&format!("/projects/{}", world.project.id)).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.json()["name"], "sample");
    let tag = got.header("etag").to_owned();
    let again = api.call("GET", &format!("/projects/{}", world.project.id)).as_admin();
    let again = again.header("if-none-match", &tag).send().await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    for path in ["/projects/999", "/projects/abc", "/projects/-1", "/nothing"] {
        assert_eq!(api.get(path).await.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    let got = api.call("PUT", "/projects").as_admin().send().await;
    assert_eq!(got.refusal(), (405, "method_not_allowed".to_owned()));
}

#[tokio::test]
async fn a_query_that_does_not_hold_is_told_with_its_place() {
    let world = world().await;
    let api = Api::new(&world.app);
    for (query, place) in [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("limt=5", "limt"),
        ("cursor=event-5", "cursor"),
        ("cursor=project-x", "cursor"),
    ] {
        let got = api.get(&format!("/projects?{query}")).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{query}");
        assert_eq!(got.json()["errors"][0]["loc"][0], "query", "{query}");
        assert_eq!(got.json()["errors"][0]["loc"][1], place, "{query}: {}", got.json());
    }
}

#[test]
fn every_route_has_an_access_rule_in_the_document() {
    let document = serde_json::to_value(tg_server::api::document()).unwrap();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            let rule = operation["x-access"].as_str().unwrap_or_default();
            assert!(["open", "member", "admin"].contains(&rule), "{method} {path} has no rule");
            assert_eq!(
                operation["security"].as_array().unwrap().is_empty(),
                rule == "open",
                "{method} {path}"
            );
        }
    }
    assert!(operations >= 5, "only {operations} operations were found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_kept_for_a_day_and_then_goes() {
    let world = world().await;
    let api = Api::new(&world.app);
    let path = format!("/projects/{}/protocols", world.project.id);
    let body = serde_json::json!({"protocol_name": "once"});
    let send = || api.call("POST", &path).as_admin().header("idempotency-key", "k1").json(&body).send();
    let first = send().await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (StatusCode::CREATED, ""));
    world.pass(Duration::from_hours(23));
    world.keep_house().await;
    let again = send().await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CREATED, "true"));
    assert_eq!(again.body, first.body);
    world.pass(Duration::from_hours(2));
    world.keep_house().await;
    let mut tx = world.app.db.begin().await.unwrap();
    let left = store::idempotency::prune(&mut tx, world.app.clock.now(), 10).await.unwrap();
    drop(tx);
    assert_eq!(left, 0, "house-keeping left an answer that is past its day");
    assert_eq!(send().await.refusal(), (409, "duplicate_name".to_owned()), "nothing is remembered any more");
}
