//! The HTTP door: routes of each resource, and the gate every request goes through.
//!
//! A route is a handler and one line in its resource's list, with the rule who may call it; the API's
//! document is made from the same lines. A handler reads the store under the caller's scope, writes
//! through [`write::Write`], and moves a status only by sending a signal.

mod actions;
mod answer;
mod auth;
mod body;
mod caller;
pub mod convert;
mod diff;
mod document;
mod error;
mod events;
mod extract;
mod fields;
mod gate;
pub mod health;
mod meta;
mod metrics;
mod observe;
mod page;
mod pass;
mod projects;
mod protocols;
mod queues;
mod reference;
mod review;
mod route;
mod runs;
mod serve;
mod session;
mod steps;
mod stream;
mod tail;
mod tokens;
mod write;

use std::sync::Arc;

use axum::{Router, http::Method, middleware};
use utoipa::openapi::OpenApi;

use self::route::Routes;
pub use self::{
    auth::Keeper,
    error::ApiError,
    health::{Facts, KnownEngine},
    route::{Access, Rules},
    serve::{Limits, Peer, make_room, serve},
};
use crate::app::App;

/// What every route is handed; cheap to clone.
#[derive(Clone)]
pub struct Door {
    /// The application.
    pub app: App,
    /// What the process knows of itself and its engines.
    pub facts: Facts,
    fixed: Arc<Fixed>,
}

/// Path of the metrics.
const METRICS: &str = "/metrics";

/// What does not change while the door is open.
struct Fixed {
    rules: Rules,
    document: Vec<u8>,
    reference: Vec<u8>,
    keeper: Keeper,
    bodies: body::Room,
}

impl Door {
    /// Rule of a route; `None` for a route that does not exist.
    fn rule(&self, template: &str, method: &Method) -> Option<Access> {
        // A GET handler answers HEAD too.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let rules = self.fixed.rules.get(template)?;
        let access = rules.iter().find(|(known, _)| known == method).map(|(_, access)| *access);
        // Figures are about every project, so whoever has to show a token has to be the admin.
        let is_guarded = template == METRICS && self.app.config.access.metrics_auth;
        if is_guarded { access.map(|_| Access::Admin) } else { access }
    }

    /// The API's document as JSON.
    fn document(&self) -> &[u8] {
        &self.fixed.document
    }

    /// The API's document as a page.
    fn reference(&self) -> &[u8] {
        &self.fixed.reference
    }

    /// Who is let in.
    fn keeper(&self) -> &Keeper {
        &self.fixed.keeper
    }

    /// Memory for the bodies of requests.
    fn bodies(&self) -> &body::Room {
        &self.fixed.bodies
    }
}

/// The routes of every resource.
fn all() -> Routes {
    Routes::new()
        .merge(health::routes())
        .merge(meta::routes())
        .merge(metrics::routes())
        .merge(document::routes())
        .merge(reference::routes())
        .merge(projects::routes())
        .merge(session::routes())
        .merge(tokens::routes())
        .merge(diff::routes())
        .merge(review::routes())
        .merge(protocols::routes())
        .merge(steps::routes())
        .merge(actions::routes())
        .merge(runs::routes())
        .merge(queues::routes())
        .merge(events::routes())
        .merge(stream::routes())
}

/// The API's document.
pub fn document() -> OpenApi {
    document::finish(all().split().2)
}

/// All routes behind the gate; `keeper` knows who is let in.
pub fn router(app: App, facts: Facts, keeper: Keeper) -> Router {
    let (router, rules, document) = all().split();
    let document = document::finish(document);
    let shown = serde_json::to_value(&document).expect("the document has string keys");
    let fixed = Fixed {
        rules,
        reference: reference::render(&shown).into_bytes(),
        document: answer::json(&document),
        keeper,
        bodies: body::Room::default(),
    };
    let door = Door { app, facts, fixed: Arc::new(fixed) };
    router
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(middleware::from_fn_with_state(door.clone(), gate::gate))
        .with_state(door)
}
