//! What a careless or hostile client sends to every route that takes a body or a list: told with its
//! place and a code, never a server error, never an event.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tg_server::testing::api::Api;

use super::world;

/// Method and path of every operation that takes a JSON body, with ids that nothing has or that exist
/// in the usual world.
fn with_bodies() -> Vec<(String, String)> {
    let document = serde_json::to_value(tg_server::api::document()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if operation["requestBody"]["content"].get("application/json").is_some() {
                found.push((method.to_uppercase(), filled(path)));
            }
        }
    }
    found
}

/// Every list: its path.
fn lists() -> Vec<String> {
    let document = serde_json::to_value(tg_server::api::document()).unwrap();
    let takes_limit = |item: &Value| {
        item["get"]["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "limit"))
    };
    let paths = document["paths"].as_object().unwrap();
    paths.iter().filter(|(_, item)| takes_limit(item)).map(|(path, _)| filled(path)).collect()
}

fn filled(path: &str) -> String {
    let mut text = String::new();
    for part in path.split('/').skip(1) {
        let part = match part {
            "{key}" => "webhook_token",
            "{action}" => "pause",
            part if part.starts_with('{') => "1",
            part => part,
        };
        write!(text, "/{part}").unwrap();
    }
    text
}

async fn events(api: &Api) -> Value {
    api.get("/events?limit=1").await.json()
}

#[tokio::test]
async fn a_body_that_is_none_is_refused_by_every_route() {
    let world = world().await;
    let api = Api::new(&world.app);
    let before = events(&api).await;
    let routes = with_bodies();
    assert!(routes.len() >= 15, "only {} routes take a body", routes.len());
    let deep = "[".repeat(100_000);
    let deep_object = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let bodies: &[(&str, &[u8])] = &[
        ("cut off", b"{\"name\": \"x\""),
        ("no JSON", b"hello"),
        ("two values", b"{} {}"),
        ("not UTF-8", b"{\"name\": \"\xff\xfe\"}"),
        ("deep", deep.as_bytes()),
        ("deep object", deep_object.as_bytes()),
        ("a list", b"[1,2,3]"),
        ("a list that could be fields", b" [null, null]"),
        ("a number", b"17"),
        ("a foreign field", b"{\"no_such_field_anywhere\": 1}"),
        ("a hostile field", b"{\"__proto__\": {\"admin\": true}, \"is_admin\": true}"),
    ];
    for (method, path) in &routes {
        for (what, body) in bodies {
            let call = api.call(method, path).as_admin().header("content-type", "application/json");
            let got = call.body(body.to_vec()).send().await;
            // Whoever has no token yet may send little.
            if path == "/auth/session" && body.len() > 1024 {
                assert_eq!(got.refusal(), (413, "payload_too_large".to_owned()), "{method} {path}: {what}");
                continue;
            }
            assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{method} {path}: {what}");
            assert!(got.json()["errors"][0]["loc"].is_array(), "{method} {path}: {what}");
        }
        for kind in
            ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data"]
        {
            let call = api.call(method, path).as_admin().header("content-type", kind);
            let got = call.body("{\"a\":1}").send().await;
            assert_eq!(got.refusal(), (415, "unsupported_media_type".to_owned()), "{method} {path}: {kind}");
        }
        let call = api.call(method, path).as_admin().header("content-type", "application/json");
        let got = call.body(vec![b' '; 1024 * 1024 + 1]).send().await;
        assert_eq!(got.refusal(), (413, "payload_too_large".to_owned()), "{method} {path}");
    }
    assert_eq!(events(&api).await, before, "a refused body left an event");
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused_by_every_list() {
    let world = world().await;
    let api = Api::new(&world.app);
    let lists = lists();
    assert!(lists.len() >= 10, "only {} lists", lists.len());
    for path in &lists {
        for bad in [
            "limit=0",
            "limit=-1",
            "limit=501",
            "limit=99999999999999999999999",
            "limit=ten",
            "limit=1.5",
            "limit=",
            "cursor=",
            "cursor=nonsense",
            "cursor=other-1",
            "cursor=%00",
            "limit=5&limit=6",
            "no_such_filter=1",
        ] {
            let got = api.get(&format!("{path}?{bad}")).await;
            let refusal = got.refusal();
            assert!(
                refusal == (422, "validation_failed".to_owned()) || refusal.0 == 404 && path.contains("/1"),
                "{path}?{bad}: {refusal:?}"
            );
        }
    }
}

#[tokio::test]
async fn ids_that_cannot_be_name_nothing() {
    let world = world().await;
    let api = Api::new(&world.app);
    for resource in ["/projects/", "/protocols/", "/steps/", "/queues/jobs/", "/runs/"] {
        for id in [
            "0",
            "-1",
            "9223372036854775807",
            "9223372036854775808",
            "1e3",
            "0x1",
            "%00",
            "..%2f..",
            "a%20b",
            "%ff",
        ] {
            let got = api.get(&format!("{resource}{id}")).await;
            assert_eq!(got.refusal(), (404, "not_found".to_owned()), "{resource}{id}");
        }
    }
    for method in ["PUT", "PATCH", "DELETE", "POST"] {
        let got = api.call(method, "/events").as_admin().send().await;
        assert_eq!(got.refusal(), (405, "method_not_allowed".to_owned()), "{method}");
    }
    let got = api.call("BREW", "/projects").as_admin().send().await;
    assert_eq!(got.refusal().0, 405);
    assert_eq!(
        api.post("/projects", &json!({"name": 5})).await.json()["errors"][0]["loc"],
        json!(["body", "name"])
    );
}
