//! The owner of the machine and the door: the admin token of the state directory and links that sign a
//! browser in. Works on files and database, with or without a running server. A link holds a code that
//! works once, never the token.

use std::{collections::BTreeMap, fs};

use clap::{Args, Subcommand};
use serde_json::json;
use tg_core::wire::timestamp;
use tg_server::{
    app::App,
    config::Config,
    credential::{self, AdminToken, FileError, Kind},
    store::{self, StoreError},
};

use super::{CliError, ErrorKind, Global};
use crate::{
    output::Output,
    start::{self, Chatter},
};

/// Nothing to say.
#[derive(Debug, Args)]
pub struct LoginLinkArgs {}

/// The admin token of the state directory.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print the admin token.
    Show,
    /// Replace the admin token; the old one, its sessions and unused login links are dead at once.
    Rotate,
}

/// How long the code of a login link works, in milliseconds.
const CODE_LIFE: i64 = 10 * 60 * 1000;

/// The admin token to serve with, and whether it was made just now.
pub fn admin_token(config: &Config) -> Result<(AdminToken, bool), CliError> {
    let path = config.home.admin_token();
    let is_new = config.access.token.is_none() && credential::read_file(&path)?.is_none();
    if is_new {
        credential::make_file(&path)?;
    }
    Ok((AdminToken::new(config.access.token.as_ref(), &path), is_new))
}

/// Makes a link that signs a browser in as the admin.
pub async fn make_link(app: &App, place: &str) -> Result<String, CliError> {
    let fresh = credential::make(Kind::LoginCode).map_err(|error| CliError::internal(error.to_string()))?;
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    store::session::add_code(&mut tx, &fresh.stored, now, now + CODE_LIFE).await?;
    tx.commit().await?;
    // After the mark: browsers keep that part to themselves.
    Ok(format!("{place}/console#login={}", fresh.text.expose()))
}

/// Prints a login link.
pub async fn login_link(global: &Global, _: LoginLinkArgs, output: &Output) -> Result<(), CliError> {
    let app = start::steering(global, output).await?;
    let place = match &app.config.access.public_url {
        Some(url) => url.origin(),
        None => served_at(&app.config)?,
    };
    let link = make_link(&app, &place).await?;
    let expires_at = timestamp(app.clock.now() + CODE_LIFE);
    output.show(&json!({ "link": link, "expires_at": expires_at }), |output| {
        output.line(&link);
        output.note("it works once, within 10 minutes");
    });
    Ok(())
}

/// Address of the server of this state directory.
fn served_at(config: &Config) -> Result<String, CliError> {
    match fs::read_to_string(config.home.serve_url()) {
        Ok(url) => Ok(url.trim().to_owned()),
        Err(_) => Err(CliError::failed("no server uses this state directory")
            .hint("start one with `tasksgodzilla serve`, or name its state directory with --home")),
    }
}

/// Shows or replaces the admin token.
pub async fn token(global: &Global, command: TokenCommand, output: &Output) -> Result<(), CliError> {
    let config = start::config(global, BTreeMap::new(), Chatter::Command, output)?;
    if config.access.token.is_some() {
        return Err(CliError::new(
            ErrorKind::Config,
            "the admin token is the one of TASKSGODZILLA_API_TOKEN",
        )
        .hint("change it where it is set; the file in the state directory is not used"));
    }
    let path = config.home.admin_token();
    let token = match command {
        TokenCommand::Show => credential::read_file(&path)?.ok_or_else(|| {
            CliError::failed("there is no admin token yet")
                .hint("`tasksgodzilla serve` makes one at its first start; `token rotate` makes one now")
        })?,
        TokenCommand::Rotate => rotate(&config).await?,
    };
    output.show(&json!({ "token": token.expose() }), |output| output.line(token.expose()));
    Ok(())
}

async fn rotate(config: &Config) -> Result<tg_server::secret::Secret<String>, CliError> {
    let db = start::database(config).await?;
    // Sessions are bound to the token and die with it; codes are not, so they go first.
    let mut tx = db.begin().await?;
    store::session::end_codes(&mut tx, tg_server::app::Clock::System.now()).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(credential::replace_file(&config.home.admin_token())?)
}

impl From<FileError> for CliError {
    fn from(error: FileError) -> Self {
        Self::told(ErrorKind::Config, &error.to_string())
    }
}
