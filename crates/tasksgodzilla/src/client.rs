//! The client of the HTTP API: finds the server and the token, sends one request, reads one answer.
//! Knows no command and prints nothing; it never follows a redirect, so a token goes where it was meant
//! to go and nowhere else.

mod address;
mod failure;
pub mod operation;
pub mod sse;
pub mod stream;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fs::File, time::Duration};

use reqwest::{
    Method, Request, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tg_server::{config::Config, credential, secret::Secret};

use self::{
    address::{Asked, Local, Said, Target, Token},
    operation::Operation,
};
use crate::{
    cli::{CliError, ErrorKind, Global},
    output::Output,
    start::{self, Chatter},
};

/// How long an answer may take, streams excepted.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);

/// A stream is silent for no longer: the server sends a sign of life every 15 s.
const SILENCE: Duration = Duration::from_mins(1);

/// Longest JSON answer that is read.
const MOST: usize = 256 * 1024 * 1024;

/// Items of a page, at most (a rule of the API).
const PAGE: usize = 500;

/// Key under which the server keeps the answer to a request that changes something.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Where the token of one project goes.
const PROJECT_TOKEN: HeaderName = HeaderName::from_static("x-project-token");

/// Where the next page begins.
const NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");

/// Values of a query.
pub type Query<'a> = Vec<(&'a str, String)>;

/// A connection to one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    target: Target,
}

/// An answer: as it came, and read.
#[derive(Debug, Clone)]
pub struct Answer<A> {
    /// Exactly what the server said; `--json` prints this.
    pub json: Value,
    /// The same as a value.
    pub value: A,
}

impl Client {
    /// For the server that flags, settings or the state directory name. Connects to nothing yet.
    pub fn new(global: &Global, output: &Output) -> Result<Self, CliError> {
        Self::by(&start::config(global, BTreeMap::new(), Chatter::Command, output)?, global, output)
    }

    /// The same, with settings that were read before.
    pub fn by(config: &Config, global: &Global, output: &Output) -> Result<Self, CliError> {
        let asked = asked(global, config);
        // Who names both needs nothing of the state directory.
        let has_all = asked.base.is_some() && (asked.token.is_some() || asked.project_token.is_some());
        let local = if has_all { Local::default() } else { local(config)? };
        let target = address::choose(&asked, &local)?;
        let is_loopback = address::is_loopback(&target.base);
        if target.base.scheme() == "http" && !is_loopback && target.token.is_some() {
            output.warn("the token travels unencrypted; an https address keeps it secret");
        }
        Self::to(target)
    }

    /// For this server.
    fn to(target: Target) -> Result<Self, CliError> {
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("tasksgodzilla/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(&target)?);
        if address::is_loopback(&target.base) {
            // A proxy is no way to oneself, and would see the token.
            builder = builder.no_proxy();
        }
        if target.base.scheme() == "http" {
            // Nothing is verified, so a machine without certificates will do.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| {
            CliError::failed(format!("https cannot be spoken here: {error}"))
                .hint("install the certificates of this system (package ca-certificates)")
        })?;
        Ok(Self { http, target })
    }

    /// Asks without a body.
    pub async fn ask<A: DeserializeOwned>(
        &self,
        operation: &Operation<(), A>,
        ids: &[&str],
        query: &Query<'_>,
    ) -> Result<Answer<A>, CliError> {
        let request = self.request(operation, ids, query)?;
        self.answer(request, operation.path).await
    }

    /// Sends a JSON body.
    pub async fn send<B: Serialize, A: DeserializeOwned>(
        &self,
        operation: &Operation<B, A>,
        ids: &[&str],
        body: &B,
    ) -> Result<Answer<A>, CliError> {
        let mut request = self.request(operation, ids, &Query::new())?;
        let json = serde_json::to_vec(body)
            .map_err(|error| CliError::internal(format!("the request cannot be written: {error}")))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(json.into());
        self.answer(request, operation.path).await
    }

    /// Sends a text.
    pub async fn send_text<A: DeserializeOwned>(
        &self,
        operation: &Operation<operation::Text, A>,
        ids: &[&str],
        text: Vec<u8>,
    ) -> Result<Answer<A>, CliError> {
        let mut request = self.request(operation, ids, &Query::new())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        *request.body_mut() = Some(text.into());
        self.answer(request, operation.path).await
    }

    /// Reads pages of a list up to `most` items.
    pub async fn list<A: DeserializeOwned>(
        &self,
        operation: &Operation<(), Vec<A>>,
        ids: &[&str],
        query: &Query<'_>,
        most: usize,
    ) -> Result<Answer<Vec<A>>, CliError> {
        let (mut json, mut value) = (Vec::new(), Vec::new());
        let mut cursor: Option<String> = None;
        loop {
            let mut page = query.clone();
            page.push(("limit", (most - value.len()).min(PAGE).to_string()));
            page.extend(cursor.clone().map(|cursor| ("cursor", cursor)));
            let request = self.request(operation, ids, &page)?;
            let response = self.respond(request).await?;
            let next = header(&response, &NEXT_CURSOR);
            let read: Answer<Vec<A>> = self.read(response, operation.path).await?;
            let is_empty = read.value.is_empty();
            value.extend(read.value);
            if let Value::Array(items) = read.json {
                json.extend(items);
            }
            // A server that gives the same place twice would lead us round for ever.
            if is_empty || value.len() >= most || next.is_none() || next == cursor {
                return Ok(Answer { json: Value::Array(json), value });
            }
            cursor = next;
        }
    }

    /// Asks for something that is no JSON; the answer is read piece by piece.
    pub async fn download(
        &self,
        operation: &Operation<(), operation::Text>,
        ids: &[&str],
        query: &Query<'_>,
    ) -> Result<Response, CliError> {
        let mut request = self.request(operation, ids, query)?;
        // However large it is; silence still ends it.
        *request.timeout_mut() = None;
        self.respond(request).await
    }

    /// Next piece of a download; `None` at its end.
    pub async fn piece(&self, response: &mut Response) -> Result<Option<Vec<u8>>, CliError> {
        let piece = response.chunk().await.map_err(|error| failure::no_answer(&self.target, &error))?;
        Ok(piece.map(Vec::from))
    }

    fn request<B, A>(
        &self,
        operation: &Operation<B, A>,
        ids: &[&str],
        query: &Query<'_>,
    ) -> Result<Request, CliError> {
        let mut url = place(&self.target.base, operation.path, ids)?;
        if !query.is_empty() {
            for (name, value) in query {
                debug_assert!(
                    operation.query.contains(name),
                    "{name} is not declared for {}",
                    operation.path
                );
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        let mut request = Request::new(operation.method.clone(), url);
        *request.timeout_mut() = Some(TIMEOUT);
        if operation.method == Method::POST {
            let key = HeaderValue::from_str(&uuid::Uuid::now_v7().to_string())
                .map_err(|error| CliError::internal(error.to_string()))?;
            request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        }
        Ok(request)
    }

    async fn answer<A: DeserializeOwned>(&self, request: Request, what: &str) -> Result<Answer<A>, CliError> {
        let response = self.respond(request).await?;
        self.read(response, what).await
    }

    /// Sends a request, once more when the connection broke and doing it twice does no harm: reads do
    /// none, and a POST is known by its key.
    async fn respond(&self, request: Request) -> Result<Response, CliError> {
        let again = match *request.method() {
            Method::GET | Method::POST => request.try_clone(),
            _ => None,
        };
        let response = match (self.http.execute(request).await, again) {
            (Err(error), Some(again)) if is_broken(&error) => self.http.execute(again).await,
            (response, _) => response,
        };
        let response = response.map_err(|error| failure::no_answer(&self.target, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = self.body(response, failure::MOST).await.unwrap_or_default();
        Err(failure::refused(&self.target, status, &body))
    }

    async fn read<A: DeserializeOwned>(&self, response: Response, what: &str) -> Result<Answer<A>, CliError> {
        let body = self.body(response, MOST).await?;
        let unreadable = |error: serde_json::Error| failure::unreadable(&self.target, what, &error);
        let json: Value =
            if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).map_err(unreadable)? };
        let value = A::deserialize(&json).map_err(unreadable)?;
        Ok(Answer { json, value })
    }

    async fn body(&self, mut response: Response, most: usize) -> Result<Vec<u8>, CliError> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece(&mut response).await? {
            if body.len() + piece.len() > most {
                return Err(CliError::failed("the answer is too long").hint("ask for less with --limit"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// The connection ended before the answer did; not: nobody is there, or it took too long.
fn is_broken(error: &reqwest::Error) -> bool {
    !error.is_connect() && !error.is_timeout() && !error.is_builder()
}

fn header(response: &Response, name: &HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Headers of every request.
fn headers(target: &Target) -> Result<HeaderMap, CliError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"));
    let (name, text) = match &target.token {
        None => return Ok(headers),
        Some(Token::Bearer(token)) => (AUTHORIZATION, format!("Bearer {}", token.expose())),
        Some(Token::Project(token)) => (PROJECT_TOKEN, token.expose().clone()),
    };
    // What does not fit a header is not repeated: it is a secret.
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        CliError::new(ErrorKind::Usage, "the token holds characters that no token has")
            .hint("give the token as it was shown when it was made")
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}

/// Address of a path below the base; each id is one segment of it, whatever it holds.
fn place(base: &Url, path: &str, ids: &[&str]) -> Result<Url, CliError> {
    let mut url = base.clone();
    let mut ids = ids.iter();
    {
        let mut segments = url
            .path_segments_mut()
            .map_err(|()| CliError::internal("the address of the server takes no path"))?;
        segments.pop_if_empty();
        for part in path.trim_start_matches('/').split('/') {
            if !part.starts_with('{') {
                segments.push(part);
                continue;
            }
            match ids.next() {
                // As a segment these mean another place; no object is called so.
                Some(&("." | ".." | "")) | None => {
                    return Err(CliError::failed("no object has such an id")
                        .hint("the `list` commands show what exists"));
                }
                Some(id) => segments.push(id),
            };
        }
    }
    Ok(url)
}

fn asked(global: &Global, config: &Config) -> Asked {
    let said = |variable: &str| match config.source(variable) {
        "flag" => Said::Flag,
        "file" => Said::File,
        _ => Said::Environment,
    };
    let pick = |flag: &Option<String>, set: &Option<Secret<String>>, variable: &str| match (flag, set) {
        (Some(flag), _) => Some((Secret::new(flag.clone()), Said::Flag)),
        (None, Some(set)) => Some((set.clone(), said(variable))),
        (None, None) => None,
    };
    Asked {
        base: config.api_base.clone().map(|base| (base, said("TASKSGODZILLA_API_BASE"))),
        token: pick(&global.token, &config.access.token, "TASKSGODZILLA_API_TOKEN"),
        project_token: pick(&global.project_token, &config.project_token, "TASKSGODZILLA_PROJECT_TOKEN"),
    }
}

/// What the state directory says; nothing when no server holds its lock: an address that a dead one
/// left behind may belong to anybody by now.
fn local(config: &Config) -> Result<Local, CliError> {
    if !is_served(config)? {
        return Ok(Local::default());
    }
    let url = read(&config.home.serve_url())?;
    let token = credential::read_file(&config.home.admin_token())?;
    Ok(Local { url, token })
}

fn is_served(config: &Config) -> Result<bool, CliError> {
    let path = config.home.serve_lock();
    match File::open(&path) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(std::fs::TryLockError::WouldBlock) => Ok(true),
            Err(std::fs::TryLockError::Error(error)) => Err(unreadable(&path, &error)),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unreadable(&path, &error)),
    }
}

fn read(path: &std::path::Path) -> Result<Option<String>, CliError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &std::path::Path, error: &std::io::Error) -> CliError {
    CliError::failed(format!("{} cannot be read: {error}", path.display()))
        .hint("it belongs to whoever runs `tasksgodzilla serve`; name a server and a token with --api-base and --token")
}
