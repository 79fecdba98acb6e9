//! Follows the timeline while streams listen: reads each new event once, writes it once, hands it to
//! all. Woken by commits of this process; commits of another one are found by looking. Holds no filter.

use std::{pin::pin, sync::Arc};

use axum::body::Bytes;
use tg_core::scope::Scope;

use super::{answer, convert};
use crate::{
    app::App,
    feed::{News, Receiver, Sender},
    store::{
        self, StoreError,
        event::{Filter, StoredEvent},
    },
};

/// Events read at once; well below the ring, so that a stream that is ready is never overrun by one look.
const AT_ONCE: i64 = 256;

/// Every event that is committed from now on. Listen *before* looking at the table, or what is
/// committed in between is missed.
pub async fn listen(app: &App) -> Result<Receiver, StoreError> {
    let start = async |sender: Sender| -> Result<(), StoreError> {
        let mut tx = app.db.read().await?;
        let last = store::event::newest(&mut tx, &Scope::All, &Filter::default()).await?;
        tokio::spawn(follow(app.clone(), sender, last));
        Ok(())
    };
    app.feed.listen(start).await
}

async fn follow(app: App, mut sender: Sender, mut last: i64) {
    loop {
        // Before the look: a commit after it then ends the wait.
        let mut news = pin!(app.wake.news());
        match look(&app, last).await {
            Ok(events) => {
                let is_full = i64::try_from(events.len()).is_ok_and(|count| count == AT_ONCE);
                for event in events {
                    last = event.seq;
                    // Nobody to hear it is no failure.
                    sender.send(Arc::new(told(event))).ok();
                }
                if is_full {
                    tokio::task::yield_now().await;
                    continue;
                }
            }
            Err(error) => tracing::warn!(%error, "the timeline cannot be followed now; trying again"),
        }
        tokio::select! {
            () = &mut news => {}
            () = tokio::time::sleep(app.feed.pace().poll) => {}
        }
        match app.feed.while_heard(sender).await {
            Some(given) => sender = given,
            None => return,
        }
    }
}

async fn look(app: &App, after: i64) -> Result<Vec<StoredEvent>, StoreError> {
    let mut tx = app.db.read().await?;
    let filter = Filter { after: Some(after), ..Filter::default() };
    store::event::since(&mut tx, &Scope::All, &filter, AT_ONCE).await
}

fn told(event: StoredEvent) -> News {
    News {
        seq: event.seq,
        project: event.project_id.map(|id| id.0),
        run: event.protocol_run_id.map(|id| id.0),
        step: event.step_run_id.map(|id| id.0),
        frame: frame(&event).into(),
        event_type: event.event_type,
        category: event.category,
    }
}

/// An event as JSON.
pub fn json(event: &StoredEvent) -> Bytes {
    answer::json(&convert::event(event)).into()
}

/// An event as a stream sends it. JSON holds no line break, and a kind is a word.
pub fn frame(event: &StoredEvent) -> Vec<u8> {
    let mut frame = format!("id: {}\nevent: {}\ndata: ", event.seq, event.event_type).into_bytes();
    frame.extend_from_slice(&json(event));
    frame.extend_from_slice(b"\n\n");
    frame
}
