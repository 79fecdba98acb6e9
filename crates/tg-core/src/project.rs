//! A project: a repository we look after. Plain data.

use serde::{Deserialize, Serialize};

use crate::{ids::ProjectId, status::words};

words! {
    /// Where a repository's PR/MR and checks live.
    ForgeKind {
        /// GitHub.
        Github = "github",
        /// GitLab.
        Gitlab = "gitlab",
    }
}

/// Model preferences of a project, by role; the first entry is used, the rest are fallbacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelDefaults {
    /// For planning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planning: Option<String>,
    /// For decomposition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decompose: Option<String>,
    /// For execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<String>,
    /// For QA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qa: Option<String>,
}

/// A repository we look after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Identity.
    pub id: ProjectId,
    /// Shown name.
    pub name: String,
    /// Where the repository comes from: https, ssh, scp form, or (local use) a path or `file://`.
    pub git_url: String,
    /// The user's own checkout, if that is the repository; it is read, never written.
    pub local_path: Option<String>,
    /// Branch that runs start from.
    pub base_branch: String,
    /// Model preferences.
    pub default_models: ModelDefaults,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
    /// Milliseconds since the epoch, UTC.
    pub updated_at: i64,
}
