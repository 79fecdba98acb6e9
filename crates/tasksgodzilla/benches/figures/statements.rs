//! Counts SQL statements: the driver reports each one as a trace event, and this is all that listens.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Metadata, Subscriber, span};

static STATEMENTS: AtomicU64 = AtomicU64::new(0);

/// Statements of this process so far.
pub fn so_far() -> u64 {
    STATEMENTS.load(Ordering::Relaxed)
}

/// Begins to count.
pub fn count() {
    // Only one subscriber can be set, and this is the first.
    tracing::subscriber::set_global_default(Counter).expect("nothing listens before main does");
}

struct Counter;

impl Subscriber for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        STATEMENTS.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
