//! `projects`: the repositories that are looked after.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::Value;
use tg_core::wire::{Confirm, NewProject, ProjectChange, ProjectOut, SecretText, SecretValue};
use tg_server::{
    config::Config,
    git::{self, Hosts},
};

use super::{
    CliError, Global,
    arguments::{self, Id, Limit, Remove},
    run::name_of,
};
use crate::{
    client::{Answer, Client, Query, operation},
    output::{
        Column::{Cut, Spare, Whole},
        Output,
    },
    start::{self, Chatter},
};

/// Repositories.
#[derive(Debug, Subcommand)]
pub enum ProjectsCommand {
    /// List projects, newest first.
    List {
        #[command(flatten)]
        limit: Limit,
        /// List the archived ones instead.
        #[arg(long)]
        archived: bool,
    },
    /// Create a project from a checkout on this machine or from an address.
    Create(Create),
    /// Show one project.
    Show(Id),
    /// Change a project.
    Update(Update),
    /// Archive a project: it is hidden and takes no work; its history stays.
    Delete(Remove),
    /// Store or remove a secret of a project.
    #[command(subcommand, arg_required_else_help = true)]
    Secret(SecretCommand),
    /// Make a new token for a project; the old one dies at once.
    Token(Id),
}

/// A project to create.
#[derive(Debug, Args)]
#[group(id = "source", required = true, multiple = true, args = ["path", "git_url"])]
pub struct Create {
    /// Checkout on this machine; its remote is the address, unless --git-url says otherwise.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Address of the repository.
    #[arg(long, value_name = "URL")]
    git_url: Option<String>,
    /// Shown name; without it the repository's.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Branch that runs start from; without it the checkout's, else main.
    #[arg(long, value_name = "BRANCH")]
    base_branch: Option<String>,
    /// Where its pull requests and checks live: github or gitlab.
    #[arg(long, value_name = "WORD", value_parser = ["github", "gitlab"])]
    ci_provider: Option<String>,
    /// Models by role: {"planning": …, "decompose": …, "exec": …, "qa": …}.
    #[arg(long, value_name = "JSON", value_parser = arguments::json)]
    default_models: Option<Value>,
}

/// A field that can be made empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Clear {
    Path,
    CiProvider,
    DefaultModels,
}

/// Changes to a project; what is not named stays.
#[derive(Debug, Args)]
pub struct Update {
    /// Id of the project.
    id: i64,
    /// Shown name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Branch that runs start from.
    #[arg(long, value_name = "BRANCH")]
    base_branch: Option<String>,
    /// Checkout on the server's machine.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Where its pull requests and checks live: github or gitlab.
    #[arg(long, value_name = "WORD", value_parser = ["github", "gitlab"])]
    ci_provider: Option<String>,
    /// Models by role, as a whole.
    #[arg(long, value_name = "JSON", value_parser = arguments::json)]
    default_models: Option<Value>,
    /// Make these empty.
    #[arg(long, value_name = "FIELD", value_enum)]
    clear: Vec<Clear>,
}

/// Secrets of a project. Their values are never shown again.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Store a secret. The value is asked for, or read from standard input or a file: on a command line
    /// everybody could see it.
    Set {
        /// Id of the project.
        id: i64,
        /// Its key.
        key: String,
        /// File that holds the value; a line end after it is left out.
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
    },
    /// Remove a secret.
    Remove {
        /// Id of the project.
        id: i64,
        /// Its key.
        key: String,
    },
}

/// Runs the command.
pub async fn run(global: &Global, command: ProjectsCommand, output: &Output) -> Result<(), CliError> {
    let config = start::config(global, BTreeMap::new(), Chatter::Command, output)?;
    let client = Client::by(&config, global, output)?;
    match command {
        ProjectsCommand::List { limit, archived } => list(&client, limit, archived, output).await,
        ProjectsCommand::Create(args) => {
            let new = new_project(&config, args).await?;
            let project = client.send(&operation::CREATE_PROJECT, &[], &new).await?;
            print(&project, output);
            output.note(&format!(
                "next: tasksgodzilla protocols create-and-start --project {} \"<task>\"",
                project.value.id
            ));
            Ok(())
        }
        ProjectsCommand::Show(id) => {
            print(&client.ask(&operation::PROJECT, &[&id.text()], &Query::new()).await?, output);
            Ok(())
        }
        ProjectsCommand::Update(args) => {
            let id = args.id.to_string();
            let change = change(args)?;
            print(&client.send(&operation::UPDATE_PROJECT, &[&id], &change).await?, output);
            Ok(())
        }
        ProjectsCommand::Delete(remove) => {
            remove.confirm(&format!("archive project {}", remove.id), output)?;
            let id = remove.id.to_string();
            let gone = client.send(&operation::DELETE_PROJECT, &[&id], &Confirm { confirm: true }).await?;
            output.show(&gone.json, |output| output.line(&format!("project {id} is archived")));
            Ok(())
        }
        ProjectsCommand::Secret(command) => secret(&client, command, output).await,
        ProjectsCommand::Token(id) => token(&client, id, output).await,
    }
}

async fn list(client: &Client, limit: Limit, archived: bool, output: &Output) -> Result<(), CliError> {
    let query = if archived { vec![("archived", "true".to_owned())] } else { Vec::new() };
    let found = client.list(&operation::PROJECTS, &[], &query, limit.limit).await?;
    output.show(&found.json, |output| {
        let rows: Vec<_> = found
            .value
            .iter()
            .map(|project| {
                vec![
                    project.id.to_string(),
                    project.name.clone(),
                    project.base_branch.clone(),
                    project.local_path.clone().unwrap_or_else(|| project.git_url.clone()),
                ]
            })
            .collect();
        output.table(&[Whole("id"), Cut("name"), Spare("base"), Cut("repository")], &rows);
    });
    Ok(())
}

async fn new_project(config: &Config, args: Create) -> Result<NewProject, CliError> {
    let mut new = NewProject { base_branch: args.base_branch, ..NewProject::default() };
    if let Some(path) = &args.path {
        let given = path.to_string_lossy();
        let here = here()?;
        let source =
            git::inspect(Path::new("git"), &config.git_environment, &given, &here, Hosts::of(config)).await?;
        new.git_url = source.git_url;
        new.local_path = source.local_path.map(|path| path.display().to_string());
        new.base_branch = new.base_branch.or(source.default_branch);
    }
    if let Some(url) = args.git_url {
        new.git_url = url;
    }
    let named_by = new.local_path.as_deref().unwrap_or(&new.git_url);
    new.name = args.name.unwrap_or_else(|| name_of(named_by));
    new.ci_provider = args.ci_provider.map(|word| wire("--ci-provider", word.into())).transpose()?;
    new.default_models = args.default_models.map(|models| wire("--default-models", models)).transpose()?;
    Ok(new)
}

fn here() -> Result<PathBuf, CliError> {
    std::env::current_dir()
        .map_err(|error| CliError::failed(format!("the current directory cannot be used: {error}")))
}

fn change(args: Update) -> Result<ProjectChange, CliError> {
    let path =
        args.path.map(|path| Ok::<_, CliError>(here()?.join(path).display().to_string())).transpose()?;
    let provider = args.ci_provider.map(|word| wire("--ci-provider", word.into())).transpose()?;
    let models = args.default_models.map(|models| wire("--default-models", models)).transpose()?;
    Ok(ProjectChange {
        name: args.name,
        base_branch: args.base_branch,
        local_path: path.map(Some).or_else(|| args.clear.contains(&Clear::Path).then_some(None)),
        ci_provider: provider.map(Some).or_else(|| args.clear.contains(&Clear::CiProvider).then_some(None)),
        default_models: models
            .map(Some)
            .or_else(|| args.clear.contains(&Clear::DefaultModels).then_some(None)),
    })
}

/// A value of the command line as the API has it.
fn wire<T: serde::de::DeserializeOwned>(name: &str, value: Value) -> Result<T, CliError> {
    serde_json::from_value(value).map_err(|error| CliError::usage(format!("{name}: {error}")))
}

async fn secret(client: &Client, command: SecretCommand, output: &Output) -> Result<(), CliError> {
    match command {
        SecretCommand::Set { id, key, from_file } => {
            let value = match from_file {
                None if output.can_ask() => output.ask_secret("value")?,
                file => arguments::input_text(file.as_deref())?,
            };
            let value = value.trim_end_matches(['\r', '\n']).to_owned();
            let body = SecretValue { value: SecretText::new(value) };
            let set = client.send(&operation::SET_SECRET, &[&id.to_string(), &key], &body).await?;
            output.show(&set.json, |output| output.line(&format!("{} is set", set.value.key)));
        }
        SecretCommand::Remove { id, key } => {
            let ids = [&*id.to_string(), &*key];
            let gone = client.ask(&operation::REMOVE_SECRET, &ids, &Query::new()).await?;
            output.show(&gone.json, |output| output.line(&format!("{key} is removed")));
        }
    }
    Ok(())
}

async fn token(client: &Client, id: Id, output: &Output) -> Result<(), CliError> {
    let made = client.ask(&operation::PROJECT_TOKEN, &[&id.text()], &Query::new()).await?;
    let Some(token) = &made.value.token else { return Err(super::tokens::lost("it")) };
    output.show(&made.json, |output| {
        output.line(token);
        output.note("shown this once; it sees this project only");
    });
    Ok(())
}

fn print(project: &Answer<ProjectOut>, output: &Output) {
    output.show(&project.json, |output| {
        let project = &project.value;
        output.fields(&[
            ("project", format!("{} {}", project.id, project.name)),
            ("address", project.git_url.clone()),
            ("path", project.local_path.clone().unwrap_or_default()),
            ("base", project.base_branch.clone()),
            ("checks", project.ci_provider.map(|forge| forge.to_string()).unwrap_or_default()),
            ("models", project.default_models.as_ref().map(models).unwrap_or_default()),
            ("secrets", project.secrets_set.join(", ")),
            ("archived", project.archived_at.clone().unwrap_or_default()),
            ("created", project.created_at.clone()),
            ("updated", project.updated_at.clone()),
        ]);
    });
}

fn models(models: &tg_core::project::ModelDefaults) -> String {
    [
        ("planning", &models.planning),
        ("decompose", &models.decompose),
        ("exec", &models.exec),
        ("qa", &models.qa),
    ]
    .iter()
    .filter_map(|(role, model)| Some(format!("{role} {}", model.as_ref()?)))
    .collect::<Vec<_>>()
    .join(", ")
}
