//! Whole runs: what the orchestration of one costs, and how sixteen share two cores.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tg_core::{ids::RunId, scope::Scope};
use tg_server::{git, store};

use super::{
    Row, engine,
    machine::Spent,
    seconds, statements,
    world::{LIMIT, LOOK, STEPS, World, script},
};

/// Runs that are averaged.
const REPEATED: u32 = 5;
/// Runs at once.
const MANY: u32 = 16;

/// What happened while something was measured.
struct Measured {
    wall: Duration,
    spent: Spent,
    git: u64,
    statements: u64,
}

/// One run after another, on projects of their own.
pub async fn one() -> anyhow::Result<Vec<Row>> {
    let call = engine::cost().await?;
    let mut world = World::new(&[], &script(STEPS)).await?;
    let look = statements_of_a_look(&world).await?;
    world.work();
    // The first run warms caches, the sandbox and the file system.
    measure(&world, "warm", look).await?;
    let mut sum = Measured {
        wall: Duration::ZERO,
        spent: Spent { own: Duration::ZERO, children: Duration::ZERO },
        git: 0,
        statements: 0,
    };
    let (mut transitions, mut calls) = (0, 0);
    for number in 0..REPEATED {
        let (run, measured) = measure(&world, &format!("one-{number}"), look).await?;
        sum.wall += measured.wall;
        sum.spent.own += measured.spent.own;
        sum.spent.children += measured.spent.children;
        sum.git += measured.git;
        sum.statements += measured.statements;
        transitions += transitions_of(&world, run).await?;
        calls += calls_of(&world, run).await?;
    }
    world.rest().await?;
    let (wall, own, children) =
        (sum.wall / REPEATED, sum.spent.own / REPEATED, sum.spent.children / REPEATED);
    let per_run = calls / REPEATED;
    let engines = call * per_run;
    let outside = own + engines;
    let of_run = sum.git / u64::from(REPEATED);
    let per_step = ratio(of_run.saturating_sub(git_of_one_step().await?), u64::try_from(STEPS - 1)?);
    Ok(vec![
        Row::promised(
            "run of 5 work steps, full QA, dummy: wall",
            seconds(wall),
            "<= 2.00 s",
            wall <= Duration::from_secs(2),
        ),
        Row::promised(
            "  processor time outside git",
            seconds(outside),
            "<= 1.00 s",
            outside <= Duration::from_secs(1),
        ),
        Row::shown("    of it in the orchestrator itself", seconds(own)),
        Row::shown(
            "    of it in engine calls (shim, sandbox, dummy)",
            format!("{} in {per_run} calls", seconds(engines)),
        ),
        Row::shown("  processor time of git", seconds(children.saturating_sub(engines))),
        Row::promised("  git processes per work step", format!("{per_step:.1}"), "<= 8", per_step <= 8.0),
        Row::shown("  git processes of the whole run", of_run.to_string()),
        Row::shown(
            "  SQL statements per status transition",
            format!("{:.1}", ratio(sum.statements, transitions)),
        ),
        Row::shown("  SQL statements of the whole run", format!("{}", sum.statements / u64::from(REPEATED))),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are small")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// git processes of a run with one work step: what five take more is four steps' worth.
async fn git_of_one_step() -> anyhow::Result<u64> {
    let mut world = World::new(&[], &script(1)).await?;
    world.work();
    let (_, measured) = measure(&world, "single", 0).await?;
    world.rest().await?;
    Ok(measured.git)
}

/// Statements that one look at a run takes; they are ours and not the product's.
async fn statements_of_a_look(world: &World) -> anyhow::Result<u64> {
    let project = world.project("look").await?;
    let run = world.run(&project, "0001-look").await?;
    let before = statements::so_far();
    ensure!(!world.is_completed(run.id).await?, "it was never started");
    Ok(statements::so_far() - before)
}

async fn measure(world: &World, name: &str, look: u64) -> anyhow::Result<(RunId, Measured)> {
    let project = world.project(name).await?;
    let run = world.run(&project, "0001-measure").await?;
    let (spent, git, statements) = (Spent::now(), git::processes(), statements::so_far());
    let looks = world.looks();
    let began = Instant::now();
    world.start(run.id).await?;
    world.completed(run.id).await?;
    let measured = Measured {
        wall: began.elapsed(),
        spent: Spent::now().since(spent),
        git: git::processes() - git,
        statements: statements::so_far() - statements - look * (world.looks() - looks),
    };
    Ok((run.id, measured))
}

/// Status changes that the timeline of a run tells of.
async fn transitions_of(world: &World, run: RunId) -> anyhow::Result<u64> {
    let filter = store::event::Filter { run: Some(run), ..store::event::Filter::default() };
    let mut tx = world.app.db.read().await?;
    let events = store::event::list(&mut tx, &Scope::All, &filter, 500).await?;
    let count = events
        .iter()
        .map(|event| event.metadata.get("transitions").and_then(|list| list.as_array()).map_or(0, Vec::len));
    Ok(u64::try_from(count.sum::<usize>())?)
}

/// Engine calls of a run.
async fn calls_of(world: &World, run: RunId) -> anyhow::Result<u32> {
    let filter = store::call::Filter { run: Some(run), ..store::call::Filter::default() };
    let mut tx = world.app.db.read().await?;
    let calls = store::call::list(&mut tx, &Scope::All, &filter, 500).await?;
    Ok(u32::try_from(calls.iter().filter(|call| call.usage.is_some()).count())?)
}

/// Sixteen one after another, then sixteen at once.
pub async fn many() -> anyhow::Result<Vec<Row>> {
    let alone = {
        let mut world = World::new(&[], &script(STEPS)).await?;
        world.work();
        let runs = prepare(&world).await?;
        let began = Instant::now();
        for run in runs {
            world.start(run).await?;
            world.completed(run).await?;
        }
        let wall = began.elapsed();
        world.rest().await?;
        wall
    };
    let mut world = World::new(&[], &script(STEPS)).await?;
    world.work();
    let runs = prepare(&world).await?;
    let began = Instant::now();
    for run in &runs {
        world.start(*run).await?;
    }
    let ended = ends(&world, &runs, began).await?;
    let together = began.elapsed();
    world.rest().await?;
    let (first, last) = (ended.iter().min(), ended.iter().max());
    let share = together.as_secs_f64() / alone.as_secs_f64();
    let spread = match (first, last) {
        (Some(first), Some(last)) => format!("first {}, last {}", seconds(*first), seconds(*last)),
        (None, _) | (_, None) => String::new(),
    };
    ensure!(ended.len() == runs.len(), "a run is missing");
    Ok(vec![
        Row::shown("16 runs, one after another", seconds(alone)),
        Row::promised(
            "16 runs at once",
            format!("{} = {share:.2} x", seconds(together)),
            "<= 0.70 x",
            share <= 0.7,
        ),
        Row::shown("  when they ended", spread),
    ])
}

async fn prepare(world: &World) -> anyhow::Result<Vec<RunId>> {
    let mut runs = Vec::new();
    for number in 0..MANY {
        let project = world.project(&format!("many-{number}")).await?;
        runs.push(world.run(&project, "0001-measure").await?.id);
    }
    Ok(runs)
}

/// When each of the runs was completed.
async fn ends(world: &World, runs: &[RunId], began: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut ended = Vec::new();
    let mut open = runs.to_vec();
    while !open.is_empty() {
        let mut still = Vec::new();
        for run in open {
            if world.is_completed(run).await? {
                ended.push(began.elapsed());
            } else {
                still.push(run);
            }
        }
        open = still;
        ensure!(began.elapsed() < LIMIT, "{} runs take too long", open.len());
        tokio::time::sleep(LOOK).await;
    }
    Ok(ended)
}
