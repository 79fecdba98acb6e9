//! Addresses of repositories: which transports exist for us and which texts are refused.
//! Nothing is resolved or contacted.

use std::path::PathBuf;

use super::host;
use crate::status::words;

words! {
    /// The transports git may use for us; the word is what `GIT_ALLOW_PROTOCOL` takes.
    Transport {
        /// HTTPS.
        Https = "https",
        /// SSH, in URL or `user@host:path` form.
        Ssh = "ssh",
        /// A repository on this machine.
        File = "file",
    }
}

words! {
    /// Whether a remote may lie on this machine (admin and local use only).
    LocalRemotes {
        /// An absolute path or `file://` is accepted.
        Allowed = "allowed",
        /// It is refused.
        Refused = "refused",
    }
}

/// An address of a repository that is safe to hand to git.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteUrl {
    text: String,
    transport: Transport,
    host: Option<String>,
    port: Option<u16>,
    path: String,
}

/// Why an address is refused. The address itself is not repeated: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteUrlError {
    /// Nothing given.
    #[error(
        "the repository address is empty; give https://host/owner/repo.git, user@host:owner/repo.git or a path"
    )]
    Empty,
    /// Longer than any sane address.
    #[error("the repository address is longer than 2048 bytes; give the plain address")]
    TooLong,
    /// Would be taken for an option.
    #[error("the repository address, its host or its path starts with `-`; git would take it for an option")]
    OptionLike,
    /// Control characters, or spaces in a network address.
    #[error("the repository address holds spaces or control characters; give the plain address")]
    Characters,
    /// `name::…` makes git start a program.
    #[error("transport helpers such as `ext::` are not allowed; use https:// or ssh://")]
    Helper,
    /// Any scheme we do not use.
    #[error("the transport {scheme:?} is not allowed; use https:// or ssh://")]
    Scheme {
        /// The scheme, shortened.
        scheme: String,
    },
    /// User name or password in an https address, password in an ssh address, or a query.
    #[error(
        "the repository address carries credentials or a query; remove them and store the token as a \
         project secret or with git's own credential helper"
    )]
    Credentials,
    /// Host name or port is not well-formed, or there is no path.
    #[error(
        "the repository address has no well-formed host and path; write https://host/owner/repo.git or user@host:owner/repo.git"
    )]
    Malformed,
    /// A host in one's own network.
    #[error(
        "the host {host:?} lies in a private network or cannot be told from one; for a forge in your own \
         network the admin sets TASKSGODZILLA_ALLOW_PRIVATE_HOSTS=true"
    )]
    PrivateHost {
        /// The host, shortened.
        host: String,
    },
    /// A path where only network remotes are allowed.
    #[error("a repository on this machine is accepted from the admin only; use https:// or ssh://")]
    Local,
    /// A relative path.
    #[error(
        "{text:?} is neither an absolute path nor an address; write /path/to/repo, https://… or user@host:path"
    )]
    Relative {
        /// The text, shortened.
        text: String,
    },
}

impl RemoteUrl {
    /// Reads an address.
    pub fn parse(text: &str, local: LocalRemotes) -> Result<Self, RemoteUrlError> {
        if text.trim().is_empty() {
            return Err(RemoteUrlError::Empty);
        }
        if text.len() > 2048 {
            return Err(RemoteUrlError::TooLong);
        }
        if text.starts_with('-') {
            return Err(RemoteUrlError::OptionLike);
        }
        if text.chars().any(char::is_control) {
            return Err(RemoteUrlError::Characters);
        }
        if text.starts_with('/') {
            return on_this_machine(text, text, local);
        }
        if let Some(rest) = text.strip_prefix("file://") {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            // git decodes these; the path that is checked must be the path that is used.
            if path.contains('%') {
                return Err(RemoteUrlError::Malformed);
            }
            return on_this_machine(text, path, local);
        }
        if text.chars().any(char::is_whitespace) {
            return Err(RemoteUrlError::Characters);
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return match scheme {
                "https" => over_https(text, rest),
                "ssh" => over_ssh(text, rest),
                other if other.contains("::") => Err(RemoteUrlError::Helper),
                other => Err(RemoteUrlError::Scheme { scheme: super::shown(other) }),
            };
        }
        match text.split_once(':') {
            Some((_, rest)) if rest.starts_with(':') => Err(RemoteUrlError::Helper),
            Some((place, path)) if !place.contains('/') => scp_form(text, place, path),
            Some(_) | None => Err(RemoteUrlError::Relative { text: super::shown(text) }),
        }
    }

    /// The text to hand to git, after `--`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Transport git needs for it.
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Host; `None` on this machine.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Port, where one is given.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Refuses a host that lies in somebody's own network: a private address, a local name, a name
    /// without a dot. What a name resolves to is asked where the remote is contacted.
    pub fn refuse_private_host(&self) -> Result<(), RemoteUrlError> {
        match self.host() {
            Some(host) if host::is_private(host) => {
                Err(RemoteUrlError::PrivateHost { host: super::shown(host) })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Path on this machine; `None` for network remotes.
    pub fn local_path(&self) -> Option<PathBuf> {
        matches!(self.transport, Transport::File).then(|| PathBuf::from(&self.path))
    }

    /// `owner/repo` part: the path without leading `/`, trailing `/` and `.git`.
    pub fn repository(&self) -> &str {
        let path = self.path.trim_matches('/');
        path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/')
    }

    /// Last part of the path without `.git`; `repo` when there is none.
    pub fn repository_name(&self) -> &str {
        match self.repository().rsplit('/').next() {
            Some(name) if !matches!(name, "" | "." | "..") => name,
            Some(_) | None => "repo",
        }
    }

    /// `git@github.com:<owner>/<repo>.git` for an https address of github.com; `None` for any other.
    pub fn github_over_ssh(&self) -> Option<Self> {
        let is_github = matches!(self.transport, Transport::Https) && self.host() == Some("github.com");
        let (owner, repo) = self.repository().split_once('/')?;
        if !is_github || repo.contains('/') {
            return None;
        }
        Self::parse(&format!("git@github.com:{owner}/{repo}.git"), LocalRemotes::Refused).ok()
    }
}

impl std::fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn on_this_machine(text: &str, path: &str, local: LocalRemotes) -> Result<RemoteUrl, RemoteUrlError> {
    if !path.starts_with('/') {
        return Err(RemoteUrlError::Malformed);
    }
    match local {
        LocalRemotes::Refused => Err(RemoteUrlError::Local),
        LocalRemotes::Allowed => Ok(RemoteUrl {
            text: text.to_owned(),
            transport: Transport::File,
            host: None,
            port: None,
            path: path.to_owned(),
        }),
    }
}

fn over_https(text: &str, rest: &str) -> Result<RemoteUrl, RemoteUrlError> {
    let (authority, path) = rest.split_once('/').ok_or(RemoteUrlError::Malformed)?;
    if authority.contains('@') || path.contains(['?', '#']) {
        return Err(RemoteUrlError::Credentials);
    }
    remote(text, Transport::Https, authority, path)
}

fn over_ssh(text: &str, rest: &str) -> Result<RemoteUrl, RemoteUrlError> {
    let (authority, path) = rest.split_once('/').ok_or(RemoteUrlError::Malformed)?;
    let place = match authority.rsplit_once('@') {
        Some((user, place)) => {
            check_user(user)?;
            place
        }
        None => authority,
    };
    remote(text, Transport::Ssh, place, path)
}

fn scp_form(text: &str, place: &str, path: &str) -> Result<RemoteUrl, RemoteUrlError> {
    let (user, host) = place.rsplit_once('@').ok_or(RemoteUrlError::Malformed)?;
    check_user(user)?;
    if host.contains(':') {
        return Err(RemoteUrlError::Malformed);
    }
    remote(text, Transport::Ssh, host, path)
}

fn check_user(user: &str) -> Result<(), RemoteUrlError> {
    if user.contains(':') {
        return Err(RemoteUrlError::Credentials);
    }
    if user.starts_with('-') {
        return Err(RemoteUrlError::OptionLike);
    }
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if user.is_empty() || !user.bytes().all(is_legal) {
        return Err(RemoteUrlError::Malformed);
    }
    Ok(())
}

fn remote(text: &str, transport: Transport, place: &str, path: &str) -> Result<RemoteUrl, RemoteUrlError> {
    if place.starts_with('-') || path.trim_start_matches('/').starts_with('-') {
        return Err(RemoteUrlError::OptionLike);
    }
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let is_legal = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            if !address.contains(':') || !address.bytes().all(is_legal) {
                return Err(RemoteUrlError::Malformed);
            }
            (address, port.strip_prefix(':').map(Some).or(port.is_empty().then_some(None)))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(Some(port))),
            None => (place, Some(None)),
        },
    };
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    let is_number = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port.ok_or(RemoteUrlError::Malformed)? {
        None => None,
        Some(port) => {
            let number = Some(port).filter(is_number).and_then(|port| port.parse::<u16>().ok());
            Some(number.ok_or(RemoteUrlError::Malformed)?)
        }
    };
    let host = host.to_ascii_lowercase();
    let host_holds = !host.is_empty() && host.bytes().all(is_legal) && host::literal(&host).is_ok();
    if !host_holds || path.trim_matches('/').is_empty() {
        return Err(RemoteUrlError::Malformed);
    }
    Ok(RemoteUrl { text: text.to_owned(), transport, host: Some(host), port, path: path.to_owned() })
}
