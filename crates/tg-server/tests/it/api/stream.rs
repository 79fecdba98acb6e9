//! The live stream over real sockets: nothing lost, nothing twice, nothing of others, and nobody waits
//! for who does not read.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tg_core::event::{Event, EventKind};
use tg_server::{
    app::App,
    db::Db,
    feed::{Feed, Pace},
    store::{self, event::Context},
    testing::api::{ADMIN, Api},
    wake::Wake,
};

use super::{
    events::{Place, append, places, token},
    sse::{Stream, serve},
};
use crate::database::{NOW, TestDatabase, on_both, raw};

/// Appends many events at once past the chain, which no stream looks at.
async fn append_many(app: &App, from: i64, count: i64) {
    raw(
        &app.db,
        &format!(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count} - 1) \
             INSERT INTO events (chain, project_seq, event_type, message, metadata, created_at, hash, kind) \
             SELECT 0, {from} + i, 'unknown_job', 'Unknown kind of job', '{{}}', 1, 'x', 'job' FROM n"
        ),
    )
    .await;
    app.wake.told();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_comes_back_200_times_loses_nothing_of_100_000() {
    const ALL: i64 = 100_000;
    const CONNECTIONS: i64 = 201;
    let test = TestDatabase::sqlite().await;
    let app = test.app();
    let [a, _] = places(&app).await;
    let address = serve(Api::new(&app).router()).await;
    let writer = tokio::spawn({
        let app = app.clone();
        async move {
            let mut written = 0;
            while written < ALL {
                append_many(&app, written + 1, 495).await;
                append(&app, a, EventKind::Paused, 5).await;
                written += 500;
            }
        }
    });
    let mut last = 0;
    let mut connections = 0;
    let mut caught_up = 0;
    while last < ALL {
        let mut stream = Stream::open(address, ADMIN, "/events/stream?after=0", Some(last)).await;
        connections += 1;
        // Never the same number, and not a page's either.
        let wanted = (ALL * connections / CONNECTIONS + connections % 7).min(ALL);
        let began = Instant::now();
        while last < wanted {
            let frame = stream.event().await.expect("the stream goes on");
            let id = frame.id.expect("an id");
            assert_eq!(id, last + 1, "connection {connections}: lost, twice or out of order");
            last = id;
            if last % 997 == 0 {
                let data: Value = serde_json::from_str(&frame.data.unwrap()).unwrap();
                assert_eq!(
                    (data["seq"].as_i64(), data["event_type"].as_str()),
                    (Some(id), frame.event.as_deref())
                );
            }
        }
        caught_up += i32::from(began.elapsed() > Duration::from_millis(1));
    }
    writer.await.unwrap();
    assert!(connections >= 201, "only {connections} connections");
    assert!(caught_up > 0);
}

async fn a_stream_tells_what_the_filter_lets_through(test: TestDatabase) {
    let app = test.app();
    let [a, b] = places(&app).await;
    append(&app, a, EventKind::QaPassed, 3).await;
    let address = serve(Api::new(&app).router()).await;
    let mut of_qa = Stream::open(address, ADMIN, "/events/stream?kind=qa", None).await;
    assert!(of_qa.head.starts_with("HTTP/1.0 200"), "{}", of_qa.head);
    let head = of_qa.head.to_lowercase();
    for line in ["content-type: text/event-stream", "cache-control: no-store", "x-accel-buffering: no"] {
        assert!(head.contains(line), "{line}: {head}");
    }
    let run = format!("/events/stream?protocol_run_id={}&event_type=paused", b.1);
    let mut of_run = Stream::open(address, ADMIN, &run, None).await;
    let project = format!("/events/stream?project_id={}&after=1", a.0);
    let mut of_project = Stream::open(address, ADMIN, &project, None).await;
    // The first frame says where a stream begins, so that what comes before its first event is not lost.
    for (stream, begins) in [(&mut of_qa, 3), (&mut of_run, 0), (&mut of_project, 1)] {
        let first = stream.frame().await.unwrap();
        assert_eq!((first.id, first.data), (Some(begins), None));
    }
    append(&app, b, EventKind::Paused, 1).await;
    append(&app, a, EventKind::Paused, 1).await;
    append(&app, b, EventKind::QaPassed, 1).await;
    let mut ids = Vec::new();
    for (stream, count) in [(&mut of_qa, 1), (&mut of_run, 1), (&mut of_project, 3)] {
        for _ in 0..count {
            ids.push(stream.event().await.unwrap().id.unwrap());
        }
    }
    assert_eq!(ids, [6, 4, 2, 3, 5]);
    let seen = Api::new(&app).get("/events?limit=1").await.json()[0].clone();
    let mut again = Stream::open(address, ADMIN, "/events/stream", Some(5)).await;
    let frame = again.event().await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&frame.data.unwrap()).unwrap(), seen, "as the lists show it");
    assert_eq!(frame.event.as_deref(), Some("qa_passed"));
}

async fn events_of_another_process_are_seen(test: TestDatabase) {
    let app = test.app();
    let [a, _] = places(&app).await;
    let address = serve(Api::new(&app).router()).await;
    let mut stream = Stream::open(address, ADMIN, "/events/stream", None).await;
    assert_eq!(stream.frame().await.unwrap().id, Some(0));
    let elsewhere = App { db: Db::open(&test.url, 1).await.unwrap(), wake: Wake::default(), ..app.clone() };
    let began = Instant::now();
    append(&elsewhere, a, EventKind::Paused, 1).await;
    assert_eq!(stream.event().await.unwrap().id, Some(1));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projects_token_hears_nothing_of_another_project() {
    let test = TestDatabase::sqlite().await;
    let app = test.app();
    let [a, b] = places(&app).await;
    append(&app, b, EventKind::Paused, 4).await;
    append(&app, a, EventKind::Paused, 1).await;
    append(&app, b, EventKind::Paused, 4).await;
    let api = Api::new(&app);
    let (_, token) = token(&api, a.0).await;
    let address = serve(api.router()).await;
    // Whatever id is named, a foreign or a future one, it is a position and says nothing.
    for (last, begins, expected) in [
        (None, 10, vec![14]),
        (Some(2), 2, vec![5, 10, 14, 18]),
        (Some(7), 7, vec![10, 14, 18, 22]),
        (Some(i64::MAX), 22, vec![26]),
    ] {
        let mut stream = Stream::open(address, &token, "/events/stream", last).await;
        assert_eq!(stream.frame().await.unwrap().id, Some(begins), "{last:?}");
        append(&app, b, EventKind::QaPassed, 3).await;
        append(&app, a, EventKind::Resumed, 1).await;
        let mut heard = Vec::new();
        while heard.last() != expected.last() {
            let frame = stream.event().await.unwrap();
            let data: Value = serde_json::from_str(&frame.data.unwrap()).unwrap();
            assert_eq!(data["project_id"], json!(a.0.0));
            heard.push(frame.id.unwrap());
        }
        assert_eq!(heard, expected, "{last:?}");
    }
}

/// A stream is held up right before it listens, and an event is committed meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_between_the_look_and_the_news_is_not_lost() {
    let test = TestDatabase::sqlite().await;
    let app = test.app();
    let [a, _] = places(&app).await;
    let api = Api::new(&app);
    let address = serve(api.router()).await;
    let (release, held) = tokio::sync::oneshot::channel::<()>();
    let (begun, holding) = tokio::sync::oneshot::channel::<()>();
    let holder = tokio::spawn({
        let feed = app.feed.clone();
        async move {
            let start = async |_sender| {
                begun.send(()).unwrap();
                held.await.unwrap();
                Err::<(), ()>(())
            };
            feed.listen(start).await.unwrap_err();
        }
    });
    holding.await.unwrap();
    let mut stream = Stream::open(address, ADMIN, "/events/stream", None).await;
    assert_eq!(stream.frame().await.unwrap().id, Some(0));
    // Time for a stream that looks first.
    for _ in 0..30 {
        assert_eq!(api.get("/events").await.json(), json!([]));
    }
    append(&app, a, EventKind::Paused, 1).await;
    release.send(()).unwrap();
    holder.await.unwrap();
    for _ in 0..30 {
        assert_eq!(api.get("/events").await.json().as_array().unwrap().len(), 1);
    }
    append(&app, a, EventKind::Resumed, 1).await;
    assert_eq!(stream.event().await.unwrap().id, Some(1));
    assert_eq!(stream.event().await.unwrap().id, Some(2));
}

fn paced(app: App, pace: Pace) -> App {
    App { feed: Feed::new(pace), ..app }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_shows_that_it_lives_and_ends_with_its_token() {
    let test = TestDatabase::sqlite().await;
    let app = paced(test.app(), Pace { heartbeat: Duration::from_millis(50), ..Pace::default() });
    let [a, _] = places(&app).await;
    let api = Api::new(&app);
    let (id, token) = token(&api, a.0).await;
    let address = serve(api.router()).await;
    let mut stream = Stream::open(address, &token, "/events/stream", None).await;
    let mut others = Stream::open(address, ADMIN, "/events/stream", None).await;
    stream.frame().await.unwrap();
    for _ in 0..3 {
        let beat = stream.frame().await.unwrap();
        assert!(beat.comment.is_some() && beat.data.is_none(), "{beat:?}");
    }
    // Whether it is told or only found out: the row is all that counts.
    raw(&app.db, &format!("UPDATE access_tokens SET revoked_at = 1 WHERE id = {id}")).await;
    let began = Instant::now();
    while let Some(frame) = stream.frame().await {
        assert!(frame.comment.is_some(), "{frame:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "the stream goes on after its token");
    }
    append(&app, a, EventKind::Paused, 1).await;
    assert_eq!(others.event().await.unwrap().event.as_deref(), Some("paused"), "other streams go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_hears_not_even_that_it_was_revoked() {
    let test = TestDatabase::sqlite().await;
    let app = test.app();
    let [a, _] = places(&app).await;
    let api = Api::new(&app);
    let (id, token) = token(&api, a.0).await;
    let address = serve(api.router()).await;
    let mut stream = Stream::open(address, &token, "/events/stream", None).await;
    let mut others = Stream::open(address, ADMIN, "/events/stream", None).await;
    append(&app, a, EventKind::Paused, 1).await;
    assert_eq!(stream.event().await.unwrap().event.as_deref(), Some("paused"));
    let revoked = api.call("DELETE", &format!("/tokens/{id}")).as_admin().send().await;
    assert_eq!(revoked.status.as_u16(), 204);
    let began = Instant::now();
    assert_eq!(stream.event().await, None, "long before the next heartbeat");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for kind in ["paused", "token_revoked"] {
        assert_eq!(others.event().await.unwrap().event.as_deref(), Some(kind));
    }
}

/// Appends events that are too large to wait in a socket.
async fn append_large(app: &App, place: Place, count: usize) {
    let mut tx = app.db.begin().await.unwrap();
    let context = Context { project: Some(place.0), run: Some(place.1), ..Context::default() };
    let event = Event::run(EventKind::PlanningFailed).with("stdout", "x".repeat(60_000));
    for _ in 0..count {
        store::event::append(&mut tx, &context, &event, NOW);
    }
    tx.commit().await.unwrap();
    app.wake.told();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_told_to_start_anew_and_holds_up_nobody() {
    const EVENTS: i64 = 400;
    let test = TestDatabase::sqlite().await;
    let app = paced(test.app(), Pace { ring: 16, far: 50, ..Pace::default() });
    let [a, _] = places(&app).await;
    let address = serve(Api::new(&app).router()).await;
    let mut slow = Stream::open_narrow(address, ADMIN, "/events/stream").await;
    let mut quick = Stream::open(address, ADMIN, "/events/stream", None).await;
    assert_eq!(quick.frame().await.unwrap().id, Some(0));
    let reading = tokio::spawn(async move {
        let mut ids = Vec::new();
        while ids.last() != Some(&EVENTS) {
            ids.push(quick.event().await.expect("who reads is not cut off").id.unwrap());
        }
        ids
    });
    for _ in 0..EVENTS / 10 {
        append_large(&app, a, 10).await;
        // The writer leaves the quick one time to read.
        tokio::task::yield_now().await;
    }
    assert_eq!(reading.await.unwrap(), (1..=EVENTS).collect::<Vec<_>>(), "a ring of 16 is read up");
    let (mut last, mut end) = (0, None);
    while let Some(frame) = slow.event().await {
        if frame.event.as_deref() == Some("resync") {
            end = Some(frame);
            continue;
        }
        assert!(end.is_none(), "nothing comes after resync");
        assert_eq!(frame.id, Some(last + 1));
        last += 1;
        assert!(last < EVENTS, "it got all and was never told");
    }
    let end = end.expect("told to start anew");
    assert_eq!((end.id, end.data.as_deref()), (None, Some("{}")));
    assert!(last < EVENTS - 50, "it had read up to {last} without reading");
    let mut again = Stream::open(address, ADMIN, "/events/stream", Some(last)).await;
    assert_eq!(again.event().await.unwrap().id, Some(last + 1), "it can go on where it was");
}

mod both {
    use super::on_both;
    on_both!(a_stream_tells_what_the_filter_lets_through, events_of_another_process_are_seen);
}
