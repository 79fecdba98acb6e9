//! News of the timeline for the streams of this process: whoever follows it reads an event once, and
//! every stream is handed the same bytes. What falls out of the ring is read from the table again, so
//! nothing waits here for a slow reader. Reads no table itself.

use std::{
    sync::{Arc, Mutex as Lock, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Mutex, broadcast};

mod kept;

pub use kept::Kept;

/// Bytes of written events that are kept for pages.
const KEPT: usize = 16 * 1024 * 1024;

/// How streams behave in time.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two signs of life of a stream; each also asks whether its token still holds.
    pub heartbeat: Duration,
    /// Longest time until news of another process is seen.
    pub poll: Duration,
    /// News held for a stream that is not looking.
    pub ring: usize,
    /// A stream that missed more than this is told to start anew; below, it is read up from the table.
    pub far: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { heartbeat: Duration::from_secs(15), poll: Duration::from_millis(200), ring: 1024, far: 10_000 }
    }
}

/// An event on its way to the streams.
#[derive(Debug)]
pub struct News {
    /// Its sequence number.
    pub seq: i64,
    /// Its project.
    pub project: Option<i64>,
    /// Its run.
    pub run: Option<i64>,
    /// Its step.
    pub step: Option<i64>,
    /// Its wire kind.
    pub event_type: String,
    /// Its area of work.
    pub category: String,
    /// As every stream sends it.
    pub frame: axum::body::Bytes,
}

/// Where the one that follows the timeline puts the news.
pub type Sender = broadcast::Sender<Arc<News>>;
/// Where a stream gets them.
pub type Receiver = broadcast::Receiver<Arc<News>>;

/// The feed of this process; cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    pace: Pace,
    /// The sender belongs to the follower: when that one ends, however it ends, so do the streams.
    live: Mutex<broadcast::WeakSender<Arc<News>>>,
    kept: Lock<Kept>,
}

impl Default for Feed {
    fn default() -> Self {
        Self::new(Pace::default())
    }
}

impl Feed {
    /// A feed that nobody follows yet.
    pub fn new(pace: Pace) -> Self {
        let nobody = broadcast::Sender::new(1).downgrade();
        let kept = Lock::new(Kept::new(KEPT));
        Self(Arc::new(Inner { pace, live: Mutex::new(nobody), kept }))
    }

    /// How streams behave in time.
    pub fn pace(&self) -> Pace {
        self.0.pace
    }

    /// Every event that is committed from now on. Where nobody follows the timeline, `start` makes
    /// somebody do so, from a position it reads before it returns.
    pub async fn listen<E>(&self, start: impl AsyncFnOnce(Sender) -> Result<(), E>) -> Result<Receiver, E> {
        let mut live = self.0.live.lock().await;
        if let Some(sender) = live.upgrade() {
            return Ok(sender.subscribe());
        }
        let (sender, receiver) = broadcast::channel(self.0.pace.ring);
        let weak = sender.downgrade();
        start(sender).await?;
        *live = weak;
        Ok(receiver)
    }

    /// Gives the sender back while somebody listens; takes it when nobody does, so that the next one
    /// to listen starts a follower of its own.
    pub async fn while_heard(&self, sender: Sender) -> Option<Sender> {
        let _live = self.0.live.lock().await;
        (sender.receiver_count() > 0).then_some(sender)
    }

    /// Events that were written as JSON before.
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
