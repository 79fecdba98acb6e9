//! `tokens`: who may talk to the server.

use clap::{Args, Subcommand, ValueEnum};
use tg_core::wire::{NewToken, TokenOut, TokenScope};

use super::{
    CliError, Global,
    arguments::{Id, Limit, Remove},
    words::number,
};
use crate::{
    client::{Answer, Client, Query, operation},
    output::{
        Column::{Cut, Spare, Whole},
        Output,
    },
};

/// Tokens of the server.
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// List tokens, newest first; none is shown whole.
    List(Limit),
    /// Show one token, without itself.
    Show(Id),
    /// Make a token; it is shown this once.
    Create(Create),
    /// Replace a token by a new one of the same name and scope; the old one dies at once.
    Rotate(Remove),
    /// Revoke a token: it stops working at once.
    Revoke(Remove),
}

/// A token to make.
#[derive(Debug, Args)]
pub struct Create {
    /// What it is for, in a few words.
    name: String,
    /// What it may see.
    #[arg(long, value_enum, default_value = "project")]
    scope: Scope,
    /// The project it is limited to.
    #[arg(long, value_name = "ID", required_if_eq("scope", "project"))]
    project: Option<i64>,
    /// When it stops working, such as 2027-01-31T00:00:00Z; without it: when it is revoked.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

/// What a token may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// Everything.
    Admin,
    /// One project.
    Project,
}

/// Runs the command.
pub async fn run(global: &Global, command: TokensCommand, output: &Output) -> Result<(), CliError> {
    let client = Client::new(global, output)?;
    match command {
        TokensCommand::List(limit) => {
            let found = client.list(&operation::TOKENS, &[], &Query::new(), limit.limit).await?;
            output.show(&found.json, |output| print_table(&found.value, output));
            Ok(())
        }
        TokensCommand::Show(id) => {
            let found = client.ask(&operation::TOKEN, &[&id.text()], &Query::new()).await?;
            output.show(&found.json, |output| print_table(std::slice::from_ref(&found.value), output));
            Ok(())
        }
        TokensCommand::Create(args) => {
            let scope = match args.scope {
                Scope::Admin => TokenScope::Admin,
                Scope::Project => TokenScope::Project,
            };
            let Create { name, project, expires_at, .. } = args;
            let new = NewToken { name, scope, project_id: project, expires_at };
            print_once(&client.send(&operation::CREATE_TOKEN, &[], &new).await?, output)
        }
        TokensCommand::Rotate(remove) => {
            remove.confirm(&format!("replace token {}", remove.id), output)?;
            let id = remove.id.to_string();
            let made = client.ask(&operation::ROTATE_TOKEN, &[&id], &Query::new()).await?;
            print_once(&made, output)
        }
        TokensCommand::Revoke(remove) => {
            remove.confirm(&format!("revoke token {}", remove.id), output)?;
            let id = remove.id.to_string();
            let gone = client.ask(&operation::REVOKE_TOKEN, &[&id], &Query::new()).await?;
            output.show(&gone.json, |output| output.line(&format!("token {id} is revoked")));
            Ok(())
        }
    }
}

/// A token that was made just now: the only time it can be seen.
fn print_once(made: &Answer<TokenOut>, output: &Output) -> Result<(), CliError> {
    let Some(token) = &made.value.token else { return Err(lost(&format!("token {}", made.value.id))) };
    output.show(&made.json, |output| {
        output.line(token);
        output.note(&format!("token {} `{}`; shown this once", made.value.id, made.value.name));
    });
    Ok(())
}

/// The token was made, but the answer that held it was lost on the way.
pub fn lost(what: &str) -> CliError {
    CliError::failed(format!("{what} was made, but the answer that showed it was lost on the way"))
        .hint("make it anew: revoke it, or ask for another")
}

fn print_table(tokens: &[TokenOut], output: &Output) {
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            vec![
                token.id.to_string(),
                token.name.clone(),
                token.scope.to_string(),
                number(token.project_id),
                format!("{}…", token.prefix),
                token.last_used_at.clone().unwrap_or_else(|| "never".to_owned()),
                token.expires_at.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let columns = [
        Whole("id"),
        Cut("name"),
        Whole("scope"),
        Whole("project"),
        Spare("begins"),
        Spare("used"),
        Spare("expires"),
    ];
    output.table(&columns, &rows);
}
