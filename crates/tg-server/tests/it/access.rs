//! Who is let in, on both databases: tokens, sessions, login links, hosts, limits. A secret is told once
//! and stored nowhere.

mod sessions;

use std::{num::NonZeroU32, sync::Arc};

use serde_json::{Value, json};
use sqlx::Row as _;
use tg_core::{ids::ProjectId, scope::Scope};
use tg_server::{
    app::App,
    config::Rate,
    db::Db,
    store,
    testing::api::{ADMIN, Api, Got},
};

use crate::database::{self, TestDatabase, on_both, raw};

/// Two projects and a door.
struct World {
    test: TestDatabase,
    api: Api,
    first: ProjectId,
    second: ProjectId,
}

impl World {
    async fn new(test: TestDatabase) -> Self {
        let app = test.app();
        Self::with(test, app).await
    }

    async fn with(test: TestDatabase, app: App) -> Self {
        let mut tx = test.db.begin().await.unwrap();
        let first = database::project(&mut tx, "first").await.id;
        let second = database::project(&mut tx, "second").await.id;
        tx.commit().await.unwrap();
        let api = Api::new(&app);
        Self { test, api, first, second }
    }

    async fn create(&self, body: &Value) -> (i64, String) {
        let got = self.api.post("/tokens", body).await;
        assert_eq!(got.status, 201, "{:?}", got.body);
        let token = got.json();
        (token["id"].as_i64().unwrap(), token["token"].as_str().unwrap().to_owned())
    }

    async fn member(&self, project: ProjectId, name: &str) -> (i64, String) {
        self.create(&json!({ "name": name, "scope": "project", "project_id": project.0 })).await
    }

    async fn get(&self, path: &str, token: &str) -> Got {
        self.api.call("GET", path).token(token).send().await
    }

    async fn status(&self, path: &str, token: &str) -> u16 {
        self.get(path, token).await.status.as_u16()
    }

    async fn events(&self) -> Vec<(String, Option<String>, Value)> {
        let mut tx = self.test.db.read().await.unwrap();
        let mut events =
            store::event::list(&mut tx, &Scope::All, &store::event::Filter::default(), 99).await.unwrap();
        events.reverse();
        events.into_iter().map(|event| (event.event_type, event.actor, event.metadata)).collect()
    }
}

/// Settings changed for one story.
fn changed(test: &TestDatabase, change: impl FnOnce(&mut tg_server::config::Config)) -> App {
    let mut app = test.app();
    let mut config = app.config.as_ref().clone();
    change(&mut config);
    app.config = Arc::new(config);
    app
}

/// Everything in the database as text.
async fn dump(db: &Db) -> String {
    let tables = [
        "projects",
        "events",
        "event_chains",
        "access_tokens",
        "sessions",
        "login_codes",
        "idempotency_keys",
        "jobs",
    ];
    let mut text = String::new();
    for table in tables {
        match db {
            Db::Sqlite { write, .. } => {
                let query = sqlx::AssertSqlSafe(format!("SELECT * FROM {table}"));
                for row in sqlx::query(query).fetch_all(write).await.unwrap() {
                    for column in 0..row.len() {
                        let value = row.try_get_unchecked::<Option<String>, _>(column).unwrap();
                        text.push_str(&value.unwrap_or_default());
                        text.push('\n');
                    }
                }
            }
            Db::Postgres { pool, .. } => {
                let query = sqlx::AssertSqlSafe(format!("SELECT CAST({table} AS TEXT) AS row FROM {table}"));
                for row in sqlx::query(query).fetch_all(pool).await.unwrap() {
                    text.push_str(&row.get::<String, _>("row"));
                    text.push('\n');
                }
            }
        }
    }
    text
}

async fn who_may_do_what_is_said_by_status(test: TestDatabase) {
    let world = World::new(test).await;
    let (_, member) = world.member(world.first, "of the first").await;
    let (_, admin) = world.create(&json!({ "name": "second admin", "scope": "admin" })).await;
    let (own, foreign) = (format!("/projects/{}", world.first), format!("/projects/{}", world.second));
    let wrong = format!("tgz_{}", "0".repeat(64));
    let table: &[(&str, Option<&str>, u16)] = &[
        (&own, None, 401),
        (&own, Some(&wrong), 401),
        (&own, Some("not-a-token"), 401),
        (&own, Some(&member), 200),
        (&own, Some(&admin), 200),
        (&own, Some(ADMIN), 200),
        (&foreign, None, 401),
        (&foreign, Some(&member), 404),
        (&foreign, Some(&admin), 200),
        ("/projects/999", Some(&member), 404),
        ("/projects/999", Some(&admin), 404),
        ("/projects/999", None, 401),
        ("/tokens", None, 401),
        ("/tokens", Some(&wrong), 401),
        ("/tokens", Some(&member), 403),
        ("/tokens", Some(&admin), 200),
        ("/tokens/999", Some(&member), 403),
        ("/tokens/999", Some(ADMIN), 404),
        ("/tokens/x", Some(ADMIN), 404),
        ("/health", None, 200),
        ("/health", Some(&wrong), 200),
        ("/nowhere", None, 404),
    ];
    for (path, token, expected) in table {
        let call = world.api.call("GET", path);
        let got = match token {
            Some(token) => call.token(token).send().await,
            None => call.send().await,
        };
        assert_eq!(got.status.as_u16(), *expected, "{path} as {token:?}: {:?}", got.body);
        assert_eq!(got.header("www-authenticate"), if *expected == 401 { "Bearer" } else { "" });
    }
    let (missing, foreign) = (world.get("/projects/999", &member).await, world.get(&foreign, &member).await);
    let told = |got: &Got, id: &str| got.json()["detail"].as_str().unwrap().replace(id, "ID");
    assert_eq!(
        told(&missing, "999"),
        told(&foreign, &world.second.to_string()),
        "a foreign project and none read alike"
    );
    let listed = world.get("/projects", &member).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["id"], world.first.0);
}

async fn a_token_goes_in_two_headers_and_never_in_the_query(test: TestDatabase) {
    let world = World::new(test).await;
    let (_, token) = world.member(world.first, "of the first").await;
    let send = async |name: &str, value: &str| {
        world.api.call("GET", "/projects").header(name, value).send().await.status.as_u16()
    };
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert_eq!(send("authorization", &format!("{scheme} {token}")).await, 200, "{scheme}");
    }
    assert_eq!(send("x-project-token", &token).await, 200);
    assert_eq!(send("x-project-token", ADMIN).await, 200);
    for (name, value) in [
        ("authorization", token.clone()),
        ("authorization", format!("Basic {token}")),
        ("authorization", format!("Bearer{token}")),
        ("authorization", "Bearer ".to_owned()),
        ("authorization", format!("Bearer {}", "x".repeat(600))),
        ("x-project-token", format!("Bearer {token}")),
        ("cookie", format!("tgz_session={token}")),
        ("x-token", token.clone()),
    ] {
        assert_eq!(send(name, &value).await, 401, "{name}: {value}");
    }
    for name in ["token", "access_token", "api_token", "project_token", "authorization"] {
        let got = world.api.call("GET", &format!("/projects?{name}={token}")).send().await;
        assert_eq!(got.status, 401, "{name}");
    }
}

async fn a_token_is_told_once_and_stored_nowhere(test: TestDatabase) {
    let world = World::new(test).await;
    let body = json!({ "name": "canary", "scope": "admin" });
    let create = || world.api.call("POST", "/tokens").as_admin().header("idempotency-key", "k1").json(&body);
    let made = create().send().await.json();
    let token = made["token"].as_str().unwrap().to_owned();
    let again = create().send().await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (201, "true"));
    assert_eq!((again.json()["id"].clone(), again.json().get("token")), (made["id"].clone(), None));
    let project = format!("/projects/{}/token", world.first);
    let of_project = world.api.post(&project, &json!({})).await.json()["token"].as_str().unwrap().to_owned();
    let rotated = world.api.post(&format!("/tokens/{}/rotate", made["id"]), &json!({})).await.json();
    let session = world.api.call("POST", "/auth/session").as_admin().send().await;
    let cookie = session.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
    let secrets =
        [token, of_project, rotated["token"].as_str().unwrap().to_owned(), cookie, ADMIN.to_owned()];

    let listed = String::from_utf8(world.api.get("/tokens").await.body.to_vec()).unwrap();
    let dump = dump(&world.test.db).await;
    assert!(dump.contains("canary") && dump.contains(&made["prefix"].as_str().unwrap()[..4]), "{dump}");
    for secret in &secrets {
        assert!(secret.len() > 30, "{secret}");
        for part in [&secret[..], &secret[12..]] {
            assert!(!dump.contains(part), "a secret is in the database");
            assert!(!listed.contains(part), "a secret is listed");
        }
    }
}

async fn a_rotated_or_revoked_token_is_dead_at_once(test: TestDatabase) {
    let world = World::new(test).await;
    let (id, old) = world.member(world.first, "laptop").await;
    assert_eq!(world.status("/projects", &old).await, 200);
    let got = world.api.post(&format!("/tokens/{id}/rotate"), &json!({})).await;
    assert_eq!(got.status, 200, "{:?}", got.body);
    let new = got.json()["token"].as_str().unwrap().to_owned();
    assert_eq!((world.status("/projects", &old).await, world.status("/projects", &new).await), (401, 200));
    let gone = world.api.call("DELETE", &format!("/tokens/{id}")).as_admin().send().await;
    assert_eq!((gone.status.as_u16(), world.status("/projects", &new).await), (204, 401));
    let again = world.api.call("DELETE", &format!("/tokens/{id}")).as_admin().send().await;
    assert_eq!(again.refusal(), (404, "not_found".to_owned()));
    assert_eq!(world.api.post(&format!("/tokens/{id}/rotate"), &json!({})).await.status, 404);
    assert_eq!(world.api.get("/tokens").await.json(), json!([]), "revoked ones are not listed");
    world.member(world.first, "laptop").await;

    let path = format!("/projects/{}/token", world.first);
    let first = world.api.post(&path, &json!({})).await;
    assert_eq!(first.status, 201);
    let first = first.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(world.status("/projects", &first).await, 200);
    let second = world.api.post(&path, &json!({})).await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(
        (world.status("/projects", &first).await, world.status("/projects", &second).await),
        (401, 200)
    );
    assert_eq!(world.api.post("/projects/999/token", &json!({})).await.status, 404);

    let events = world.events().await;
    let told: Vec<_> = events
        .iter()
        .map(|(kind, actor, data)| (kind.as_str(), actor.as_deref().unwrap(), data["name"].as_str()))
        .collect();
    let laptop = Some("laptop");
    assert_eq!(
        told,
        [
            ("token_created", "admin", laptop),
            ("token_revoked", "admin", laptop),
            ("token_created", "admin", laptop),
            ("token_revoked", "admin", laptop),
            ("token_created", "admin", laptop),
            ("project_token_rotated", "admin", None),
            ("project_token_rotated", "admin", None),
        ]
    );
    assert!(events.iter().all(|(_, _, data)| data["request_id"].is_string()));
}

async fn a_token_ends_at_its_time_and_not_before(test: TestDatabase) {
    let world = World::new(test).await;
    let tomorrow = "2027-01-16T08:00:00.000Z";
    let (id, token) =
        world.create(&json!({ "name": "short", "scope": "admin", "expires_at": tomorrow })).await;
    let shown = world.api.get(&format!("/tokens/{id}")).await.json();
    assert_eq!((shown["expires_at"].as_str(), shown.get("token")), (Some(tomorrow), None));
    assert_eq!(world.status("/tokens", &token).await, 200);
    let cookie = sessions::open(&world.api, &token).await;
    assert_eq!(sessions::get(&world.api, "/tokens", &cookie).await, 200);
    raw(&world.test.db, &format!("UPDATE access_tokens SET expires_at = {}", database::NOW + 1)).await;
    assert_eq!(world.status("/tokens", &token).await, 200);
    raw(&world.test.db, &format!("UPDATE access_tokens SET expires_at = {}", database::NOW)).await;
    assert_eq!(world.status("/tokens", &token).await, 401);
    assert_eq!(sessions::get(&world.api, "/tokens", &cookie).await, 401, "its session too");
    let rotated = world.api.post(&format!("/tokens/{id}/rotate"), &json!({})).await;
    assert_eq!(rotated.refusal(), (409, "token_expired".to_owned()));
}

async fn what_cannot_be_a_token_is_refused_with_its_place(test: TestDatabase) {
    let world = World::new(test).await;
    let project = world.first.0;
    for (body, place) in [
        (json!({ "scope": "admin" }), "name"),
        (json!({ "name": "", "scope": "admin" }), "name"),
        (json!({ "name": "a:b", "scope": "admin" }), "name"),
        (json!({ "name": "a\u{202e}b", "scope": "admin" }), "name"),
        (json!({ "name": " a", "scope": "admin" }), "name"),
        (json!({ "name": "x".repeat(65), "scope": "admin" }), "name"),
        (json!({ "name": "a", "scope": "root" }), "scope"),
        (json!({ "name": "a", "scope": "project" }), "project_id"),
        (json!({ "name": "a", "scope": "admin", "project_id": project }), "project_id"),
        (json!({ "name": "a", "scope": "admin", "expires_at": "soon" }), "expires_at"),
        (json!({ "name": "a", "scope": "admin", "expires_at": "2020-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "name": "a", "scope": "admin", "token": "mine" }), "token"),
    ] {
        let got = world.api.post("/tokens", &body).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{body}");
        assert_eq!(got.json()["errors"][0]["loc"][1], place, "{body}: {:?}", got.body);
    }
    let foreign = json!({ "name": "a", "scope": "project", "project_id": 999 });
    assert_eq!(world.api.post("/tokens", &foreign).await.status, 404);
    world.member(world.first, "twice").await;
    let twice = world.api.post("/tokens", &json!({ "name": "twice", "scope": "admin" })).await;
    assert_eq!(twice.refusal(), (409, "token_name_taken".to_owned()));
    assert_eq!(world.events().await.len(), 1, "a refused request leaves no event");
}

async fn tokens_are_listed_newest_first_in_pages(test: TestDatabase) {
    let world = World::new(test).await;
    for number in 0..5 {
        world.member(world.first, &format!("t{number}")).await;
    }
    let mut names = Vec::new();
    let mut path = "/tokens?limit=2".to_owned();
    loop {
        let got = world.api.get(&path).await;
        names.extend(
            got.json().as_array().unwrap().iter().map(|token| token["name"].as_str().unwrap().to_owned()),
        );
        match got.header("x-next-cursor") {
            "" => break,
            cursor => path = format!("/tokens?limit=2&cursor={cursor}"),
        }
    }
    assert_eq!(names, ["t4", "t3", "t2", "t1", "t0"]);
    assert_eq!(world.api.get("/tokens?cursor=project-1").await.status, 422);
}

async fn actors_are_named_by_their_token(test: TestDatabase) {
    let world = World::new(test).await;
    let (_, admin) = world.create(&json!({ "name": "ci robot", "scope": "admin" })).await;
    let made = world.api.call("POST", &format!("/projects/{}/token", world.first)).token(&admin);
    let project = made.json(&json!({})).send().await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(world.events().await.last().unwrap().1.as_deref(), Some("token:ci robot"));
    for (token, user, scope, id) in [
        (ADMIN, "admin".to_owned(), "admin", Value::Null),
        (&admin, "token:ci robot".to_owned(), "admin", Value::Null),
        (&project, format!("project:{}", world.first), "project", json!(world.first.0)),
    ] {
        let me = world.get("/auth/me", token).await.json();
        assert_eq!(me, json!({ "enabled": false, "user": user, "scope": scope, "project_id": id }));
    }
    assert_eq!(world.api.call("GET", "/auth/me").send().await.status, 401);
}

async fn the_last_use_is_noted_once_a_minute(test: TestDatabase) {
    let world = World::new(test).await;
    let (id, token) = world.member(world.first, "noted").await;
    assert_eq!(world.status("/projects", &token).await, 200);
    let used = async || world.api.get(&format!("/tokens/{id}")).await.json()["last_used_at"].clone();
    let mut tries = 0;
    while used().await.is_null() {
        tries += 1;
        assert!(tries < 2000, "never noted");
        tokio::task::yield_now().await;
    }
    assert_eq!(used().await, "2027-01-15T08:00:00.000Z");
    // The note was for this minute; another use within it writes nothing.
    raw(&world.test.db, "UPDATE access_tokens SET last_used_at = NULL").await;
    assert_eq!(world.status("/projects", &token).await, 200);
    for _ in 0..50 {
        tokio::task::yield_now().await;
        assert!(used().await.is_null(), "noted twice in a minute");
    }
}

async fn a_token_that_asks_too_often_is_told_when_to_come_back(test: TestDatabase) {
    let few = Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(3).unwrap() };
    let app = changed(&test, |config| config.access.rate = Some(few));
    let world = World::with(test, app).await;
    let (_, one) = world.member(world.first, "one").await;
    let (_, two) = world.member(world.first, "two").await;
    for _ in 0..3 {
        assert_eq!(world.status("/projects", &one).await, 200);
    }
    let got = world.get("/projects", &one).await;
    assert_eq!(got.refusal(), (429, "rate_limited".to_owned()));
    assert_eq!(got.header("retry-after"), "1");
    assert_eq!(world.status("/projects", &two).await, 200, "others are not touched");
    assert_eq!(world.status("/health", &one).await, 200);
}

async fn guessing_is_slowed_and_a_token_made_here_is_always_looked_at(test: TestDatabase) {
    let app = changed(&test, |config| config.access.login_failures = NonZeroU32::new(3).unwrap());
    let world = World::with(test, app).await;
    let (_, member) = world.member(world.first, "mine").await;
    for _ in 0..3 {
        assert_eq!(world.status("/projects", "guess").await, 401);
    }
    let got = world.get("/projects", "guess").await;
    assert_eq!(got.refusal(), (429, "rate_limited".to_owned()));
    assert_eq!(got.header("retry-after"), "20");
    assert_eq!(world.status("/projects", ADMIN).await, 429, "a chosen word is not even compared");
    assert_eq!(world.status("/projects", &member).await, 200, "256 random bits cannot be guessed");
    let code = json!({ "code": format!("tgl_{}", "0".repeat(64)) });
    let got = world.api.call("POST", "/auth/session").json(&code).send().await;
    assert_eq!(got.status, 429);
}

async fn the_metrics_are_guarded_when_asked_for(test: TestDatabase) {
    let app = changed(&test, |config| config.access.metrics_auth = true);
    let open = World::new(TestDatabase::sqlite().await).await;
    let world = World::with(test, app).await;
    let (_, member) = world.member(world.first, "m").await;
    let is_there = open.api.call("GET", "/metrics").send().await.status == 200;
    let statuses = [
        world.api.call("GET", "/metrics").send().await.status.as_u16(),
        world.status("/metrics", &member).await,
        world.status("/metrics", ADMIN).await,
    ];
    assert_eq!(statuses, if is_there { [401, 403, 200] } else { [404, 404, 404] });
}

async fn a_foreign_name_is_not_answered(test: TestDatabase) {
    let world = World::new(test).await;
    for path in ["/health", "/projects", "/auth/session"] {
        let got = world.api.call("GET", path).as_admin().header("host", "evil.example:8010").send().await;
        assert_eq!(got.refusal(), (421, "wrong_host".to_owned()), "{path}");
    }
    let app = changed(&world.test, |config| {
        config.access.public_url = tg_server::config::PublicUrl::parse("https://tasks.example.org");
    });
    let behind_a_proxy = Api::new(&app);
    for (host, status) in [("tasks.example.org", 200), ("localhost:8010", 200), ("evil.example", 421)] {
        let got = behind_a_proxy.call("GET", "/projects").as_admin().header("host", host).send().await;
        assert_eq!(got.status, status, "{host}");
    }
}

mod both {
    use super::on_both;
    on_both!(
        who_may_do_what_is_said_by_status,
        a_token_goes_in_two_headers_and_never_in_the_query,
        a_token_is_told_once_and_stored_nowhere,
        a_rotated_or_revoked_token_is_dead_at_once,
        a_token_ends_at_its_time_and_not_before,
        what_cannot_be_a_token_is_refused_with_its_place,
        tokens_are_listed_newest_first_in_pages,
        actors_are_named_by_their_token,
        the_last_use_is_noted_once_a_minute,
        a_token_that_asks_too_often_is_told_when_to_come_back,
        guessing_is_slowed_and_a_token_made_here_is_always_looked_at,
        the_metrics_are_guarded_when_asked_for,
        a_foreign_name_is_not_answered,
    );
}
