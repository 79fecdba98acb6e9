//! Who sent a request: a token in its headers, or a session cookie. Fails closed: what cannot be checked
//! is nobody. A query never holds a token, so none is looked for there.

use std::{net::SocketAddr, time::Instant};

use axum::{
    extract::Request,
    http::{HeaderMap, Method, header, request::Parts},
};
use tg_core::scope::{Principal, Scope};

use super::{Door, error::ApiError, serve::Peer};
use crate::{
    config::Config,
    credential::{self, AdminToken, Digest, Kind},
    store::{self, session::Opener, token::Token},
};

mod host;
mod limit;

use self::{
    host::Hosts,
    limit::{Failures, Rates, Used},
};

/// Header of a project's token.
const PROJECT_TOKEN: &str = "x-project-token";
/// Name of the session cookie.
pub const COOKIE: &str = "tgz_session";
/// Actor of the admin token of the settings or of the state directory.
const ADMIN: &str = "admin";

/// Keeps the door: knows the admin token, the hosts that are ours, and who comes too often.
pub struct Keeper {
    admin: AdminToken,
    /// Hosts and origins that are ours.
    pub hosts: Hosts,
    rates: Rates,
    failures: Failures,
    used: Used,
}

/// What is looked at to find out who sent a request.
#[derive(Debug, Clone, Copy)]
pub struct Knock<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its method.
    pub method: &'a Method,
    /// Where it came from; a test in the process comes from nowhere.
    pub peer: Option<Peer>,
}

impl<'a> Knock<'a> {
    /// A request before its body was read.
    pub fn of(request: &'a Request) -> Self {
        let peer = request.extensions().get().copied();
        Self { headers: request.headers(), method: request.method(), peer }
    }

    /// A request that has reached its handler.
    pub fn of_parts(parts: &'a Parts) -> Self {
        Self { headers: &parts.headers, method: &parts.method, peer: parts.extensions.get().copied() }
    }

    /// The token as sent; `None` when no header holds one.
    fn token(&self) -> Result<Option<&'a str>, ApiError> {
        if let Some(value) = self.headers.get(header::AUTHORIZATION) {
            let text = value.to_str().map_err(|_| ApiError::Unauthorized)?;
            let (scheme, token) = text.split_once(' ').ok_or(ApiError::Unauthorized)?;
            return if scheme.eq_ignore_ascii_case("bearer") {
                Ok(Some(token.trim()))
            } else {
                Err(ApiError::Unauthorized)
            };
        }
        let value = self.headers.get(PROJECT_TOKEN);
        value.map(|value| value.to_str().map_err(|_| ApiError::Unauthorized)).transpose()
    }

    /// The value of the session cookie.
    pub fn cookie(&self) -> Option<&'a str> {
        let cookies = self.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|line| line.split(';'))
            .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
    }

    fn changes_something(&self) -> bool {
        !matches!(*self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }
}

/// Somebody who was let in.
#[derive(Debug)]
pub struct Visitor {
    /// Who.
    pub principal: Principal,
    /// The token that stands behind it.
    pub opener: Opener,
}

impl Visitor {
    fn admin(mark: String) -> Self {
        let principal = Principal { name: ADMIN.to_owned(), scope: Scope::All };
        Self { principal, opener: Opener::Admin { mark } }
    }

    fn token(token: Token) -> Self {
        let principal = Principal { name: token.principal(), scope: token.scope };
        Self { principal, opener: Opener::Token(Box::new(token)) }
    }

    /// What its requests are counted by: the token, however many sessions it has.
    fn key(&self) -> i64 {
        match &self.opener {
            Opener::Admin { .. } => 0,
            Opener::Token(token) => token.id,
        }
    }
}

impl Keeper {
    /// For a server at this address.
    pub fn new(config: &Config, admin: AdminToken, address: SocketAddr) -> Self {
        Self {
            admin,
            hosts: Hosts::new(address, config.access.public_url.clone()),
            rates: Rates::new(config.access.rate),
            failures: Failures::new(config.access.login_failures),
            used: Used::default(),
        }
    }

    /// Fingerprint of the admin token in force; `None` when there is none.
    pub fn admin_mark(&self) -> Option<String> {
        self.admin.digest().map(|digest| digest.mark())
    }

    /// What a failed login is answered with; it is counted.
    pub fn failed(&self, peer: Option<Peer>) -> ApiError {
        match self.failures.count(peer, Instant::now()) {
            Ok(()) => ApiError::Unauthorized,
            Err(after) => ApiError::RateLimited { after },
        }
    }

    /// Refuses an address that failed too often.
    pub fn may_guess(&self, peer: Option<Peer>) -> Result<(), ApiError> {
        self.failures.check(peer, Instant::now()).map_err(|after| ApiError::RateLimited { after })
    }
}

/// Who sent a request, counted against the limit of its token.
pub async fn principal(door: &Door, knock: Knock<'_>) -> Result<Principal, ApiError> {
    let visitor = visitor(door, knock).await?;
    door.keeper().rates.count(visitor.key()).map_err(|after| ApiError::RateLimited { after })?;
    if let Opener::Token(token) = &visitor.opener {
        door.keeper().used.note(&door.app, token);
    }
    Ok(visitor.principal)
}

/// Who sent a request, by token or by session.
pub async fn visitor(door: &Door, knock: Knock<'_>) -> Result<Visitor, ApiError> {
    if let Some(visitor) = bearer(door, knock).await? {
        return Ok(visitor);
    }
    let cookie = knock.cookie().ok_or(ApiError::Unauthorized)?;
    // A browser sends the cookie along whoever made it ask, so the page that asks must be ours. No
    // Origin is no proof of that.
    if knock.changes_something() && !door.keeper().hosts.is_same_origin(knock.headers) {
        return Err(ApiError::WrongOrigin);
    }
    session(door, cookie).await?.ok_or_else(|| door.keeper().failed(knock.peer))
}

/// Who sent a request by the token in its headers; `None` when they hold none.
pub async fn bearer(door: &Door, knock: Knock<'_>) -> Result<Option<Visitor>, ApiError> {
    let Some(text) = knock.token()? else { return Ok(None) };
    let keeper = door.keeper();
    if !credential::is_plausible(text) {
        return Err(keeper.failed(knock.peer));
    }
    let made_here = credential::read(Kind::Token, text);
    if made_here.is_none() {
        // It can only be a word that a person chose, and those can be guessed.
        keeper.may_guess(knock.peer)?;
    }
    let digest = Digest::of(text);
    if let Some(admin) = keeper.admin.digest().filter(|admin| *admin == digest) {
        return Ok(Some(Visitor::admin(admin.mark())));
    }
    let Some(stored) = made_here else { return Err(keeper.failed(knock.peer)) };
    let mut tx = door.app.db.read().await?;
    match store::token::find(&mut tx, &stored, door.app.clock.now()).await? {
        Some(token) => Ok(Some(Visitor::token(token))),
        None => Err(keeper.failed(knock.peer)),
    }
}

/// What a session stands for; `None` when there is no such session any more.
async fn session(door: &Door, cookie: &str) -> Result<Option<Visitor>, ApiError> {
    let Some(stored) = credential::read(Kind::Session, cookie) else { return Ok(None) };
    let mut tx = door.app.db.read().await?;
    let opener = store::session::find(&mut tx, &stored.digest, door.app.clock.now()).await?;
    Ok(match opener {
        None => None,
        Some(Opener::Token(token)) => Some(Visitor::token(*token)),
        // The admin token it was opened with must be the one in force.
        Some(Opener::Admin { mark }) => {
            (door.keeper().admin_mark().as_deref() == Some(&mark)).then(|| Visitor::admin(mark))
        }
    })
}
