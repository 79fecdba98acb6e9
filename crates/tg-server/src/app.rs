//! What every part of the server is handed: settings, database, clock, wake-up. Cheap to clone.
//! Holds no rules.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use crate::{config::Config, db::Db, engine::sandbox::Sandbox, feed::Feed, seal::Seal, wake::Wake};

/// The running application.
#[derive(Clone)]
pub struct App {
    /// Settings in force.
    pub config: Arc<Config>,
    /// Database.
    pub db: Db,
    /// Time for rows and logs; leases are judged by the database's clock only.
    pub clock: Clock,
    /// Hints that work is there.
    pub wake: Wake,
    /// Seals and opens project secrets.
    pub seal: Seal,
    /// News of the timeline for streams.
    pub feed: Feed,
    /// Confinement found at start.
    pub sandbox: Arc<Sandbox>,
}

/// Wall clock in milliseconds since the epoch, UTC; a test sets its own.
#[derive(Clone)]
pub enum Clock {
    /// The machine's.
    System,
    /// A test's.
    Fixed(Arc<AtomicI64>),
}

impl App {
    /// An application on this database, by the machine's clock.
    pub fn new(config: Config, db: Db, sandbox: Sandbox) -> Self {
        Self {
            seal: Seal::new(&config),
            config: Arc::new(config),
            db,
            clock: Clock::System,
            wake: Wake::default(),
            feed: Feed::default(),
            sandbox: Arc::new(sandbox),
        }
    }
}

impl Clock {
    /// Now, in milliseconds since the epoch, UTC.
    pub fn now(&self) -> i64 {
        match self {
            Self::System => system_now(),
            Self::Fixed(value) => value.load(Ordering::SeqCst),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn system_now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}
