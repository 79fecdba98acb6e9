//! `demo`: the whole flow with the built-in dummy engine in a scratch repository with a bare remote.
//! It has a state directory of its own, so nothing of the person's runs, and nothing of an earlier demo,
//! stands in its way; the last demo stays to be looked at.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;
use tg_core::{
    layout::{Home, protocol_root},
    project::ModelDefaults,
    wire::ProtocolRunOut,
};
use tg_server::{app::App, config::Config, git::sample, secret::Secret, store};

use super::{
    CliError, Global, events, follow, local,
    run::{self, Wanted},
};
use crate::{
    output::{Output, Tone},
    start::{self, Chatter},
};

/// How much to show and keep.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep earlier demos too.
    #[arg(long)]
    keep: bool,
    /// Show the files of the protocol as well.
    #[arg(long)]
    verbose: bool,
}

const TASK: &str = "Add a greeting to the sample program and say so in its README";

/// Events of one demo are far fewer.
const EVENTS: i64 = 500;

/// Runs the command.
pub async fn run(global: &Global, args: DemoArgs, output: &Output) -> Result<(), CliError> {
    let config = start::config(global, BTreeMap::new(), Chatter::Command, output)?;
    let demos = config.home.root.join("demo");
    start::private_directory(&demos)?;
    if !args.keep {
        remove_earlier(&demos)?;
    }
    let place = Place::make(&demos)?;
    let config = place.settings(config);
    let repository = place.directory.join("sample");
    sample::make(Path::new("git"), &repository, &place.directory.join("remote.git")).await?;
    let app = start::working(config).await?;
    output.note("engine dummy: scripted, works offline, does nothing real");
    let wanted = Wanted {
        repository: Some(repository.display().to_string()),
        directory: place.directory.clone(),
        task: TASK.to_owned(),
        short_name: Some("greeting".to_owned()),
        engine: Some("dummy".to_owned()),
        models: ModelDefaults::default(),
        base_branch: Some(sample::BRANCH.to_owned()),
        auto_advance: true,
    };
    let created = run::create(&app, &wanted, output).await?;
    let left = follow::work(&app, created.id, 0, output).await?;
    tell(&app, &place, &left, args.verbose, output).await?;
    follow::verdict(&left, false)
}

/// Where one demo lies. The lock says that it is at work.
struct Place {
    directory: PathBuf,
    _lock: File,
}

impl Place {
    fn make(demos: &Path) -> Result<Self, CliError> {
        for number in 1..10_000 {
            let directory = demos.join(number.to_string());
            match fs::create_dir(&directory) {
                Ok(()) => {
                    let lock = lock(&directory).map_err(|error| unusable(&directory, &error))?;
                    let lock = lock.ok_or_else(|| CliError::failed("another demo took the directory"))?;
                    return Ok(Self { directory, _lock: lock });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unusable(&directory, &error)),
            }
        }
        Err(CliError::failed(format!("{} is full of demos", demos.display())).hint("remove it"))
    }

    fn settings(&self, config: Config) -> Config {
        let home = Home::below(self.directory.join("state"));
        Config {
            database_url: Secret::new(format!("sqlite:{}", home.database().display())),
            home,
            sandbox_off: false,
            dummy_script: None,
            ..config
        }
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::failed(format!("{} cannot be used: {error}", path.display()))
        .hint("name a writable state directory with --home")
}

/// The lock of a demo, unless somebody holds it.
fn lock(directory: &Path) -> std::io::Result<Option<File>> {
    let file = File::create(directory.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Removes demos that nobody works in.
fn remove_earlier(demos: &Path) -> Result<(), CliError> {
    let entries = fs::read_dir(demos).map_err(|error| unusable(demos, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| unusable(demos, &error))?.path();
        let is_demo = path.is_dir()
            && path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok());
        if is_demo && lock(&path).map_err(|error| unusable(&path, &error))?.is_some() {
            fs::remove_dir_all(&path).map_err(|error| unusable(&path, &error))?;
        }
    }
    Ok(())
}

async fn tell(
    app: &App,
    place: &Place,
    left: &follow::Left,
    verbose: bool,
    output: &Output,
) -> Result<(), CliError> {
    let run = &left.run;
    let filter = store::event::Filter { run: Some(run.id), ..store::event::Filter::default() };
    let mut timeline = local::timeline(app, &filter, EVENTS).await?;
    timeline.reverse();
    let commits = match (&run.base_sha, &run.head_sha) {
        (Some(base), Some(_)) => {
            let remote = place.directory.join("remote.git");
            sample::log(Path::new("git"), &remote, &run.protocol_name, base).await?
        }
        (_, _) => Vec::new(),
    };
    let files = run
        .worktree_path
        .as_ref()
        .map(|worktree| Path::new(worktree).join(protocol_root(&run.protocol_name)));
    if output.is_json() {
        output.json(&json!({
            "run": ProtocolRunOut::from(run), "events": timeline, "commits": commits,
            "protocol_files": files, "directory": place.directory,
        }));
        return Ok(());
    }
    output.line("timeline");
    events::print_table(&timeline, output);
    output.line("");
    output.line(&format!("commits on branch {} of the remote", run.protocol_name));
    for commit in &commits {
        output.line(&format!("  {commit}"));
    }
    output.line("");
    if verbose && let Some(files) = &files {
        for name in list(files)? {
            output.line(&format!("  {name}"));
        }
        output.line("");
    }
    run::tell(run, &left.steps, output);
    output.fields(&[
        ("protocol files", files.map(|path| path.display().to_string()).unwrap_or_default()),
        ("repository", place.directory.join("sample").display().to_string()),
        ("remote", place.directory.join("remote.git").display().to_string()),
    ]);
    output.toned(Tone::Doubtful, "engine dummy: scripted, nothing real was done");
    let home = app.config.home.root.display();
    output.line(&format!(
        "look: tasksgodzilla --home {home} serve, and beside it … --home {home} events recent"
    ));
    output.line(&format!("remove: rm -rf {}", place.directory.display()));
    Ok(())
}

/// Files below a folder, sorted, relative to it.
fn list(folder: &Path) -> Result<Vec<String>, CliError> {
    let mut names = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).map_err(|error| unusable(&directory, &error))? {
            let entry = entry.map_err(|error| unusable(&directory, &error))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            } else if let Ok(name) = entry.path().strip_prefix(folder) {
                names.push(name.display().to_string());
            }
        }
    }
    names.sort();
    Ok(names)
}
