//! The HTTP API under load: server and client share this machine, so every rate stands beside what a
//! bare axum does in the same run and beside the server's own processor time.

mod load;
mod seed;
pub mod served;
mod stream;
mod write;

use std::{path::Path, time::Duration};

use load::Load;
use served::Served;

use super::{Row, milliseconds};

pub use stream::readers;
pub use write::{postgres, sqlite};

/// Connections of a load.
const CONNECTIONS: u64 = 16;
/// How long a load goes on.
const TIME: Duration = Duration::from_secs(4);
/// The admin's token of the measured servers.
const TOKEN: &str = "bench-0123456789abcdef0123456789abcdef";

/// Settings of a measured server: no limit of requests that a load would meet.
const SETTINGS: &[(&str, &str)] = &[
    ("TASKSGODZILLA_API_TOKEN", TOKEN),
    ("TASKSGODZILLA_RATE_LIMIT_PER_SECOND", "1000000"),
    ("TASKSGODZILLA_RATE_LIMIT_BURST", "1000000"),
    ("TASKSGODZILLA_LOG_LEVEL", "warn"),
];

/// A loaded route.
struct Read {
    what: &'static str,
    path: &'static str,
    /// Requests a second, or a share of the bare figure.
    promise: Promise,
}

enum Promise {
    Share(f64),
    Rate(f64),
}

const READS: &[Read] = &[
    Read { what: "  /health", path: "/health", promise: Promise::Share(0.5) },
    Read { what: "  /projects, 100 rows", path: "/projects?limit=100", promise: Promise::Rate(1500.0) },
    Read {
        what: "  /protocols/1/events, 1,000 rows in pages of 500",
        path: "/protocols/1/events?limit=500",
        promise: Promise::Rate(300.0),
    },
    Read {
        what: "  /events?limit=100 over 100,000",
        path: "/events?limit=100",
        promise: Promise::Rate(2000.0),
    },
];

/// Rates of reads at 16 connections.
pub async fn reads(folder: &Path) -> anyhow::Result<Vec<Row>> {
    let bare = Served::bare()?;
    let hello = load::run(bare.address, CONNECTIONS, TIME, load::get("/", TOKEN), 200).await?;
    drop(bare);
    let mut rows = vec![Row::shown("API: a bare axum's hello, 16 connections", described(&hello, None))];
    let home = seed::home(folder, 100_000).await?;
    let server = Served::real(&home, SETTINGS)?;
    for read in READS {
        let before = server.spent();
        let load = load::run(server.address, CONNECTIONS, TIME, load::get(read.path, TOKEN), 200).await?;
        // The short round before it costs a tenth; it is left out by its share.
        let spent = server.spent().saturating_sub(before).mul_f64(10.0 / 11.0);
        let share = load.rate() / hello.rate();
        let (promised, kept) = match read.promise {
            Promise::Share(least) => (">= 50 % of bare", share >= least),
            Promise::Rate(least) => (rate_words(least), load.rate() >= least),
        };
        let is_quick = load.p99 <= Duration::from_millis(20);
        let found = format!("{}, {:.0} % of bare", described(&load, Some(spent)), share * 100.0);
        rows.push(Row::promised(read.what, found, promised, kept && is_quick));
    }
    Ok(rows)
}

fn rate_words(rate: f64) -> &'static str {
    if rate >= 2000.0 {
        ">= 2,000/s, p99 <= 20 ms"
    } else if rate >= 1500.0 {
        ">= 1,500/s, p99 <= 20 ms"
    } else {
        ">= 300/s, p99 <= 20 ms"
    }
}

/// A load in words.
fn described(load: &Load, spent: Option<Duration>) -> String {
    let cpu = spent.map_or_else(String::new, |spent| {
        let each = spent.as_secs_f64() * 1e6 / u32::try_from(load.requests).map_or(f64::INFINITY, f64::from);
        format!(", {each:.0} us CPU each")
    });
    format!("{:.0}/s, p99 {}, {:.1} MiB/s{cpu}", load.rate(), milliseconds(load.p99), load.mib_a_second())
}

/// Lists whose time must not grow with history.
const LISTS: &[&str] = &[
    "/projects",
    "/projects/1/protocols",
    "/events",
    "/events?project_id=1",
    "/events?event_type=step_enqueued",
    "/events?kind=step",
    "/protocols/1/events",
    "/runs",
    "/runs?status=running",
    "/protocols/1/runs",
    "/queues/jobs",
    "/queues/jobs?status=finished",
    "/queues",
];

/// The middle time of every list at 1,000,000 events against that at 1,000, one connection.
pub async fn growth(folder: &Path) -> anyhow::Result<Vec<Row>> {
    let (small, large) = (seed::home(folder, 1_000).await?, seed::home(folder, 1_000_000).await?);
    let (small, large) = (Served::real(&small, SETTINGS)?, Served::real(&large, SETTINGS)?);
    let mut rows = vec![Row::shown("lists at 1,000 and 1,000,000 events: p50", "one connection".to_owned())];
    for path in LISTS {
        let time = Duration::from_secs(1);
        let few = load::run(small.address, 1, time, load::get(path, TOKEN), 200).await?;
        let many = load::run(large.address, 1, time, load::get(path, TOKEN), 200).await?;
        let ratio = many.p50.as_secs_f64() / few.p50.as_secs_f64();
        let found = format!("{} -> {} = {ratio:.2} x", milliseconds(few.p50), milliseconds(many.p50));
        rows.push(Row::promised(
            Box::leak(format!("  {path}").into_boxed_str()),
            found,
            "<= 1.5 x",
            ratio <= 1.5,
        ));
    }
    Ok(rows)
}
