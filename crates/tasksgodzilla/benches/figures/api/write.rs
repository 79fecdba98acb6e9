//! Creating runs over HTTP, against what the database itself does on this disk in the same run.

use std::{path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, bail, ensure};
use sqlx::Executor as _;
use tg_server::{db::Db, testing::postgres::durable};

use super::{CONNECTIONS, Row, SETTINGS, TIME, TOKEN, described, load, served::Served};

/// A request that creates a run with a name of its own.
fn create() -> load::Text {
    Arc::new(|number| {
        let body = format!("{{\"protocol_name\":\"run-{number}\",\"description\":\"Add the thing\"}}");
        format!(
            "POST /projects/1/protocols HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    })
}

pub const PROJECT: &str = "INSERT INTO projects (name, git_url, base_branch, default_models, created_at, updated_at) \
                       VALUES ('one', 'https://forge.example/one.git', 'main', '{}', 0, 0)";

async fn measured(home: &Path, settings: &[(&str, &str)], commits: f64) -> anyhow::Result<(String, f64)> {
    let server = Served::real(home, settings)?;
    let before = server.spent();
    let load = load::run(server.address, CONNECTIONS, TIME, create(), 201).await?;
    let spent = server.spent().saturating_sub(before).mul_f64(10.0 / 11.0);
    let share = load.rate() / commits;
    Ok((format!("{} = {:.0} %", described(&load, Some(spent)), share * 100.0), share))
}

/// On SQLite: the rate of single-row commits in WAL with FULL, one connection.
pub async fn sqlite(folder: &Path) -> anyhow::Result<Vec<Row>> {
    let commits = single_rows(&folder.join("commits.sqlite")).await?;
    let home = folder.join("home-write");
    std::fs::create_dir_all(&home)?;
    let db = Db::open(&format!("sqlite:{}", home.join("tasksgodzilla.sqlite").display()), 2).await?;
    db.migrate().await?;
    let Db::Sqlite { write, .. } = &db else { bail!("SQLite was asked for") };
    write.execute(PROJECT).await?;
    db.close().await;
    let (found, share) = measured(&home, SETTINGS, commits).await?;
    Ok(vec![
        Row::shown("SQLite: single-row FULL commits", format!("{commits:.0}/s")),
        Row::promised("  create protocol, 16 connections", found, ">= 50 % of them", share >= 0.5),
    ])
}

async fn single_rows(path: &Path) -> anyhow::Result<f64> {
    let db = Db::open(&format!("sqlite:{}", path.display()), 1).await?;
    let Db::Sqlite { write, .. } = &db else { bail!("SQLite was asked for") };
    write.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT NOT NULL)").await?;
    let mut connection = write.acquire().await?;
    let began = Instant::now();
    let mut count = 0_u32;
    while began.elapsed() < TIME {
        connection.execute("INSERT INTO t (text) VALUES ('a row of some length, as rows are')").await?;
        count += 1;
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    drop(connection);
    db.close().await;
    Ok(rate)
}

/// On Postgres that writes through: pgbench's simple update with as many clients.
pub async fn postgres(folder: &Path) -> anyhow::Result<Vec<Row>> {
    let place = durable().await.map_err(anyhow::Error::msg)?.context("no Postgres here")?;
    let pgbench = |arguments: &[&str]| pgbench(&place, arguments);
    pgbench(&["-i", "-s", "10", "-q"])?;
    let seconds = TIME.as_secs().to_string();
    let clients = CONNECTIONS.to_string();
    let said = pgbench(&["-N", "-c", &clients, "-j", "2", "-T", &seconds])?;
    let rate = said
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok())
        .with_context(|| format!("pgbench names no rate: {said}"))?;
    let db = Db::open(&place.url, 2).await?;
    db.migrate().await?;
    let Db::Postgres { pool, .. } = &db else { bail!("Postgres was asked for") };
    pool.execute(PROJECT).await?;
    db.close().await;
    let home = folder.join("home-postgres");
    std::fs::create_dir_all(&home)?;
    let mut settings = SETTINGS.to_vec();
    settings.extend([("TASKSGODZILLA_DB_URL", place.url.as_str()), ("TASKSGODZILLA_DB_POOL_SIZE", "20")]);
    let (found, share) = measured(&home, &settings, rate).await?;
    Ok(vec![
        Row::shown("Postgres (fsync on): pgbench simple update, 16 clients", format!("{rate:.0}/s")),
        Row::promised("  create protocol, 16 connections", found, ">= 50 % of it", share >= 0.5),
    ])
}

/// Runs pgbench to its end; what it said.
#[expect(clippy::disallowed_methods, reason = "a bench runs what it compares with")]
fn pgbench(place: &tg_server::testing::postgres::Place, arguments: &[&str]) -> anyhow::Result<String> {
    let output = std::process::Command::new(place.binaries.join("pgbench"))
        .args(arguments)
        .args(["-h", &place.folder.display().to_string(), "-U", "tester", &place.name])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}
