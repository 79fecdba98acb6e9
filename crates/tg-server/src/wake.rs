//! Hints that there is work: in-process notify. Carries no truth; losing one costs latency only.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes workers of this process.
#[derive(Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Says that a job was committed.
    pub fn notify(&self) {
        self.0.notify_waiters();
    }

    /// Resolves at the next hint. Create it *before* looking for work, or a hint may be missed.
    pub fn listen(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.notified()
    }
}
