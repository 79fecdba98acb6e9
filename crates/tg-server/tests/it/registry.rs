//! Stories of the run registry and of the queues, through the door.

mod files;
mod jobs;
mod lists;
mod logs;
mod outside;
mod scope;

use serde_json::{Value, json};
use tg_core::ids::ProjectId;
use tg_server::testing::{
    api::{Api, Got},
    app::TestApp,
};

use crate::journey::SHIM;

/// A world and its door.
async fn world() -> (TestApp, Api) {
    let app = TestApp::new(SHIM).await;
    let api = Api::new(&app.app);
    (app, api)
}

/// Another project, and a token that sees it alone.
async fn stranger(app: &TestApp, api: &Api) -> (ProjectId, String) {
    let mut tx = app.app.db.begin().await.unwrap();
    let project = crate::database::project(&mut tx, "other").await;
    tx.commit().await.unwrap();
    (project.id, member(api, project.id).await)
}

/// A token that sees one project.
async fn member(api: &Api, project: ProjectId) -> String {
    let new = json!({"name": format!("of-{project}"), "scope": "project", "project_id": project});
    let got = api.post("/tokens", &new).await;
    assert_eq!(got.status, 201, "{}", got.json());
    got.json()["token"].as_str().unwrap().to_owned()
}

/// Appends to the log of a run.
async fn append(api: &Api, run: &str, text: impl Into<axum::body::Body>) -> Got {
    let call = api.call("POST", &format!("/runs/{run}/logs")).as_admin();
    call.header("content-type", "text/plain").body(text).send().await
}

/// Registers a run of this id.
async fn started(api: &Api, id: &str) -> Value {
    let got = api.post("/runs/start", &json!({"job_type": "build", "run_id": id})).await;
    assert_eq!(got.status, 201, "{}", got.json());
    got.json()
}

async fn finished(api: &Api, id: &str) -> Got {
    api.post(&format!("/runs/{id}/finish"), &json!({"status": "succeeded"})).await
}
