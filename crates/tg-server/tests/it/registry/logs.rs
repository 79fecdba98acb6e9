//! Logs as a whole, by range, by piece and as they grow.

use std::time::Duration;

use serde_json::{Value, json};
use tg_core::ids::CallId;
use tg_server::testing::api::Api;

use super::{append, finished, started, world};

async fn range(api: &Api, asked: &str) -> (u16, String, String) {
    let got = api.call("GET", "/runs/mine/logs").as_admin().header("range", asked).send().await;
    let body = String::from_utf8_lossy(&got.body).into_owned();
    let body = if got.status.is_success() { body } else { got.refusal().1 };
    (got.status.as_u16(), got.header("content-range").to_owned(), body)
}

#[tokio::test]
async fn a_range_of_a_log_is_sent_alone() {
    let (_app, api) = world().await;
    started(&api, "mine").await;
    let told = |status: u16, range: &str, body: &str| (status, range.to_owned(), body.to_owned());
    let nothing = || told(416, "bytes */0", "range_not_satisfiable");
    assert_eq!(range(&api, "bytes=0-").await, nothing(), "an empty log has no range");
    append(&api, "mine", "0123456789").await;
    for (asked, expected) in [
        ("bytes=0-3", told(206, "bytes 0-3/10", "0123")),
        ("bytes=4-", told(206, "bytes 4-9/10", "456789")),
        ("bytes=-2", told(206, "bytes 8-9/10", "89")),
        ("bytes=9-100", told(206, "bytes 9-9/10", "9")),
        ("bytes=10-", told(416, "bytes */10", "range_not_satisfiable")),
        ("bytes=0-1,4-5", told(200, "", "0123456789")),
        ("lines=1-2", told(200, "", "0123456789")),
    ] {
        assert_eq!(range(&api, asked).await, expected, "{asked}");
    }
    let whole = api.get("/runs/mine/logs").await;
    assert_eq!((whole.header("accept-ranges"), whole.header("content-length")), ("bytes", "10"));
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    let head = api.call("HEAD", "/runs/mine/logs").as_admin().send().await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn a_long_log_comes_whole_in_chunks() {
    let (_app, api) = world().await;
    started(&api, "mine").await;
    let line = "0123456789abcdef".repeat(4096);
    for _ in 0..20 {
        assert_eq!(append(&api, "mine", line.clone()).await.status, 200);
    }
    let got = api.get("/runs/mine/logs").await;
    assert_eq!(got.body.len(), 20 * line.len());
    assert_eq!(got.body.as_ref(), line.repeat(20).as_bytes());
    let tail = api.get("/runs/mine/logs/tail?max_bytes=1000000").await.json();
    assert_eq!(tail["next_offset"], 1_000_000);
    assert_eq!((&tail["eof"], &tail["finished"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn a_log_has_a_bound() {
    let app = tg_server::testing::app::Setup::new(crate::journey::SHIM)
        .set("TASKSGODZILLA_RUN_LOG_MAX_BYTES", "65536")
        .make()
        .await;
    let api = Api::new(&app.app);
    started(&api, "mine").await;
    assert_eq!(append(&api, "mine", "x".repeat(65_000)).await.status, 200);
    assert_eq!(append(&api, "mine", "x".repeat(1_000)).await.refusal(), (413, "log_full".to_owned()));
    assert_eq!(append(&api, "mine", "x".repeat(536)).await.json(), json!({"next_offset": 65_536}));
    assert_eq!(append(&api, "mine", "x".repeat(2 * 1024 * 1024)).await.refusal().0, 413);
}

#[tokio::test]
async fn a_piece_is_asked_for_within_bounds() {
    let (app, api) = world().await;
    started(&api, "mine").await;
    for query in ["max_bytes=1023", "max_bytes=1000001", "offset=-1", "offset=x", "lines=4", "max_bytes=-5"] {
        let got = api.get(&format!("/runs/mine/logs/tail?{query}")).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{query}");
    }
    for query in ["poll_interval_ms=199", "poll_interval_ms=10001", "offset=-1"] {
        let got = api.get(&format!("/runs/mine/logs/stream?{query}")).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{query}");
    }
    let got = api.get("/runs/mine/logs/tail?offset=99").await.json();
    let expected = json!({"run_id": "mine", "offset": 99, "next_offset": 99, "eof": true, "finished": false,
        "chunk": ""});
    assert_eq!(got, expected);
    finished(&api, "mine").await;
    std::fs::remove_file(app.app.config.home.call_log(&CallId("mine".to_owned()))).unwrap();
    for route in ["logs", "logs/tail", "logs/stream"] {
        let got = api.get(&format!("/runs/mine/{route}")).await;
        assert_eq!(got.refusal(), (404, "log_unavailable".to_owned()), "{route}");
    }
}

/// Frames of a stream: kind and data.
fn frames(text: &str) -> Vec<(String, Value)> {
    let field = |frame: &str, name: &str| {
        frame.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
    };
    text.split("\n\n")
        .filter(|frame| frame.contains("event: "))
        .map(|frame| (field(frame, "event: "), serde_json::from_str(&field(frame, "data: ")).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_tells_what_was_there_then_what_comes_and_ends_once() {
    let (app, api) = world().await;
    started(&api, "mine").await;
    append(&api, "mine", "earlier \u{1f980}\n".repeat(20_000)).await;
    let readers: Vec<_> = ["/runs", "/codex/runs", "/runs"]
        .into_iter()
        .map(|prefix| {
            let api = api.clone();
            let path = format!("{prefix}/mine/logs/stream?poll_interval_ms=200");
            tokio::spawn(async move { api.get(&path).await })
        })
        .collect();
    for number in 0..30 {
        let text = format!("line {number} é\n").into_bytes();
        // Cut in the middle of a character.
        let cut = text.len() - 2;
        append(&api, "mine", text[..cut].to_vec()).await;
        append(&api, "mine", text[cut..].to_vec()).await;
    }
    append(&api, "mine", vec![b'x', 0xe2, 0x82]).await;
    assert_eq!(finished(&api, "mine").await.status, 200);
    let log = std::fs::read(app.app.config.home.call_log(&CallId("mine".to_owned()))).unwrap();
    for reader in readers {
        let got = tokio::time::timeout(Duration::from_secs(20), reader).await.expect("it ends").unwrap();
        assert_eq!(got.header("content-type"), "text/event-stream");
        let text = String::from_utf8(got.body.to_vec()).unwrap();
        let frames = frames(&text);
        let ends: Vec<usize> = (0..frames.len()).filter(|&at| frames[at].0 == "end").collect();
        assert_eq!(ends, [frames.len() - 1], "it ends once, at the end");
        let told: String =
            frames.iter().map(|(_, data)| data["chunk"].as_str().unwrap_or_default()).collect();
        assert_eq!(told, String::from_utf8_lossy(&log), "each byte once");
        let mut at = 0;
        for (_, data) in &frames[..frames.len() - 1] {
            assert_eq!(data["offset"], at, "no gap and no repeat");
            at = data["next_offset"].as_u64().unwrap();
            assert!(data["chunk"].as_str().unwrap().len() <= 65_536 * 3);
        }
        assert_eq!(frames.last().unwrap().1, json!({"run_id": "mine", "next_offset": log.len()}));
    }
    let resumed = api.call("GET", "/runs/mine/logs/stream?offset=5").as_admin();
    let resumed = resumed.header("last-event-id", &(log.len() - 3).to_string()).send().await;
    let text = String::from_utf8(resumed.body.to_vec()).unwrap();
    assert_eq!(frames(&text)[0].1["chunk"], "x\u{fffd}", "a reader that comes back goes on where it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_does_not_read_costs_one_piece() {
    use futures_util::StreamExt as _;
    let (_app, api) = world().await;
    started(&api, "mine").await;
    for _ in 0..8 {
        append(&api, "mine", "x".repeat(1024 * 1024 - 1)).await;
    }
    let response = api.call("GET", "/runs/mine/logs/stream").as_admin().open().await;
    let mut body = response.into_body().into_data_stream();
    let first = body.next().await.unwrap().unwrap();
    assert!(first.len() < 70_000, "a frame holds one piece, not the log: {}", first.len());
    append(&api, "mine", "the end\n").await;
    finished(&api, "mine").await;
    let mut count = 1;
    while let Some(frame) = body.next().await {
        assert!(frame.unwrap().len() < 70_000);
        count += 1;
    }
    assert!(count > 100, "eight megabytes in pieces: {count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_come_at_once_are_whole_each() {
    let (_app, api) = world().await;
    started(&api, "mine").await;
    let tasks: Vec<_> = (0..8)
        .map(|number: u8| {
            let api = api.clone();
            let text = char::from(b'a' + number).to_string().repeat(3000) + "\n";
            tokio::spawn(
                async move { append(&api, "mine", text).await.json()["next_offset"].as_u64().unwrap() },
            )
        })
        .collect();
    let mut offsets = Vec::new();
    for task in tasks {
        offsets.push(task.await.unwrap());
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (1..=8).map(|n| n * 3001).collect::<Vec<u64>>(), "each tells where it ended");
    let log = String::from_utf8(api.get("/runs/mine/logs").await.body.to_vec()).unwrap();
    for line in log.lines() {
        assert!(line.len() == 3000 && line.chars().all(|c| line.starts_with(c)), "a text was torn");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_reads_no_further() {
    use futures_util::StreamExt as _;
    let (app, api) = world().await;
    let token = super::member(&api, app.project.id).await;
    let new = json!({"job_type": "build", "run_id": "mine", "project_id": app.project.id.0});
    assert_eq!(api.post("/runs/start", &new).await.status, 201);
    append(&api, "mine", "before\n").await;
    let response = api.call("GET", "/runs/mine/logs/stream?poll_interval_ms=200").token(&token).open().await;
    let mut body = response.into_body().into_data_stream();
    let first = String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.contains("before"), "{first}");
    let tokens = api.get("/tokens").await.json();
    let revoked = api.call("DELETE", &format!("/tokens/{}", tokens[0]["id"])).as_admin().send().await;
    assert_eq!(revoked.status, 204, "{tokens}");
    append(&api, "mine", "after\n").await;
    let rest = async {
        let mut rest = String::new();
        while let Some(frame) = body.next().await {
            rest.push_str(&String::from_utf8_lossy(&frame.unwrap()));
        }
        rest
    };
    let rest = tokio::time::timeout(Duration::from_secs(20), rest).await.expect("the stream ends");
    assert_eq!(rest, "", "nothing is read after the token is gone");
}
