//! Hints that there is work or news: in-process notify. Carries no truth; losing one costs latency only.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes workers and streams of this process.
#[derive(Clone, Default)]
pub struct Wake(Arc<Bells>);

#[derive(Default)]
struct Bells {
    work: Notify,
    news: Notify,
}

impl Wake {
    /// Says that a job was committed; the events that come with it are news as well.
    pub fn notify(&self) {
        self.0.work.notify_waiters();
        self.told();
    }

    /// Says that events were committed, and no job.
    pub fn told(&self) {
        self.0.news.notify_waiters();
    }

    /// Resolves at the next hint. Create it *before* looking for work, or a hint may be missed.
    pub fn listen(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.work.notified()
    }

    /// Resolves at the next hint of news. Create it *before* looking at the timeline.
    pub fn news(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.news.notified()
    }
}
