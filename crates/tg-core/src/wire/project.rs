//! Bodies of the project routes. A secret goes in and never comes out: its type shows nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;

use super::protocol::stated;
use crate::project::{ForgeKind, ModelDefaults};

/// Body of `POST /projects`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "name": "hello", "git_url": "https://github.com/octocat/Hello-World.git", "ci_provider": "github"
})))]
pub struct NewProject {
    /// Shown name: 1 to 100 characters.
    pub name: String,
    /// `https://…`, `ssh://…` or `user@host:path`; from the admin also an absolute path or `file://…`.
    pub git_url: String,
    /// A checkout on the server's machine: an absolute path. It is read, never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_path: Option<String>,
    /// Branch that runs start from; `main` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<String>,
    /// Where its PR/MR and checks live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_provider: Option<ForgeKind>,
    /// Model preferences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_models: Option<ModelDefaults>,
    /// Secrets by key; stored encrypted, never shown again.
    #[serde(default, skip_serializing_if = "NewSecrets::is_empty")]
    pub secrets: NewSecrets,
}

/// Body of `PATCH /projects/{id}`: absent fields stay, `null` clears what may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "base_branch": "develop", "local_path": null })))]
pub struct ProjectChange {
    /// Shown name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Branch that runs start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<String>,
    /// Checkout on the server's machine.
    #[serde(default, deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub local_path: Option<Option<String>>,
    /// Where its PR/MR and checks live.
    #[serde(default, deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ForgeKind>)]
    pub ci_provider: Option<Option<ForgeKind>>,
    /// Model preferences, as a whole.
    #[serde(default, deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ModelDefaults>)]
    pub default_models: Option<Option<ModelDefaults>>,
}

/// Body of `PUT /projects/{id}/secrets/{key}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "value": "the text of the secret" })))]
pub struct SecretValue {
    /// The secret.
    pub value: SecretText,
}

/// Answer to a stored secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({ "key": "github_token", "set": true })))]
pub struct SecretSet {
    /// Its key.
    pub key: String,
    /// Always true.
    pub set: bool,
}

/// Body of a request that removes: `{"confirm": true}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "confirm": true })))]
pub struct Confirm {
    /// Must be true.
    #[serde(default)]
    pub confirm: bool,
}

/// A secret on its way in: no `Display`, a `Debug` that shows nothing, and errors that do not repeat
/// what stood in its place.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Password)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a value.
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// Shows the value to the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // The reader's own message would repeat the value it did not expect.
        String::deserialize(from).map(Self).map_err(|_| de::Error::custom("must be a text"))
    }
}

/// Secrets by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct NewSecrets(pub BTreeMap<String, SecretText>);

impl NewSecrets {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for NewSecrets {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(from).map(Self).map_err(|_| de::Error::custom("must be an object of texts"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_absent_field_is_not_a_null() {
        let change: ProjectChange = serde_json::from_value(json!({ "local_path": null })).expect("reads");
        assert_eq!(change.local_path, Some(None));
        assert_eq!(change.ci_provider, None);
        assert_eq!(serde_json::to_value(&change).expect("serializes"), json!({ "local_path": null }));
    }

    #[test]
    fn no_error_and_no_debug_repeats_a_secret() {
        for body in [
            json!({ "value": 987_654_321 }),
            json!({ "value": ["canary-9"] }),
            json!({ "value": { "canary-9": 987_654_321 } }),
        ] {
            let error = serde_json::from_value::<SecretValue>(body).expect_err("no text").to_string();
            assert!(!error.contains("987654321") && !error.contains("canary"), "{error}");
        }
        for secrets in [json!("canary-9"), json!(987_654_321), json!({ "github_token": 987_654_321 })] {
            let body = json!({ "name": "a", "git_url": "b", "secrets": secrets });
            let error = serde_json::from_value::<NewProject>(body).expect_err("no object").to_string();
            assert!(!error.contains("987654321") && !error.contains("canary"), "{error}");
        }
        let value: SecretValue = serde_json::from_value(json!({ "value": "canary-9" })).expect("reads");
        assert_eq!(format!("{value:?}"), "SecretValue { value: [secret] }");
    }
}
