//! The HTTP door. For now: health and readiness, on loopback only; everything else is a 404 that says so.

pub mod convert;
mod error;
pub mod health;

use std::io;

use axum::{Router, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::{error::ApiError, health::Facts};
use crate::app::App;

/// What every route is handed.
#[derive(Clone)]
pub struct Door {
    /// The application.
    pub app: App,
    /// What the process knows of itself and its engines.
    pub facts: Facts,
}

/// All routes.
pub fn router(app: App, facts: Facts) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::Method)
        .with_state(Door { app, facts })
}

/// Serves until `stop` is cancelled; answers that have begun are finished.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}
