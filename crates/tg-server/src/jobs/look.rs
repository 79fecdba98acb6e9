//! What a door may ask of a run's repository: differences and where its branch stands. Reads only, for
//! one scope, within the time of a request; starts no engine, takes no lock, moves nothing.

use std::{path::PathBuf, time::Duration};

use tg_core::{
    ids::{RunId, StepId},
    protocol::StepRun,
    review::FilePath,
    scope::Scope,
    wire::{ChangedFile, GitStatusOut},
};
use tokio::sync::Semaphore;

use super::{
    place::{self, worktree_path},
    subject::Subject,
};
use crate::{
    app::App,
    git::{Beginning, GitError, Repository, Span, worktree::Worktree},
    process::ProcessError,
    store::{self, StoreError},
};

/// Most bytes of a diff that are shown.
pub const DIFF_CAP: usize = 5 * 1024 * 1024;

/// Most files of a list that are shown.
pub const FILES_CAP: usize = 20_000;

/// Most paths that are named as not committed.
const CHANGED_CAP: usize = 1000;

/// Wall limit of one git call of a request.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a request waits for its turn.
const QUEUE: Duration = Duration::from_secs(5);

/// Requests that may run git at once: the machine belongs to the agents.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Not there in this scope, or the database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The project has no repository here, or the run no branch in it.
    #[error("{0}")]
    RepositoryMissing(String),
    /// The run has no worktree.
    #[error("{0}")]
    WorktreeMissing(String),
    /// It took too long, or too many others look at once.
    #[error("{0}")]
    Busy(String),
    /// git failed otherwise.
    #[error("{0}")]
    Git(GitError),
}

impl From<GitError> for LookError {
    fn from(error: GitError) -> Self {
        match error {
            GitError::Missing(sentence) => Self::RepositoryMissing(sentence),
            GitError::Process(ProcessError::Timeout { seconds, .. }) => {
                Self::Busy(format!("git did not answer within {seconds} s; ask for one path, or try again"))
            }
            GitError::Unusable(_)
            | GitError::Remote(_)
            | GitError::Fenced(_)
            | GitError::Failed { .. }
            | GitError::Process(_)
            | GitError::Io(_) => Self::Git(error),
        }
    }
}

/// Whose changes are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Everything a run committed since its base.
    Run(RunId),
    /// What the newest attempt of a step committed.
    Step(StepId),
}

/// Unified diff of committed work; what is not committed is not in it.
pub async fn diff(
    app: &App,
    scope: &Scope,
    work: Work,
    path: Option<&FilePath>,
    context: u8,
) -> Result<Beginning<String>, LookError> {
    let Some((repository, span)) = span(app, scope, work).await? else {
        return Ok(Beginning { kept: String::new(), is_cut: false });
    };
    let _turn = turn().await?;
    let patch = repository.patch(&span, path, context, DIFF_CAP).await?;
    let kept = String::from_utf8_lossy(&patch.kept).into_owned();
    Ok(Beginning { kept, is_cut: patch.is_cut })
}

/// List of the files of committed work.
pub async fn files(
    app: &App,
    scope: &Scope,
    work: Work,
    path: Option<&FilePath>,
) -> Result<Beginning<Vec<ChangedFile>>, LookError> {
    let Some((repository, span)) = span(app, scope, work).await? else {
        return Ok(Beginning { kept: Vec::new(), is_cut: false });
    };
    let _turn = turn().await?;
    let files = repository.changed_files(&span, path).await?;
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let is_cut = files.is_cut || files.kept.len() > FILES_CAP;
    let shown = files.kept.iter().take(FILES_CAP).map(|file| ChangedFile {
        path: text(&file.path),
        old_path: file.old_path.as_deref().map(text),
        status: file.status,
        additions: file.additions,
        deletions: file.deletions,
        binary: file.is_binary,
    });
    Ok(Beginning { kept: shown.collect(), is_cut })
}

/// Where the branch of a run stands.
pub async fn git_status(app: &App, scope: &Scope, run: RunId) -> Result<GitStatusOut, LookError> {
    let subject = Subject::seen_by(app, scope, run).await?;
    let (repository, tree) = seen(app, &subject)?;
    // Absence of the repository is the deeper cause, so it is looked for first.
    repository.tip_of(&tree).await?;
    if !tree.path.is_dir() {
        return Err(LookError::WorktreeMissing(format!(
            "the worktree {} is not there any more; run a step, and it is made again",
            tree.path.display()
        )));
    }
    let _turn = turn().await?;
    let run = &subject.run;
    let standing = repository.standing(&tree, &run.base_branch, CHANGED_CAP).await?;
    let changed = standing.changed.iter().map(|path| String::from_utf8_lossy(path).into_owned());
    Ok(GitStatusOut {
        protocol_run_id: run.id.0,
        repo_root: match &subject.project.local_path {
            Some(path) => path.clone(),
            None => repository.control.display().to_string(),
        },
        worktree_path: tree.path.display().to_string(),
        branch: tree.branch.clone(),
        head_sha: standing.head,
        dirty: !standing.changed.is_empty() || standing.is_cut,
        changed_files: changed.collect(),
        changed_files_cut: standing.is_cut,
        ahead: standing.ahead,
        behind: standing.behind,
        pushed_sha: run.pushed_sha.clone(),
    })
}

/// What is to be compared; `None` when a step has not begun or has committed nothing.
async fn span(app: &App, scope: &Scope, work: Work) -> Result<Option<(Repository, Span)>, LookError> {
    let (run, step) = match work {
        Work::Run(run) => (run, None),
        Work::Step(step) => {
            let mut tx = app.db.read().await.map_err(StoreError::from)?;
            let step = store::step::load(&mut tx, scope, step).await?;
            (step.protocol_run_id, Some(step))
        }
    };
    let subject = Subject::seen_by(app, scope, run).await?;
    let (repository, tree) = seen(app, &subject)?;
    let tip = repository.tip_of(&tree).await?;
    let span = match step {
        None => Some(Span { from: tree.base_sha, to: tip }),
        Some(StepRun { start_sha: Some(from), head_sha: Some(to), .. }) => Some(Span { from, to }),
        Some(_) => None,
    };
    Ok(span.map(|span| (repository, span)))
}

fn seen(app: &App, subject: &Subject) -> Result<(Repository, Worktree), LookError> {
    let run = &subject.run;
    let Some(base) = &run.base_sha else {
        return Err(LookError::RepositoryMissing(format!(
            "run {} has no branch yet; start it, and look again when its planning has begun",
            run.id
        )));
    };
    let path: PathBuf = worktree_path(app, run);
    let mut repository = place::repository(app, subject, &path);
    repository.timeout = repository.timeout.min(PATIENCE);
    let tree = Worktree::seen(path, run.id, &run.protocol_name, base);
    Ok((repository, tree))
}

async fn turn() -> Result<tokio::sync::SemaphorePermit<'static>, LookError> {
    let busy = || LookError::Busy("too many others look at repositories right now; try again".to_owned());
    match tokio::time::timeout(QUEUE, TURNS.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(busy()),
    }
}
