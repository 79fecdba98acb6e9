//! The timeline over HTTP: filters, pages, scopes, the check of the chain.

use serde_json::{Value, json};
use tg_core::{
    event::{Event, EventKind},
    ids::{ProjectId, RunId, StepId},
};
use tg_server::{
    app::App,
    store::{self, event::Context},
    testing::api::{Api, Got},
};

use crate::database::{self, NOW, TestDatabase, on_both, raw};

/// A project, a run of it.
pub type Place = (ProjectId, RunId);

/// Two projects with a run each.
pub async fn places(app: &App) -> [Place; 2] {
    let mut tx = app.db.begin().await.unwrap();
    let mut found = Vec::new();
    for name in ["a", "b"] {
        let project = database::project(&mut tx, name).await;
        found.push((project.id, database::run(&mut tx, &project, "0001-x").await.id));
    }
    tx.commit().await.unwrap();
    [found[0], found[1]]
}

/// Appends events to a run, commits, and says so as the product does.
pub async fn append(app: &App, place: Place, kind: EventKind, count: usize) {
    let mut tx = app.db.begin().await.unwrap();
    let context = Context { project: Some(place.0), run: Some(place.1), ..Context::default() };
    for _ in 0..count {
        store::event::append(&mut tx, &context, &Event::run(kind), NOW);
    }
    tx.commit().await.unwrap();
    app.wake.told();
}

/// A token that is limited to a project: its id and text.
pub async fn token(api: &Api, project: ProjectId) -> (i64, String) {
    let new = json!({ "name": format!("of-{project}"), "scope": "project", "project_id": project.0 });
    let made = api.post("/tokens", &new).await;
    assert_eq!(made.status.as_u16(), 201, "{:?}", made.body);
    (made.json()["id"].as_i64().unwrap(), made.json()["token"].as_str().unwrap().to_owned())
}

fn seqs(got: &Got) -> Vec<i64> {
    assert_eq!(got.status.as_u16(), 200, "{:?}", got.body);
    got.json().as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()).collect()
}

async fn lists_are_filtered_and_paged(test: TestDatabase) {
    let app = test.app();
    let api = Api::new(&app);
    let [a, b] = places(&app).await;
    append(&app, a, EventKind::Paused, 3).await;
    append(&app, b, EventKind::QaPassed, 2).await;
    append(&app, a, EventKind::QaPassed, 2).await;

    let all = api.get("/events").await;
    assert_eq!(seqs(&all), [7, 6, 5, 4, 3, 2, 1]);
    let newest = &all.json()[0];
    let shown = [&newest["id"], &newest["event_type"], &newest["project_name"], &newest["protocol_name"]];
    assert_eq!(shown, [&json!(7), &json!("qa_passed"), &json!("a"), &json!("0001-x")]);
    assert_eq!(newest["created_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(api.get("/events").await.body, all.body, "what is kept is what was written");
    for (query, expected) in [
        (format!("project_id={}", b.0), vec![5, 4]),
        (format!("protocol_run_id={}", a.1), vec![7, 6, 3, 2, 1]),
        ("event_type=paused".to_owned(), vec![3, 2, 1]),
        ("kind=qa".to_owned(), vec![7, 6, 5, 4]),
        (format!("kind=qa&project_id={}", a.0), vec![7, 6]),
        (format!("event_type=paused&project_id={}", b.0), vec![]),
        ("event_type=paused&kind=qa".to_owned(), vec![]),
        (format!("project_id={}&protocol_run_id={}", b.0, a.1), vec![]),
        ("kind=qa&limit=3".to_owned(), vec![7, 6, 5]),
    ] {
        assert_eq!(seqs(&api.get(&format!("/events?{query}")).await), expected, "{query}");
    }
    assert_eq!(seqs(&api.get(&format!("/protocols/{}/events", a.1)).await), [7, 6, 3, 2, 1]);

    let mut path = "/events?limit=3&kind=run".to_owned();
    let mut pages = Vec::new();
    append(&app, a, EventKind::Resumed, 5).await;
    loop {
        let page = api.get(&path).await;
        pages.push(seqs(&page));
        let cursor = page.header("x-next-cursor").to_owned();
        if cursor.is_empty() {
            break;
        }
        assert!(page.header("link").contains(&cursor), "{}", page.header("link"));
        path = format!("/events?limit=3&kind=run&cursor={cursor}");
    }
    assert_eq!(pages, [vec![12, 11, 10], vec![9, 8, 3], vec![2, 1]]);

    raw(&app.db, "UPDATE projects SET name = 'renamed' WHERE name = 'a'").await;
    let renamed = api.get("/events").await;
    assert_eq!(renamed.json()[0]["project_name"], "renamed", "a kept event follows its project's name");
    assert_eq!(renamed.json()[11]["project_name"], "renamed");
    assert_eq!(renamed.json()[8]["project_name"], "b");
}

#[tokio::test]
async fn what_cannot_be_listed_is_told() {
    let test = TestDatabase::sqlite().await;
    let app = test.app();
    let api = Api::new(&app);
    let [a, _] = places(&app).await;
    append(&app, a, EventKind::Paused, 1).await;
    for path in [
        "/events?project_id=99",
        "/events?protocol_run_id=99",
        "/events?step_run_id=99",
        "/events?project_id=-1",
        "/protocols/99/events",
        "/protocols/x/events",
        "/steps/99/events",
        "/events/verify?project_id=99",
        "/events/stream?project_id=99",
        "/events/stream?protocol_run_id=99",
        "/events/stream?step_run_id=99",
    ] {
        assert_eq!(api.get(path).await.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    for path in [
        "/events?kind=qaa",
        "/events?event_type=Paused",
        "/events?project_id=x",
        "/events?limit=501",
        "/events?cursor=project-1",
        "/events?after=1",
        "/protocols/1/events?kind=qa",
        "/events/verify?limit=1",
        "/events/stream?limit=1",
        "/events/stream?after=-1",
        "/events/stream?after=x",
        "/events/stream?kind=x",
    ] {
        assert_eq!(api.get(path).await.refusal(), (422, "validation_failed".to_owned()), "{path}");
    }
    for id in ["x", "-1", "1.5", ""] {
        let got = api.call("GET", "/events/stream").as_admin().header("last-event-id", id).send().await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{id}");
    }
}

#[tokio::test]
async fn a_projects_token_lists_that_project_only() {
    let test = TestDatabase::sqlite().await;
    let app = test.app();
    let api = Api::new(&app);
    let [a, b] = places(&app).await;
    // That a token was made is the first event.
    let (_, token) = token(&api, a.0).await;
    append(&app, b, EventKind::Paused, 2).await;
    append(&app, a, EventKind::Paused, 2).await;
    append(&app, b, EventKind::Paused, 2).await;
    // What is kept for the admin is not for everybody.
    api.get("/events?limit=500").await;
    let own = api.call("GET", "/events").token(&token).send().await;
    assert_eq!(seqs(&own), [5, 4, 1]);
    let old = api.call("GET", "/events?cursor=event-3").token(&token).send().await;
    assert_eq!(seqs(&old), [1], "a foreign cursor is only a position");
    let page = api.call("GET", "/events?cursor=event-6&limit=1").token(&token).send().await;
    assert_eq!((seqs(&page), page.header("x-next-cursor")), (vec![5], "event-5"));
    for path in [
        format!("/events?project_id={}", b.0),
        format!("/events?protocol_run_id={}", b.1),
        format!("/protocols/{}/events", b.1),
        format!("/events/stream?project_id={}", b.0),
        format!("/events/stream?protocol_run_id={}", b.1),
    ] {
        let got = api.call("GET", &path).token(&token).send().await;
        assert_eq!(got.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    let verify = api.call("GET", "/events/verify").token(&token).send().await;
    assert_eq!(verify.refusal(), (403, "forbidden".to_owned()));
}

async fn a_steps_events_are_listed(test: TestDatabase) {
    let app = test.app();
    let api = Api::new(&app);
    let [a, _] = places(&app).await;
    raw(
        &app.db,
        &format!(
            "INSERT INTO step_runs (id, protocol_run_id, step_index, step_name, step_type, status, created_at, \
             updated_at, retries, runtime_state) VALUES (7, {}, 0, '01-a.md', 'work', 'pending', 1, 1, 0, '{{}}')",
            a.1
        ),
    )
    .await;
    let mut tx = app.db.begin().await.unwrap();
    let context = Context { project: Some(a.0), run: Some(a.1), ..Context::default() };
    for kind in [EventKind::StepStarted, EventKind::StepCompleted] {
        store::event::append(&mut tx, &context, &Event::step(kind, StepId(7)), NOW);
        store::event::append(&mut tx, &context, &Event::run(EventKind::Paused), NOW);
    }
    tx.commit().await.unwrap();
    assert_eq!(seqs(&api.get("/steps/7/events").await), [3, 1]);
    assert_eq!(seqs(&api.get("/events?step_run_id=7&event_type=step_started").await), [1]);
}

async fn the_chain_is_checked_and_tampering_is_named(test: TestDatabase) {
    let app = test.app();
    let api = Api::new(&app);
    let [a, b] = places(&app).await;
    append(&app, a, EventKind::Paused, 600).await;
    append(&app, b, EventKind::Paused, 10).await;
    let check = async |query: &str| -> Value { api.get(&format!("/events/verify{query}")).await.json() };
    let of_a = format!("?project_id={}", a.0);
    assert_eq!(check("").await, json!({ "ok": true, "checked": 610, "first_bad_seq": null }));
    assert_eq!(check(&of_a).await["checked"], 600);
    raw(&app.db, "UPDATE events SET actor = 'eve' WHERE seq = 555").await;
    assert_eq!(check("").await, json!({ "ok": false, "checked": 554, "first_bad_seq": 555 }));
    assert_eq!(check(&of_a).await["first_bad_seq"], 555);
    assert_eq!(check(&format!("?project_id={}", b.0)).await["ok"], true);
    let got = api.get("/events/verify").await;
    assert_eq!(got.header("content-type"), "application/json");
}

mod both {
    use super::on_both;
    on_both!(
        lists_are_filtered_and_paged,
        a_steps_events_are_listed,
        the_chain_is_checked_and_tampering_is_named,
    );
}
