//! Secrets of projects: sealed at rest, bound to their place, replaced under a newer key, shown nowhere.

use std::path::Path;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::Row as _;
use tg_core::{ids::ProjectId, scope::Scope};
use tg_server::{
    app::App,
    config::{Config, Inputs},
    db::Db,
    jobs::secrets::{Secrets, seal_anew},
    seal::{Place, Seal, SealError},
    store,
    testing::api::Api,
};

use super::{URL, made, places, send, told};
use crate::database::{TestDatabase, on_both, raw};

const CANARY: &str = "tgz-canary-7f3a9c51e2";

const OLD: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// The same application under these keys.
fn keyed(app: &App, keys: &str) -> App {
    let home = app.config.home.root.display().to_string();
    let environment = [("TASKSGODZILLA_HOME", home), ("TASKSGODZILLA_SECRET_KEY", keys.to_owned())];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let inputs = Inputs { environment, directory: "/".into(), ..Inputs::default() };
    let config = Config::resolve(&inputs).unwrap();
    App { seal: Seal::new(&config), ..app.clone() }
}

async fn opened(app: &App, project: i64, key: &str) -> Result<String, SealError> {
    let mut tx = app.db.read().await.unwrap();
    let rows = store::secret::list(&mut tx, &Scope::All, ProjectId(project)).await.unwrap();
    let row = rows.into_iter().find(|row| row.key == key).expect("it is stored");
    app.seal.open(Place { project, field: key }, &row.sealed).map(|text| text.expose().clone())
}

/// Every text of every table.
async fn whole_database(db: &Db) -> String {
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let Db::Sqlite { write, .. } = db else { return postgres_texts(db).await };
    let mut all = String::new();
    for table in sqlx::query(tables).fetch_all(write).await.unwrap() {
        let name: String = table.get(0);
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT * FROM {name}"))).fetch_all(write).await;
        for row in rows.unwrap() {
            for column in 0..row.len() {
                all.push_str(&row.try_get_unchecked::<String, _>(column).unwrap_or_default());
                all.push('\n');
            }
        }
    }
    all
}

async fn postgres_texts(db: &Db) -> String {
    let Db::Postgres { pool, .. } = db else { return String::new() };
    let mut all = String::new();
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()";
    for table in sqlx::query(tables).fetch_all(pool).await.unwrap() {
        let name: String = table.get(0);
        let text = format!("SELECT t::text FROM \"{name}\" t");
        for row in sqlx::query(sqlx::AssertSqlSafe(text)).fetch_all(pool).await.unwrap() {
            all.push_str(&row.get::<String, _>(0));
            all.push('\n');
        }
    }
    all
}

fn files_below(folder: &Path, found: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.extend(std::fs::read(&path).unwrap());
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn a_secret_goes_in_and_is_shown_nowhere(test: TestDatabase) {
    let app = test.app();
    let api = Api::new(&app);
    let body = json!({ "name": "Demo", "git_url": URL, "secrets": { "github_token": CANARY } });
    let call = api.call("POST", "/projects").as_admin().header("idempotency-key", "k1");
    let created = call.json(&body).send().await;
    assert_eq!(created.status, StatusCode::CREATED);
    let id = created.json()["id"].as_i64().unwrap();
    let path = format!("/projects/{id}");
    let mut answers = vec![created];
    for key in ["webhook_token", "openai_api_key", "engine.codex", "github_token"] {
        let set = send(&api, "PUT", &format!("{path}/secrets/{key}"), &json!({ "value": CANARY })).await;
        assert_eq!(set.json(), json!({ "key": key, "set": true }));
        answers.push(set);
    }
    answers.push(api.get(&path).await);
    let names = json!(["engine.codex", "github_token", "openai_api_key", "webhook_token"]);
    assert_eq!(answers.last().unwrap().json()["secrets_set"], names);
    answers.push(api.get("/projects").await);
    assert_eq!(answers.last().unwrap().json()[0]["secrets_set"], names);
    // Refusals, whose texts tend to repeat what they refuse.
    for (method, path, body) in [
        ("PUT", format!("{path}/secrets/nobody"), json!({ "value": CANARY })),
        ("PUT", format!("{path}/secrets/github_token"), json!({ "value": [CANARY] })),
        ("PUT", format!("{path}/secrets/github_token"), json!({ "value": format!("{CANARY}\n") })),
        ("PUT", format!("{path}/secrets/github_token"), json!({ "value": { CANARY: 1 } })),
        ("POST", "/projects".to_owned(), json!({ "name": "a", "git_url": URL, "secrets": CANARY })),
        ("POST", "/projects".to_owned(), json!({ "name": "a", "git_url": URL, "secrets": [CANARY] })),
        (
            "POST",
            "/projects".to_owned(),
            json!({ "name": "", "git_url": URL, "secrets": { "github_token": CANARY } }),
        ),
        (
            "POST",
            "/projects".to_owned(),
            json!({ "name": "a", "git_url": format!("https://me:{CANARY}@forge.example/x") }),
        ),
    ] {
        let got = send(&api, method, &path, &body).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{method} {path}");
        answers.push(got);
    }
    for got in &answers {
        assert!(!holds(&got.body, CANARY), "{}", got.json());
        assert!(!format!("{:?}", got.headers).contains(CANARY));
    }
    let events = format!("{:?}", told(&test, id).await);
    assert!(!events.contains(CANARY) && events.contains("github_token"), "{events}");
    let rows = whole_database(&test.db).await;
    assert!(rows.contains("engine.codex") && !rows.contains(CANARY), "{rows}");
    let mut files = Vec::new();
    files_below(&app.config.home.root, &mut files);
    assert!(!holds(&files, CANARY) && !files.is_empty(), "in a file of the state directory");
    assert_eq!(opened(&app, id, "github_token").await.unwrap(), CANARY, "and yet it is there");

    let removed = send(&api, "DELETE", &format!("{path}/secrets/github_token"), &Value::Null).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    let again = api.call("DELETE", &format!("{path}/secrets/github_token")).as_admin().send().await;
    assert_eq!(again.refusal(), (404, "not_found".to_owned()));
    let unknown = api.call("DELETE", &format!("{path}/secrets/nobody")).as_admin().send().await;
    assert_eq!(places(&unknown), [json!(["path", "key"])]);
    assert_eq!(
        send(&api, "PUT", "/projects/99/secrets/github_token", &json!({ "value": CANARY })).await.refusal().0,
        404
    );
}

async fn a_row_that_was_moved_does_not_open(test: TestDatabase) {
    let app = test.app();
    let api = Api::new(&app);
    let (a, b) = (made(&api, "a").await, made(&api, "b").await);
    for (project, key, value) in [
        (a, "github_token", "secret-of-a"),
        (b, "github_token", "secret-of-b"),
        (a, "gitlab_token", "other-of-a"),
    ] {
        send(&api, "PUT", &format!("/projects/{project}/secrets/{key}"), &json!({ "value": value })).await;
    }
    assert_eq!(opened(&app, a, "github_token").await.as_deref(), Ok("secret-of-a"));
    let copy = |to: i64, key: &str| {
        format!(
            "UPDATE project_secrets SET sealed = (SELECT sealed FROM project_secrets WHERE project_id = {a} \
             AND secret_key = 'github_token') WHERE project_id = {to} AND secret_key = '{key}'"
        )
    };
    raw(&test.db, &copy(b, "github_token")).await;
    assert_eq!(opened(&app, b, "github_token").await, Err(SealError::Refused), "another project");
    raw(&test.db, &copy(a, "gitlab_token")).await;
    assert_eq!(opened(&app, a, "gitlab_token").await, Err(SealError::Refused), "another name");
    assert_eq!(opened(&app, a, "github_token").await.as_deref(), Ok("secret-of-a"), "in its place it opens");
    let call = Secrets::of_project(&app, ProjectId(b)).await.err().expect("a call is refused");
    assert!(call.message.contains("github_token") && !call.message.contains("secret-of"), "{}", call.message);
}

async fn everything_is_sealed_anew_with_the_newest_key(test: TestDatabase) {
    let old = keyed(&test.app(), OLD);
    let api = Api::new(&old);
    let project = made(&api, "a").await;
    let other = made(&api, "b").await;
    // More than two slices.
    for number in 0..210 {
        let path = format!("/projects/{project}/secrets/engine.e{number}");
        send(&api, "PUT", &path, &json!({ "value": format!("value-of-{number}") })).await;
    }
    send(
        &api,
        "PUT",
        &format!("/projects/{other}/secrets/github_token"),
        &json!({ "value": "one-that-stays" }),
    )
    .await;
    raw(&test.db, &format!("UPDATE project_secrets SET sealed = 'ab' WHERE project_id = {other}")).await;
    assert_eq!(seal_anew(&old).await.unwrap(), 0, "nothing to do under the same key");

    let both = keyed(&old, &format!("{NEW},{OLD}"));
    assert_eq!(
        opened(&both, project, "engine.e7").await.as_deref(),
        Ok("value-of-7"),
        "before it is replaced"
    );
    assert_eq!(seal_anew(&both).await.unwrap(), 210, "all but the one that does not open");
    assert_eq!(seal_anew(&both).await.unwrap(), 0);
    let new = keyed(&old, NEW);
    assert_eq!(opened(&new, project, "engine.e0").await.as_deref(), Ok("value-of-0"));
    assert_eq!(opened(&new, project, "engine.e209").await.as_deref(), Ok("value-of-209"));
    assert!(matches!(opened(&old, project, "engine.e7").await, Err(SealError::UnknownKey(_))));
    assert!(
        matches!(opened(&new, other, "github_token").await, Err(SealError::UnknownKey(_))),
        "left as it was"
    );
    assert_eq!(seal_anew(&new).await.unwrap(), 0, "a key that is not here stops nothing");
}

async fn an_engine_is_given_its_own_key_only(test: TestDatabase) {
    let app = test.app();
    let api = Api::new(&app);
    let project = made(&api, "a").await;
    let set = async |key: &str, value: &str| {
        let path = format!("/projects/{project}/secrets/{key}");
        assert_eq!(send(&api, "PUT", &path, &json!({ "value": value })).await.status, StatusCode::OK);
    };
    let given = async |engine: &str| {
        let settings = [(
            "codex".to_owned(),
            [("CODEX_API_KEY", "of-the-settings"), ("MY_PROXY", "of-the-settings")]
                .map(|(name, value)| (name.to_owned(), tg_server::secret::Secret::new(value.to_owned())))
                .to_vec(),
        )];
        let secrets = Secrets::of_project(&app, ProjectId(project)).await.unwrap();
        let mut given: Vec<(String, String)> = secrets
            .variables(engine, &settings.into_iter().collect())
            .into_iter()
            .map(|(name, value)| (name, value.expose().clone()))
            .collect();
        given.sort();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        (given, pair)
    };
    set("github_token", "github-token").await;
    set("anthropic_api_key", "anthropic-key").await;
    let (found, pair) = given("codex").await;
    assert_eq!(found, [pair("CODEX_API_KEY", "of-the-settings"), pair("MY_PROXY", "of-the-settings")]);
    set("openai_api_key", "openai-key").await;
    let (found, pair) = given("codex").await;
    let keys = [pair("CODEX_API_KEY", "openai-key"), pair("MY_PROXY", "of-the-settings")];
    assert_eq!(found[..2], keys);
    assert_eq!(found[2..], [pair("OPENAI_API_KEY", "openai-key")]);
    set("engine.codex", "codex-key").await;
    let (found, pair) = given("codex").await;
    assert_eq!(found[0], pair("CODEX_API_KEY", "codex-key"));
    assert_eq!(given("dummy").await.0, [], "another engine gets none of it");
    let secrets = Secrets::of_project(&app, ProjectId(project)).await.unwrap();
    let shown = secrets.redactor(&app).text("a github-token, openai-key, codex-key and anthropic-key b");
    for value in ["github-token", "openai-key", "codex-key", "anthropic-key"] {
        assert!(!shown.contains(value), "{shown}");
    }
}

mod both {
    use super::on_both;
    on_both!(
        a_secret_goes_in_and_is_shown_nowhere,
        a_row_that_was_moved_does_not_open,
        everything_is_sealed_anew_with_the_newest_key,
        an_engine_is_given_its_own_key_only,
    );
}
