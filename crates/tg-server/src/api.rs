//! The HTTP door: routes of each resource, and the gate every request goes through.
//!
//! A route is a handler and one line in its resource's list, with the rule who may call it; the API's
//! document is made from the same lines. A handler reads the store under the caller's scope, writes
//! through [`write::Write`], and moves a status only by sending a signal.

mod answer;
mod auth;
mod caller;
pub mod convert;
mod document;
mod error;
mod extract;
mod gate;
pub mod health;
mod page;
mod projects;
mod reference;
mod route;
mod write;

use std::{io, sync::Arc};

use axum::{Router, http::Method, middleware};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

use self::route::Routes;
pub use self::{
    error::ApiError,
    health::Facts,
    route::{Access, Rules},
};
use crate::{app::App, secret::Secret};

/// What every route is handed; cheap to clone.
#[derive(Clone)]
pub struct Door {
    /// The application.
    pub app: App,
    /// What the process knows of itself and its engines.
    pub facts: Facts,
    fixed: Arc<Fixed>,
}

/// What does not change while the door is open.
struct Fixed {
    rules: Rules,
    document: Vec<u8>,
    reference: Vec<u8>,
    admin_digest: [u8; 32],
}

impl Door {
    /// Rule of a route; `None` for a route that does not exist.
    fn rule(&self, template: &str, method: &Method) -> Option<Access> {
        // A GET handler answers HEAD too.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let rules = self.fixed.rules.get(template)?;
        rules.iter().find(|(known, _)| known == method).map(|(_, access)| *access)
    }

    /// The API's document as JSON.
    fn document(&self) -> &[u8] {
        &self.fixed.document
    }

    /// The API's document as a page.
    fn reference(&self) -> &[u8] {
        &self.fixed.reference
    }

    /// Digest of the admin's token.
    fn admin_digest(&self) -> &[u8; 32] {
        &self.fixed.admin_digest
    }
}

/// The routes of every resource.
fn all() -> Routes {
    Routes::new()
        .merge(health::routes())
        .merge(document::routes())
        .merge(reference::routes())
        .merge(projects::routes())
}

/// The API's document.
pub fn document() -> OpenApi {
    document::finish(all().split().2)
}

/// All routes behind the gate. `admin` is the admin's token.
pub fn router(app: App, facts: Facts, admin: &Secret<String>) -> Router {
    let (router, rules, document) = all().split();
    let document = document::finish(document);
    let shown = serde_json::to_value(&document).expect("the document has string keys");
    let fixed = Fixed {
        rules,
        reference: reference::render(&shown).into_bytes(),
        document: answer::json(&document),
        admin_digest: Sha256::digest(admin.expose().as_bytes()).into(),
    };
    let door = Door { app, facts, fixed: Arc::new(fixed) };
    router
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(middleware::from_fn_with_state(door.clone(), gate::gate))
        .with_state(door)
}

/// A random token of 256 bits.
pub fn new_token() -> Result<Secret<String>, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Secret::new(format!("tgz_{hex}")))
}

/// Serves until `stop` is cancelled; answers that have begun are finished.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}
