//! The queue alone: how soon a job starts, and how many a second go through.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;
use tg_core::{
    ids::RunId,
    job::{Job, JobStatus, Priority},
    lifecycle::Enqueue,
    project::ModelDefaults,
};
use tg_server::{db::Db, queue, store, testing::postgres};

use super::{Row, milliseconds, world::World};

/// Jobs that are started one by one.
const STARTED: usize = 300;
/// Jobs that go through at once.
const JOBS: usize = 1000;
/// Claimers.
const CLAIMERS: usize = 4;
/// A measurement that takes longer is broken.
const LIMIT: Duration = Duration::from_mins(1);

fn enqueue(job: Job) -> Enqueue {
    Enqueue { job, priority: Priority::Automatic }
}

/// From the commit that queues a job to the claim that starts it.
pub async fn start() -> anyhow::Result<Vec<Row>> {
    let mut world = World::new(&[], &json!([])).await?;
    world.work();
    let mut times = Vec::new();
    for _ in 0..STARTED {
        times.push(start_one(&world).await?);
    }
    world.rest().await?;
    times.sort();
    let (middle, worst) = (times[STARTED / 2], times[STARTED * 99 / 100]);
    Ok(vec![Row::promised(
        "enqueue to start, SQLite: p50, p99",
        format!("{}, {}", milliseconds(middle), milliseconds(worst)),
        "<= 10 ms",
        worst <= Duration::from_millis(10),
    )])
}

/// Seen from outside: the time until the job is no longer queued, which includes our looks at it.
async fn start_one(world: &World) -> anyhow::Result<Duration> {
    let mut tx = world.app.db.begin().await?;
    let id = queue::enqueue(&mut tx, &enqueue(Job::Maintenance), None, Duration::ZERO, None).await?;
    tx.commit().await?;
    let began = Instant::now();
    world.app.wake.notify();
    let mut started = None;
    while began.elapsed() < LIMIT {
        let mut tx = world.app.db.read().await?;
        let jobs = queue::list(&mut tx, None, 5).await?;
        drop(tx);
        let job = jobs.into_iter().find(|job| job.id == id).context("the job is listed")?;
        if job.status != JobStatus::Queued {
            started.get_or_insert(began.elapsed());
        }
        if job.status == JobStatus::Finished {
            return started.context("it started before it ended");
        }
        tokio::task::yield_now().await;
    }
    anyhow::bail!("a job did not end")
}

/// Jobs that do nothing: claimed, and finished by their fencing token, two commits each.
pub async fn throughput() -> anyhow::Result<Vec<Row>> {
    let world = World::new(&[], &json!([])).await?;
    let embedded = through(&world.app.db).await?;
    let mut rows = vec![Row::shown(
        "no-op jobs a second, SQLite (4 claimers, 2 commits each)",
        format!("{embedded:.0}"),
    )];
    let url = postgres::database().await.map_err(anyhow::Error::msg)?;
    match url {
        Some(url) => {
            let db = Db::open(&url, 8).await?;
            db.migrate().await?;
            let found = through(&db).await?;
            db.close().await;
            rows.push(Row::shown("no-op jobs a second, Postgres (the same)", format!("{found:.0}")));
        }
        None => {
            rows.push(Row::shown("no-op jobs a second, Postgres", "no Postgres on this machine".to_owned()));
        }
    }
    Ok(rows)
}

async fn through(db: &Db) -> anyhow::Result<f64> {
    let mut tx = db.begin().await?;
    let new = store::project::NewProject {
        name: "bench".to_owned(),
        git_url: "/nowhere".to_owned(),
        local_path: None,
        base_branch: "main".to_owned(),
        ci_provider: None,
        default_models: ModelDefaults::default(),
    };
    let project = store::project::insert(&mut tx, &new, 0).await?;
    for number in 0..JOBS {
        let run = store::protocol::NewRun {
            project_id: project.id,
            protocol_name: format!("{number:04}-bench"),
            status: tg_core::status::FirstStatus::Pending,
            auto_advance: false,
            engine: None,
            models: ModelDefaults::default(),
            base_branch: Some("main".to_owned()),
            description: None,
            sandbox_off: false,
        };
        let RunId(id) = store::protocol::insert(&mut tx, &tg_core::scope::Scope::All, &run, 0).await?.id;
        let job = Job::OpenPullRequest { protocol_run_id: RunId(id) };
        queue::enqueue(&mut tx, &enqueue(job), None, Duration::ZERO, None).await?;
    }
    tx.commit().await?;
    let began = Instant::now();
    let mut claimers = tokio::task::JoinSet::new();
    for number in 0..CLAIMERS {
        claimers.spawn(drain(db.clone(), format!("bench:{number}")));
    }
    let mut done = 0;
    while let Some(count) = claimers.join_next().await {
        done += count??;
    }
    anyhow::ensure!(done == JOBS, "{done} of {JOBS} jobs went through");
    Ok(f64::from(u32::try_from(JOBS)?) / began.elapsed().as_secs_f64())
}

async fn drain(db: Db, owner: String) -> anyhow::Result<usize> {
    let mut done = 0;
    loop {
        let mut tx = db.begin().await?;
        let lease = queue::claim(&mut tx, &owner, Duration::from_secs(30), i64::MAX).await?;
        tx.commit().await?;
        let Some(lease) = lease else { return Ok(done) };
        let mut tx = db.begin().await?;
        queue::check(&mut tx, &lease).await?;
        queue::finish(&mut tx, &lease).await?;
        tx.commit().await?;
        done += 1;
    }
}
