//! Bodies of `/auth/*`, `/tokens` and `/projects/{id}/token`.
//! A secret is in here exactly once: in the answer of the request that made it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

crate::status::words! {
    /// What a token may see.
    TokenScope {
        /// Everything.
        Admin = "admin",
        /// One project and what belongs to it.
        Project = "project",
    }
}

/// Body of `POST /auth/session` when a login link is redeemed; a bearer header needs no body.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "code": "tgl_0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d" })))]
pub struct NewSession {
    /// Code of a login link: works once, for ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A session that was opened; the cookie `tgz_session` of the answer stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "principal": "admin", "scope": "admin", "project_id": null, "expires_at": "2026-02-01T08:00:00.000Z"
})))]
pub struct SessionOut {
    /// Who the session acts as: `admin`, `token:<name>` or `project:<id>`.
    pub principal: String,
    /// What it may see.
    pub scope: TokenScope,
    /// The one project it is limited to.
    pub project_id: Option<i64>,
    /// When it ends by itself, RFC 3339.
    pub expires_at: String,
}

/// Who a request acts as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({ "enabled": false, "user": "token:ci", "scope": "project", "project_id": 1 })))]
pub struct MeOut {
    /// Signing in with an identity provider is possible.
    pub enabled: bool,
    /// Name recorded as the actor of events.
    pub user: String,
    /// What it may see.
    pub scope: TokenScope,
    /// The one project it is limited to.
    pub project_id: Option<i64>,
}

/// A token to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "name": "ci", "scope": "project", "project_id": 1, "expires_at": "2099-01-31T00:00:00Z" })))]
pub struct NewToken {
    /// What it is for, in a few words; unique among the tokens in force.
    pub name: String,
    /// What it may see.
    pub scope: TokenScope,
    /// The project it is limited to: needed with scope `project`, not allowed with `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<i64>,
    /// When it stops working, RFC 3339; without it: when it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A token as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(super::example::token))]
pub struct TokenOut {
    /// Identity.
    pub id: i64,
    /// What it is for.
    pub name: String,
    /// What it may see.
    pub scope: TokenScope,
    /// The project it is limited to.
    pub project_id: Option<i64>,
    /// It is the one token of its project that `POST /projects/{id}/token` replaces.
    pub project_token: bool,
    /// How its text begins; enough to tell tokens apart.
    pub prefix: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub expires_at: Option<String>,
    /// RFC 3339, to the minute.
    pub last_used_at: Option<String>,
    /// The token itself: only in the answer of the request that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// The new token of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "token": "tgz_0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d", "prefix": "tgz_0a1b2c3d"
})))]
pub struct ProjectTokenOut {
    /// The token itself, shown this once. Absent when the answer is repeated for an `Idempotency-Key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How its text begins.
    pub prefix: String,
}
