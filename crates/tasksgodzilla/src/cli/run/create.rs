//! Finds or makes the project, takes the next number, and starts the run: one transaction, after git
//! was asked what exists.

use std::path::{Path, PathBuf};

use tg_core::{
    event::{Event, EventKind},
    ids::ProjectId,
    lifecycle::Signal,
    naming::{self, BranchName, ProtocolName},
    project::{ModelDefaults, Project},
    protocol::ProtocolRun,
};
use tg_server::{
    app::App,
    db::Tx,
    flow::{self, Cause},
    git::{self, Hosts, Repository, Source},
    store,
};

use super::super::{CliError, ErrorKind};
use crate::output::Output;

/// A run as a person wants it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Path or URL; `None` = the repository around `directory`.
    pub repository: Option<String>,
    /// Where relative paths start.
    pub directory: PathBuf,
    /// The task.
    pub task: String,
    /// Words for the name.
    pub short_name: Option<String>,
    /// Engine by id.
    pub engine: Option<String>,
    /// Models by role.
    pub models: ModelDefaults,
    /// Branch to start from.
    pub base_branch: Option<String>,
    /// A pass queues the next step.
    pub auto_advance: bool,
}

/// Longest slug made from a task; branch names are read by people.
const SLUG: usize = 48;

/// Creates the run and queues its planning.
pub async fn create(app: &App, wanted: &Wanted, output: &Output) -> Result<ProtocolRun, CliError> {
    let program = Path::new("git");
    let given = wanted.repository.as_deref().unwrap_or(".");
    let source =
        git::inspect(program, &app.config.git_environment, given, &wanted.directory, Hosts::of(&app.config))
            .await?;
    if source.dirty {
        output.note(
            "your checkout has uncommitted changes; it is not touched, and they are not part of the run",
        );
    }
    let project = project(app, &source, wanted).await?;
    let base = wanted.base_branch.clone().unwrap_or_else(|| project.base_branch.clone());
    BranchName::parse(&base)
        .map_err(|error| CliError::told(ErrorKind::Usage, &format!("--base-branch: {error}")))?;
    let repository = repository(app, &project);
    let base_sha = repository.fetch_base(&base).await.map_err(|error| {
        CliError::from(error).hint(
            "name the branch to start from with --base-branch, and check that the repository can be reached",
        )
    })?;
    let mut taken = repository.remote_branches().await?;
    taken.extend(repository.protocol_names(&base_sha).await?);
    taken.extend(worktrees(app, project.id)?);
    if !source.has_remote {
        output.note("the repository has no remote: commits stay on this machine, nothing is pushed");
    }
    insert(app, wanted, &project, base, taken).await
}

/// The project of this source; made if it is new.
async fn project(app: &App, source: &Source, wanted: &Wanted) -> Result<Project, CliError> {
    let local = source.local_path.as_ref().map(|path| path.display().to_string());
    let mut tx = app.db.begin().await?;
    if let Some(project) = store::project::find(&mut tx, &source.git_url, local.as_deref()).await? {
        return Ok(project);
    }
    let base = wanted.base_branch.clone().or_else(|| source.default_branch.clone()).ok_or_else(|| {
        CliError::usage("the repository is on no branch")
            .hint("name the branch to start from with --base-branch")
    })?;
    let new = store::project::NewProject {
        name: name_of(local.as_deref().unwrap_or(&source.git_url)),
        git_url: source.git_url.clone(),
        local_path: local,
        base_branch: base,
        ci_provider: None,
        default_models: ModelDefaults::default(),
    };
    let now = app.clock.now();
    let project = store::project::insert(&mut tx, &new, now).await?;
    let context = store::event::Context {
        project: Some(project.id),
        actor: Some("cli".to_owned()),
        ..store::event::Context::default()
    };
    let event = Event::run(EventKind::ProjectCreated)
        .with("name", project.name.clone())
        .with("git_url", project.git_url.clone());
    store::event::append(&mut tx, &context, &event, now);
    tx.commit().await?;
    Ok(project)
}

/// Last part of a path or address, without `.git`.
pub fn name_of(address: &str) -> String {
    let last = address.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let name = last.strip_suffix(".git").unwrap_or(last);
    if name.is_empty() { "repository".to_owned() } else { name.chars().take(100).collect() }
}

/// Everything needed to run git for a project outside of a job.
pub fn repository(app: &App, project: &Project) -> Repository {
    let control = app.config.home.control_repo(project.id);
    Repository {
        program: PathBuf::from("git"),
        environment: app.config.git_environment.clone(),
        hosts: Hosts::of(&app.config),
        wrap: app.sandbox.git_wrap(&control, &app.config.home.projects),
        control,
        git_url: project.git_url.clone(),
        local_path: project.local_path.as_ref().map(PathBuf::from),
        identity: app.config.git_identity.clone(),
        timeout: app.config.git_timeout,
        project: project.id,
    }
}

/// Names of the project's worktrees on this machine.
fn worktrees(app: &App, project: ProjectId) -> Result<Vec<String>, CliError> {
    let folder = app.config.home.worktree(project, "x");
    let folder = folder.parent().unwrap_or(&folder);
    let unreadable =
        |error: std::io::Error| CliError::failed(format!("{} cannot be read: {error}", folder.display()));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(unreadable)?.file_name().into_string());
    }
    Ok(names)
}

async fn insert(
    app: &App,
    wanted: &Wanted,
    project: &Project,
    base_branch: String,
    mut taken: Vec<String>,
) -> Result<ProtocolRun, CliError> {
    let mut tx: Tx = app.db.begin().await?;
    taken.extend(store::protocol::names(&mut tx, project.id).await?);
    let number = naming::next_number(taken.iter().map(String::as_str))
        .map_err(|error| CliError::failed(error.to_string()))?;
    let words = wanted.short_name.clone().unwrap_or_else(|| short(&wanted.task));
    let name = ProtocolName::numbered(number, &words).map_err(|error| CliError::failed(error.to_string()))?;
    let new = store::protocol::NewRun {
        project_id: project.id,
        protocol_name: name.as_str().to_owned(),
        status: tg_core::status::FirstStatus::Pending,
        auto_advance: wanted.auto_advance,
        engine: wanted.engine.clone(),
        models: wanted.models.clone(),
        base_branch: Some(base_branch),
        description: Some(wanted.task.clone()),
        sandbox_off: app.config.sandbox_off,
    };
    let now = app.clock.now();
    let run = store::protocol::insert(&mut tx, &tg_core::scope::Scope::All, &new, now).await?;
    let context = store::event::Context {
        project: Some(project.id),
        run: Some(run.id),
        actor: Some("cli".to_owned()),
        ..store::event::Context::default()
    };
    let mut event = Event::run(EventKind::ProtocolCreated)
        .with("protocol_name", run.protocol_name.clone())
        .with("base_branch", run.base_branch.clone())
        .with("source", "cli");
    if let Some(engine) = &run.engine {
        event = event.with("engine", engine.clone());
    }
    store::event::append(&mut tx, &context, &event, now);
    let cause = Cause { actor: Some("cli"), ..Cause::default() };
    flow::advance(app, &mut tx, run.id, Signal::Start, &cause).await?;
    tx.commit().await?;
    app.wake.notify();
    Ok(run)
}

/// Words for a name: the first line that says something, cut between words.
pub fn short(task: &str) -> String {
    let line = super::super::words::first_line(task);
    let slug = naming::slug(&line);
    if slug.len() <= SLUG {
        return slug;
    }
    let cut = &slug[..SLUG];
    cut.rfind('-').map_or(cut, |end| &cut[..end]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_end_between_words() {
        assert_eq!(short("\n\n  Add a licence\nand more"), "add-a-licence");
        let long = short("please rewrite the whole parser so that it reads every file twice");
        assert_eq!(long, "please-rewrite-the-whole-parser-so-that-it");
        assert_eq!(short(&"x".repeat(200)).len(), SLUG);
        assert_eq!(short("日本語"), "task");
    }

    #[test]
    fn a_project_is_named_after_its_repository() {
        assert_eq!(name_of("/home/ada/code/thing/"), "thing");
        assert_eq!(name_of("https://example.org/o/r.git"), "r");
        assert_eq!(name_of("git@example.org:r.git"), "r");
    }
}
