//! What this server is, and which engines it knows. Starts no process: engines are looked at by whoever
//! serves.

use axum::{Json, extract::State};
use tg_core::wire::{EngineOut, Version};
use utoipa_axum::routes;

use super::{Door, route::Routes};
use crate::db;

/// Version of the API; it changes when an old client would break.
const API: &str = "1";

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new().open(routes!(version)).member(routes!(engines))
}

/// Says what this server is.
#[utoipa::path(get, path = "/version", tag = "meta",
    responses((status = 200, description = "Versions", body = Version)))]
async fn version() -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema: db::newest_schema(),
        api: API.to_owned(),
    })
}

/// Lists the engines this server knows.
///
/// As they were found at the last look; a request does not start one.
#[utoipa::path(get, path = "/engines", tag = "meta",
    responses((status = 200, description = "Engines", body = [EngineOut])))]
async fn engines(State(door): State<Door>) -> Json<Vec<EngineOut>> {
    Json(door.facts.engines().into_iter().map(|found| found.engine).collect())
}
