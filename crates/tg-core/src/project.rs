//! A project: a repository we look after. Plain data.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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

/// Name of a project secret. Closed, but for the ids of engines: a typing error would be a secret that
/// nobody uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretKey {
    /// Signs webhooks of the forge.
    WebhookToken,
    /// Token of GitHub.
    GithubToken,
    /// Token of GitLab.
    GitlabToken,
    /// Key of `OpenAI`, given to codex.
    OpenaiApiKey,
    /// Key of Anthropic.
    AnthropicApiKey,
    /// Key of Gemini.
    GeminiApiKey,
    /// Key of the engine with this id.
    Engine(String),
}

impl SecretKey {
    /// Reads a name; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "webhook_token" => Self::WebhookToken,
            "github_token" => Self::GithubToken,
            "gitlab_token" => Self::GitlabToken,
            "openai_api_key" => Self::OpenaiApiKey,
            "anthropic_api_key" => Self::AnthropicApiKey,
            "gemini_api_key" => Self::GeminiApiKey,
            other => Self::Engine(other.strip_prefix("engine.").filter(|id| is_engine_id(id))?.to_owned()),
        })
    }
}

fn is_engine_id(id: &str) -> bool {
    let is_inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=40).contains(&id.len()) && id.bytes().all(is_inner)
}

impl std::fmt::Display for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WebhookToken => f.write_str("webhook_token"),
            Self::GithubToken => f.write_str("github_token"),
            Self::GitlabToken => f.write_str("gitlab_token"),
            Self::OpenaiApiKey => f.write_str("openai_api_key"),
            Self::AnthropicApiKey => f.write_str("anthropic_api_key"),
            Self::GeminiApiKey => f.write_str("gemini_api_key"),
            Self::Engine(id) => write!(f, "engine.{id}"),
        }
    }
}

/// Model preferences of a project, by role; the first entry is used, the rest are fallbacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "Map<String, Value>")]
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

impl TryFrom<Map<String, Value>> for ModelDefaults {
    type Error = String;

    /// Only from an object: a list would be taken for the roles in their order.
    fn try_from(mut fields: Map<String, Value>) -> Result<Self, String> {
        let mut take = |role: &str| match fields.remove(role) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(model)) => Ok(Some(model)),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(format!("the model for {role} must be a string"))
            }
        };
        let models = Self {
            planning: take("planning")?,
            decompose: take("decompose")?,
            exec: take("exec")?,
            qa: take("qa")?,
        };
        match fields.keys().next() {
            None => Ok(models),
            Some(other) => {
                Err(format!("unknown field `{other}`, expected one of `planning`, `decompose`, `exec`, `qa`"))
            }
        }
    }
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
    /// Where its PR/MR and checks live.
    pub ci_provider: Option<ForgeKind>,
    /// Model preferences.
    pub default_models: ModelDefaults,
    /// Names of the stored secrets, sorted.
    pub secrets_set: Vec<String>,
    /// When it was archived, milliseconds since the epoch, UTC; an archived project takes no new work.
    pub archived_at: Option<i64>,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
    /// Milliseconds since the epoch, UTC.
    pub updated_at: i64,
}
