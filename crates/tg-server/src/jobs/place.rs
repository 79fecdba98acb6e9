//! Where a run's work happens: its control repository, its worktree and its protocol folder.
//! Knows nothing of engines; makes no commit.

use std::path::{Path, PathBuf};

use tg_core::{ids::CallId, protocol::ProtocolRun};

use super::{JobError, files::Files, reports, subject::Subject};
use crate::{
    app::App,
    git::{
        GitError, Hosts, Pushed, Repository,
        worktree::{Holder, Worktree},
    },
    queue::Lease,
    store,
};

/// A run's repository, worktree and protocol folder.
#[derive(Debug)]
pub struct Place {
    /// Runs git for the project.
    pub repository: Repository,
    /// Worktree of the run.
    pub tree: Worktree,
    /// Files in it.
    pub files: Files,
    /// What a dead attempt left uncommitted, as a patch; the tree is clean again.
    pub leftover: Option<Vec<u8>>,
}

/// Everything needed to run git for a subject.
pub fn repository(app: &App, subject: &Subject, worktree: &Path) -> Repository {
    let control = app.config.home.control_repo(subject.project.id);
    Repository {
        program: PathBuf::from("git"),
        environment: app.config.git_environment.clone(),
        hosts: Hosts::of(&app.config),
        wrap: app.sandbox.git_wrap(&control, worktree),
        control,
        git_url: subject.project.git_url.clone(),
        local_path: subject.project.local_path.as_ref().map(PathBuf::from),
        identity: app.config.git_identity.clone(),
        timeout: app.config.git_timeout,
        project: subject.project.id,
    }
}

/// Makes or reuses the worktree of a run. Fetches only while the run has no base commit; a run keeps
/// the base it began with.
///
/// # Errors
/// `GitError::Missing` inside when repository, base branch or path are not there.
pub async fn prepare(app: &App, lease: &Lease, subject: &Subject) -> Result<Place, PlaceError> {
    let run = &subject.run;
    let path = worktree_path(app, run);
    let repository = repository(app, subject, &path);
    let base_sha = match &run.base_sha {
        Some(sha) => sha.clone(),
        None => repository.fetch_base(&run.base_branch).await?,
    };
    let holder = Holder { job: lease.job_id.clone(), fence: lease.fence };
    let (tree, leftover) = repository
        .ensure_worktree_keeping(
            path,
            run.id,
            &run.protocol_name,
            &base_sha,
            &holder,
            &reports::paths(subject),
        )
        .await?;
    let files = Files::of(tree.path.clone(), run);
    if run.base_sha.as_deref() != Some(base_sha.as_str()) || run.worktree_path.is_none() {
        let mut tx = app.db.begin().await.map_err(JobError::from)?;
        let (tree_text, folder_text) = (tree.path.to_string_lossy(), files.folder.to_string_lossy());
        let now = app.clock.now();
        store::protocol::set_worktree(&mut tx, lease, run.id, &tree_text, &folder_text, &base_sha, now)
            .await
            .map_err(JobError::from)?;
        tx.commit().await.map_err(JobError::from)?;
    }
    let place = Place { repository, tree, files, leftover };
    reports::restore(app, &place, subject)?;
    Ok(place)
}

/// Worktree of a run, made or not.
pub fn worktree_path(app: &App, run: &ProtocolRun) -> PathBuf {
    match &run.worktree_path {
        Some(path) => PathBuf::from(path),
        None => app.config.home.worktree(run.project_id, &run.protocol_name),
    }
}

/// Why there is no place to work.
#[derive(Debug)]
pub enum PlaceError {
    /// Repository, branch or path are not there: a person must act.
    Missing(String),
    /// Anything else.
    Job(JobError),
}

impl From<GitError> for PlaceError {
    fn from(error: GitError) -> Self {
        match error {
            GitError::Missing(sentence) => Self::Missing(sentence),
            GitError::Unusable(_)
            | GitError::Remote(_)
            | GitError::Fenced(_)
            | GitError::Failed { .. }
            | GitError::Process(_)
            | GitError::Io(_) => Self::Job(error.into()),
        }
    }
}

impl From<JobError> for PlaceError {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

impl Place {
    /// Paths that differ from the branch's tip, our own reports left out; the first thousand.
    pub async fn changed(&self, subject: &Subject) -> Result<Vec<String>, JobError> {
        let reports: Vec<String> =
            reports::paths(subject).iter().map(|path| path.display().to_string()).collect();
        let listed = self.repository.changes(&self.tree, 1000).await?;
        let paths = listed.iter().filter_map(|line| line.get(3..));
        Ok(paths.filter(|path| !reports.iter().any(|report| report == path)).map(str::to_owned).collect())
    }

    /// Pushes the branch and records what the remote has. A failed push is told, not raised: the commit
    /// stands and a later push carries it.
    pub async fn push(
        &self,
        app: &App,
        lease: &Lease,
        run: &ProtocolRun,
        head: &str,
    ) -> Result<Push, JobError> {
        let push = match self.repository.push(&self.tree).await {
            Ok(Pushed::Done(sha)) => Push::Done(sha),
            Ok(Pushed::NoRemote) => Push::NoRemote,
            Err(error @ GitError::Fenced(_)) => return Err(error.into()),
            Err(error) => Push::Failed(error.to_string()),
        };
        let pushed = match &push {
            Push::Done(sha) => Some(sha.as_str()),
            Push::NoRemote | Push::Failed(_) => None,
        };
        let mut tx = app.db.begin().await?;
        store::protocol::set_heads(&mut tx, lease, run.id, head, pushed, app.clock.now()).await?;
        tx.commit().await?;
        Ok(push)
    }
}

/// Pushes what is committed on the branch of a run. The worktree is not touched and not taken: a
/// step's agent may be at work in it.
pub async fn push_committed(app: &App, lease: &Lease, subject: &Subject) -> Result<Push, JobError> {
    let run = &subject.run;
    let path = worktree_path(app, run);
    let repository = repository(app, subject, &path);
    let tree = Worktree {
        path,
        run: run.id,
        branch: run.protocol_name.clone(),
        base_sha: run.base_sha.clone().unwrap_or_default(),
        holder: Holder { job: lease.job_id.clone(), fence: lease.fence },
    };
    match repository.push_committed(&tree).await {
        Ok(Pushed::Done(sha)) => {
            let mut tx = app.db.begin().await?;
            store::protocol::set_heads(&mut tx, lease, run.id, &sha, Some(&sha), app.clock.now()).await?;
            tx.commit().await?;
            Ok(Push::Done(sha))
        }
        Ok(Pushed::NoRemote) => Ok(Push::NoRemote),
        Err(error @ GitError::Missing(_)) => Err(error.into()),
        Err(error) => Ok(Push::Failed(error.to_string())),
    }
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// The remote has this commit.
    Done(String),
    /// There is no remote.
    NoRemote,
    /// It failed, with git's sentence.
    Failed(String),
}

/// Keeps what a dead attempt left as a file of the call that follows it.
pub fn keep_leftover(
    app: &App,
    call: &CallId,
    patch: &[u8],
) -> std::io::Result<store::artifact::NewArtifact> {
    let folder = app.config.home.call_dir(call);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("leftover.patch"), patch)?;
    Ok(store::artifact::NewArtifact {
        name: "leftover.patch".to_owned(),
        kind: store::artifact::PATCH.to_owned(),
        path: "leftover.patch".to_owned(),
        sha256: tg_core::canonical::sha256_hex(patch),
        bytes: i64::try_from(patch.len()).unwrap_or(i64::MAX),
    })
}
