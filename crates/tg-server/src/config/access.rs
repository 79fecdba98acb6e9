//! Settings of who may come in, from where and how often. Reads them; keeps nobody out itself.

use std::num::NonZeroU32;

use super::{ConfigError, lookup::Lookup};
use crate::secret::Secret;

/// Settings of the door.
#[derive(Debug, Clone)]
pub struct Access {
    /// Admin token of the settings; without one, that of the state directory holds.
    pub token: Option<Secret<String>>,
    /// When the session cookie is sent over https only.
    pub cookie_secure: CookieSecure,
    /// `/metrics` wants a bearer.
    pub metrics_auth: bool,
    /// Address at which a proxy shows this server.
    pub public_url: Option<PublicUrl>,
    /// Requests of one token: per second and at once; `None` = no limit.
    pub rate: Option<Rate>,
    /// Failed logins of one address per minute.
    pub login_failures: NonZeroU32,
    /// Connections at once.
    pub connections: usize,
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// When the session cookie is `Secure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieSecure {
    /// When the public address is https.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// An address without path: `https://tasks.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// `https`, not `http`.
    pub is_https: bool,
    /// Host, with the port where it is not the scheme's own; lower case.
    pub host: String,
}

impl PublicUrl {
    /// Reads an address; `None` when it is more or less than scheme, host and port.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://")?;
        let is_https = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let host = host.strip_suffix(if is_https { ":443" } else { ":80" }).unwrap_or(host);
        let authority: axum::http::uri::Authority = host.parse().ok()?;
        let legal = !authority.host().is_empty() && !host.contains('@') && !host.ends_with(':');
        legal.then(|| Self { is_https, host: host.to_owned() })
    }

    /// What a browser sends as `Origin` from there.
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.is_https { "https" } else { "http" }, self.host)
    }
}

impl Access {
    /// Is the session cookie sent over https only?
    pub fn is_cookie_secure(&self) -> bool {
        match self.cookie_secure {
            CookieSecure::Always => true,
            CookieSecure::Never => false,
            CookieSecure::Auto => self.public_url.as_ref().is_some_and(|url| url.is_https),
        }
    }
}

/// The placeholder that everybody knows.
const PLACEHOLDER: &str = "changeme";

impl Lookup<'_> {
    /// Everything of this file.
    pub(super) fn access(&mut self) -> Result<Access, ConfigError> {
        Ok(Access {
            token: self.admin_token()?,
            cookie_secure: self.cookie_secure()?,
            metrics_auth: self.boolean("TASKSGODZILLA_METRICS_AUTH")?,
            public_url: self.public_url()?,
            rate: self.rate()?,
            login_failures: self.positive("TASKSGODZILLA_LOGIN_FAILURES_PER_MINUTE", 100_000)?,
            connections: self.integer("TASKSGODZILLA_MAX_CONNECTIONS", 16..=100_000)?,
        })
    }

    fn admin_token(&mut self) -> Result<Option<Secret<String>>, ConfigError> {
        const VARIABLE: &str = "TASKSGODZILLA_API_TOKEN";
        let Some(token) = self.text(VARIABLE)? else { return Ok(None) };
        if token.eq_ignore_ascii_case(PLACEHOLDER) {
            return Err(self.bad(
                VARIABLE,
                "is the placeholder that everybody knows; set a random text, or unset it and one is made",
            ));
        }
        if token.len() > 512 || !token.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(self.bad(VARIABLE, "must be printable ASCII without blanks, at most 512 characters"));
        }
        Ok(Some(Secret::new(token)))
    }

    fn cookie_secure(&mut self) -> Result<CookieSecure, ConfigError> {
        const VARIABLE: &str = "TASKSGODZILLA_SESSION_COOKIE_SECURE";
        let word = self.text(VARIABLE)?.unwrap_or_default().to_ascii_lowercase();
        if word == "auto" {
            return Ok(CookieSecure::Auto);
        }
        match super::lookup::switch(&word) {
            Some(true) => Ok(CookieSecure::Always),
            Some(false) => Ok(CookieSecure::Never),
            None => Err(self.bad(VARIABLE, "must be auto, true or false")),
        }
    }

    fn public_url(&mut self) -> Result<Option<PublicUrl>, ConfigError> {
        const VARIABLE: &str = "TASKSGODZILLA_PUBLIC_URL";
        let Some(text) = self.text(VARIABLE)? else { return Ok(None) };
        match PublicUrl::parse(&text) {
            Some(url) => Ok(Some(url)),
            None => Err(self.bad(VARIABLE, "must be http:// or https:// and a host, without a path")),
        }
    }

    fn rate(&mut self) -> Result<Option<Rate>, ConfigError> {
        let per_second: u32 = self.integer("TASKSGODZILLA_RATE_LIMIT_PER_SECOND", 0..=1_000_000)?;
        let burst = self.positive("TASKSGODZILLA_RATE_LIMIT_BURST", 1_000_000)?;
        Ok(NonZeroU32::new(per_second).map(|per_second| Rate { per_second, burst }))
    }

    fn positive(&mut self, variable: &'static str, most: i64) -> Result<NonZeroU32, ConfigError> {
        let number: u32 = self.integer(variable, 1..=most)?;
        NonZeroU32::new(number).ok_or_else(|| self.bad(variable, "must be at least 1"))
    }
}
