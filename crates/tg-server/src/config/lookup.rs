//! Finds the text of a setting (flag, environment, alias, file, default) and reads it as a type.
//! Every failure names the variable and where its value came from.

use std::{
    net::IpAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{ConfigError, Inputs, SETTINGS, Setting, Shown};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Flag,
    Environment,
    File,
    Default,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        }
    }
}

/// One pass over the inputs; remembers what it found, for `config show`.
pub(super) struct Lookup<'a> {
    pub(super) inputs: &'a Inputs,
    file: toml::Table,
    warnings: Vec<String>,
    shown: Vec<Shown>,
}

const OLD_PREFIX: &str = "DEKSDENFLOW_";
const PREFIX: &str = "TASKSGODZILLA_";

/// Variables of the predecessor that mean nothing here.
const IGNORED: &[&str] = &["SINGLE_WORKTREE", "WORKTREE_BRANCH"];

impl<'a> Lookup<'a> {
    /// Reads the file and looks for deprecated variables.
    pub(super) fn new(inputs: &'a Inputs) -> Result<Self, ConfigError> {
        let mut lookup = Self { inputs, file: read_file(inputs)?, warnings: Vec::new(), shown: Vec::new() };
        for setting in SETTINGS {
            if let Some(name) = setting.variable.strip_prefix(PREFIX) {
                let old = format!("{OLD_PREFIX}{name}");
                if lookup.variable(&old).is_some() {
                    lookup.warnings.push(format!("{old} is deprecated; set {} instead", setting.variable));
                }
            }
        }
        let ignored: Vec<&str> = IGNORED
            .iter()
            .flat_map(|name| [PREFIX, OLD_PREFIX].map(|prefix| (prefix, *name)))
            .filter(|(prefix, name)| lookup.variable(&format!("{prefix}{name}")).is_some())
            .map(|(_, name)| name)
            .collect();
        if !ignored.is_empty() {
            lookup.warnings.push(format!(
                "{} not carried over and ignored: every run has a worktree and a branch of its own",
                match ignored.as_slice() {
                    ["SINGLE_WORKTREE"] => "TASKSGODZILLA_SINGLE_WORKTREE is",
                    ["WORKTREE_BRANCH"] => "TASKSGODZILLA_WORKTREE_BRANCH is",
                    _ => "TASKSGODZILLA_SINGLE_WORKTREE and TASKSGODZILLA_WORKTREE_BRANCH are",
                }
            ));
        }
        Ok(lookup)
    }

    /// A variable of the environment as it is; empty counts as unset.
    pub(super) fn variable(&self, name: &str) -> Option<&'a str> {
        self.inputs.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What was seen and is deprecated or ignored.
    pub(super) fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Everything looked up so far.
    pub(super) fn shown(&mut self) -> Vec<Shown> {
        std::mem::take(&mut self.shown)
    }

    /// The state directory: it is where the file lies, so the file cannot name it.
    pub(super) fn home(&mut self) -> Result<PathBuf, ConfigError> {
        if let Some(home) = self.path("TASKSGODZILLA_HOME")? {
            return Ok(home);
        }
        let data = match (self.variable("XDG_DATA_HOME"), self.variable("HOME")) {
            (Some(data), _) if Path::new(data).is_absolute() => PathBuf::from(data),
            (_, Some(home)) if cfg!(target_os = "macos") => {
                Path::new(home).join("Library").join("Application Support")
            }
            (_, Some(home)) => Path::new(home).join(".local").join("share"),
            (_, None) => {
                return Err(self.bad("TASKSGODZILLA_HOME", "must be set, because HOME is not"));
            }
        };
        let home = data.join("tasksgodzilla");
        if let Some(shown) = self.shown.last_mut() {
            shown.value = home.display().to_string();
        }
        Ok(home)
    }

    /// Where programs are looked up.
    pub(super) fn search_path(&self) -> String {
        self.variable("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin").to_owned()
    }

    /// What a git call to a remote is given.
    pub(super) fn git_environment(&self) -> Vec<(String, String)> {
        let named = ["HOME", "SSH_AUTH_SOCK", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"]
            .into_iter()
            .filter_map(|name| self.variable(name).map(|value| (name.to_owned(), value.to_owned())));
        std::iter::once(("PATH".to_owned(), self.search_path())).chain(named).collect()
    }

    /// The fail point asked for; a build without them says that it ignores it.
    pub(super) fn failpoint(&mut self) -> Option<String> {
        let wanted = self.variable("TASKSGODZILLA_FAILPOINT")?;
        if cfg!(feature = "failpoints") {
            return Some(wanted.to_owned());
        }
        self.warnings.push("TASKSGODZILLA_FAILPOINT is ignored: this build has no fail points".to_owned());
        None
    }

    /// An error about a setting, with the source of its present value.
    pub(super) fn bad(&self, variable: &'static str, problem: &str) -> ConfigError {
        let from = setting(variable).and_then(|setting| self.find(setting)).map_or_else(
            || "not set".to_owned(),
            |(text, source)| match source {
                Source::File => {
                    let path = self.inputs.file.as_ref().map(|(path, _)| path.display().to_string());
                    format!("from {}", path.unwrap_or_default())
                }
                Source::Flag | Source::Environment | Source::Default if is_secret(variable) => {
                    format!("from {}", source.as_str())
                }
                Source::Flag | Source::Environment | Source::Default => {
                    format!("`{}` from {}", cut(&text), source.as_str())
                }
            },
        );
        ConfigError::BadValue { variable: variable.to_owned(), from, problem: problem.to_owned() }
    }

    /// A text, `None` when it is set nowhere and has no default.
    pub(super) fn text(&mut self, variable: &'static str) -> Result<Option<String>, ConfigError> {
        let found = self.raw(variable);
        match found {
            Some((text, _)) if text.chars().any(char::is_control) => {
                Err(self.bad(variable, "must not hold control characters"))
            }
            Some((text, _)) => Ok(Some(text)),
            None => Ok(None),
        }
    }

    /// A comma list of models, kept as written without blanks.
    pub(super) fn models_of(&mut self, variable: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(text) = self.text(variable)? else { return Ok(None) };
        let models: Vec<&str> = text.split(',').map(str::trim).collect();
        if models.iter().any(|model| model.is_empty() || model.starts_with('-') || model.contains(' ')) {
            return Err(self.bad(variable, "must be a model name or a comma list of them"));
        }
        Ok(Some(models.join(",")))
    }

    /// A path made absolute: from the current directory, or from the file's.
    pub(super) fn path(&mut self, variable: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        let Some((text, source)) = self.raw(variable) else { return Ok(None) };
        if text.chars().any(char::is_control) {
            return Err(self.bad(variable, "must not hold control characters"));
        }
        let base = match (&self.inputs.file, source) {
            (Some((file, _)), Source::File) => file.parent().unwrap_or(Path::new("/")),
            (_, Source::Flag | Source::Environment | Source::File | Source::Default) => {
                &self.inputs.directory
            }
        };
        Ok(Some(base.join(text)))
    }

    /// A switch.
    pub(super) fn boolean(&mut self, variable: &'static str) -> Result<bool, ConfigError> {
        let text = self.required(variable)?;
        switch(&text.to_ascii_lowercase())
            .ok_or_else(|| self.bad(variable, "must be one of 1, true, yes, on, 0, false, no, off"))
    }

    /// A whole number.
    pub(super) fn integer<T: TryFrom<i64>>(
        &mut self,
        variable: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<T, ConfigError> {
        let text = self.required(variable)?;
        text.parse::<i64>()
            .ok()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                let problem = format!("must be a whole number from {} to {}", range.start(), range.end());
                self.bad(variable, &problem)
            })
    }

    /// A time in seconds; decimals are allowed.
    pub(super) fn seconds(
        &mut self,
        variable: &'static str,
        least: f64,
        most: f64,
    ) -> Result<Duration, ConfigError> {
        let text = self.required(variable)?;
        text.parse::<f64>()
            .ok()
            .filter(|seconds| (least..=most).contains(seconds))
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| self.bad(variable, &format!("must be seconds from {least} to {most}")))
    }

    /// An IP address.
    pub(super) fn address(&mut self, variable: &'static str) -> Result<IpAddr, ConfigError> {
        let text = self.required(variable)?;
        match text.as_str() {
            "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
            other => other.parse().map_err(|_| self.bad(variable, "must be an IP address or localhost")),
        }
    }

    /// One of a few words.
    pub(super) fn choice(&mut self, variable: &'static str, words: &[&str]) -> Result<String, ConfigError> {
        let text = self.required(variable)?;
        if words.contains(&text.as_str()) {
            Ok(text)
        } else {
            Err(self.bad(variable, &format!("must be one of {}", words.join(", "))))
        }
    }

    /// A JSON list of strings.
    pub(super) fn json_list(&mut self, variable: &'static str) -> Result<Vec<String>, ConfigError> {
        let Some((text, _)) = self.raw(variable) else { return Ok(Vec::new()) };
        serde_json::from_str(&text).map_err(|_| self.bad(variable, "must be a JSON list of strings"))
    }

    /// A comma list of variable names.
    pub(super) fn names(&mut self, variable: &'static str) -> Result<Vec<String>, ConfigError> {
        let Some((text, _)) = self.raw(variable) else { return Ok(Vec::new()) };
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        let legal = |name: &String| {
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if !names.iter().all(legal) {
            return Err(self.bad(variable, "must be a comma list of variable names"));
        }
        if names.iter().any(|name| name.starts_with(PREFIX) || name.starts_with(OLD_PREFIX)) {
            return Err(self.bad(variable, "must not name variables of tasksgodzilla"));
        }
        Ok(names)
    }

    /// A filter for log lines.
    pub(super) fn log_filter(&mut self, variable: &'static str) -> Result<String, ConfigError> {
        let text = self.required(variable)?;
        match tracing_subscriber::EnvFilter::try_new(&text) {
            Ok(_) => Ok(text),
            Err(error) => {
                let problem = format!("must be error, warn, info, debug, trace or a filter: {error}");
                Err(self.bad(variable, &problem))
            }
        }
    }

    fn required(&mut self, variable: &'static str) -> Result<String, ConfigError> {
        match self.raw(variable) {
            Some((text, _)) => Ok(text),
            None => Err(self.bad(variable, "must be set")),
        }
    }

    /// Finds a value and remembers it for `config show`.
    fn raw(&mut self, variable: &'static str) -> Option<(String, Source)> {
        let setting = setting(variable)?;
        let found = self.find(setting);
        let value = found.as_ref().map_or("", |(text, _)| text);
        self.shown.push(Shown {
            variable,
            key: setting.key().unwrap_or_default(),
            value: shown(variable, value),
            source: found.as_ref().map_or(Source::Default, |(_, source)| *source).as_str(),
        });
        found
    }

    fn find(&self, setting: &Setting) -> Option<(String, Source)> {
        if let Some(text) = self.inputs.flags.get(setting.variable) {
            return Some((text.clone(), Source::Flag));
        }
        let old = setting.variable.strip_prefix(PREFIX).map(|name| format!("{OLD_PREFIX}{name}"));
        let names =
            std::iter::once(setting.variable).chain(setting.aliases.iter().copied()).chain(old.as_deref());
        for name in names {
            if let Some(text) = self.variable(name) {
                return Some((text.to_owned(), Source::Environment));
            }
        }
        if let Some(value) = setting.key().and_then(|key| self.file.get(&key)) {
            return Some((file_text(setting, value), Source::File));
        }
        (!setting.default.is_empty()).then(|| (setting.default.to_owned(), Source::Default))
    }
}

/// The word of a switch, in lower case.
pub(super) fn switch(word: &str) -> Option<bool> {
    match word {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn setting(variable: &str) -> Option<&'static Setting> {
    let found = SETTINGS.iter().find(|setting| setting.variable == variable);
    debug_assert!(found.is_some(), "{variable} is not in the table of settings");
    found
}

fn is_secret(variable: &str) -> bool {
    matches!(
        variable,
        "TASKSGODZILLA_DB_URL"
            | "TASKSGODZILLA_API_BASE"
            | "TASKSGODZILLA_CODEX_ARGS"
            | "TASKSGODZILLA_OTLP_ENDPOINT"
    ) || is_hidden(variable)
}

/// Nothing of a token or of a key that seals is shown, not even its form.
fn is_hidden(variable: &str) -> bool {
    variable.ends_with("_TOKEN") || variable == crate::seal::VARIABLE
}

fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect()
}

fn read_file(inputs: &Inputs) -> Result<toml::Table, ConfigError> {
    let Some((path, text)) = &inputs.file else { return Ok(toml::Table::new()) };
    let file = path.display().to_string();
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::BadFile {
        file: file.clone(),
        problem: error.message().to_owned(),
    })?;
    for (key, value) in &table {
        if !SETTINGS.iter().any(|setting| setting.key().as_ref() == Some(key)) {
            return Err(ConfigError::UnknownKey { file, key: key.clone() });
        }
        if matches!(value, toml::Value::Table(_) | toml::Value::Datetime(_)) {
            return Err(ConfigError::BadFile { file, problem: format!("`{key}` must be a plain value") });
        }
    }
    Ok(table)
}

/// A value of the file in the form the environment would have it.
fn file_text(setting: &Setting, value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) if setting.variable == "TASKSGODZILLA_CODEX_ARGS" => {
            let items: Vec<&str> = items.iter().map(|item| item.as_str().unwrap_or("\0")).collect();
            serde_json::json!(items).to_string()
        }
        toml::Value::Array(items) => {
            items.iter().map(|item| item.as_str().unwrap_or("")).collect::<Vec<_>>().join(",")
        }
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(on) => on.to_string(),
        toml::Value::Datetime(_) | toml::Value::Table(_) => String::new(),
    }
}

/// The password in a database URL.
pub(super) fn password_in(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password).filter(|password| !password.is_empty())
}

/// A value as `config show` has it.
fn shown(variable: &str, value: &str) -> String {
    if is_hidden(variable) && !value.is_empty() {
        "[set]".to_owned()
    } else if is_secret(variable) {
        without_credentials(value)
    } else {
        value.to_owned()
    }
}

/// The value without what must not be shown.
fn without_credentials(value: &str) -> String {
    if value.starts_with('[') {
        return "[set]".to_owned();
    }
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let (place, question) = rest.split_once('?').map_or((rest, ""), |(place, _)| (place, "?…"));
    let place = place.rsplit_once('@').map_or_else(|| place.to_owned(), |(_, host)| format!("…@{host}"));
    format!("{scheme}://{place}{question}")
}
