//! Actions over HTTP: each from each status, by the tables of the lifecycle; many at once; and who
//! caused what, down to the jobs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tg_core::{
    job::Job,
    lifecycle::{Enqueue, Signal},
    status::{ProtocolStatus, RunMove},
    step::{StepMove, StepStatus},
};
use tg_server::{app::App, queue, testing::api::Api};

use super::{
    protocols::{door, events, foreign, set_run},
    world,
};
use crate::database::{TestDatabase, on_both, raw, try_raw};

/// Rows that an action may write, as text: nothing of them changes when it is refused.
async fn rows(app: &App, api: &Api) -> String {
    let run = api.get("/protocols/1").await.json();
    let steps = api.get("/protocols/1/steps").await.json();
    let mut tx = app.db.read().await.unwrap();
    let jobs = queue::list(&mut tx, None, 100).await.unwrap();
    drop(tx);
    format!("{run}\n{steps}\n{jobs:?}\n{}", events(app).await.len())
}

/// Puts step 1 into a status, and takes every job away.
async fn set_step(test: &TestDatabase, status: StepStatus) {
    let ended = matches!(status, StepStatus::Completed | StepStatus::Failed | StepStatus::Cancelled);
    let finished = if ended { "1" } else { "NULL" };
    raw(&test.db, "DELETE FROM jobs").await;
    let text = format!("UPDATE step_runs SET status = '{status}', finished_at = {finished} WHERE id = 1");
    assert_eq!(raw(&test.db, &text).await, 1);
}

async fn with_step(test: &TestDatabase) -> (App, Api) {
    let (app, api) = door(test).await;
    raw(&test.db, "UPDATE protocol_runs SET auto_advance = 0").await;
    let step = json!({"step_index": 0, "step_name": "01-a.md", "step_type": "work"});
    assert_eq!(api.post("/protocols/1/steps", &step).await.status, 201);
    (app, api)
}

/// A refusal that names both sides and left nothing behind.
async fn is_refused(app: &App, api: &Api, path: &str, before: &str, current: &str, legal: &[&str]) {
    let got = api.call("POST", path).as_admin().send().await;
    assert_eq!(
        got.refusal(),
        (409, "illegal_transition".to_owned()),
        "{path} from {current}: {}",
        got.json()
    );
    let problem = got.json();
    assert_eq!((&problem["current"], &problem["legal_from"]), (&json!(current), &json!(legal)), "{path}");
    assert_eq!(problem["id"], 1);
    assert!(problem["entity"].is_string() && problem["requested"].is_string());
    assert_eq!(rows(app, api).await, before, "{path} from {current} left something");
}

async fn every_action_on_a_run_from_every_status(test: TestDatabase) {
    let (app, api) = with_step(&test).await;
    let actions = [
        ("start", RunMove::Start, StepStatus::Pending, None),
        ("pause", RunMove::Pause, StepStatus::Pending, Some(ProtocolStatus::Paused)),
        ("resume", RunMove::Resume, StepStatus::Pending, None),
        ("cancel", RunMove::Cancel, StepStatus::Pending, Some(ProtocolStatus::Cancelled)),
        ("run_next_step", RunMove::StepQueued, StepStatus::Pending, None),
        ("retry_latest", RunMove::StepQueued, StepStatus::Failed, None),
        ("open_pr", RunMove::OpenPr, StepStatus::Failed, None),
    ];
    let mut tried = BTreeMap::from([(200, 0), (409, 0)]);
    for (word, by, step, quiet) in actions {
        for status in ProtocolStatus::ALL {
            set_step(&test, step).await;
            set_run(&test, *status).await;
            let before = rows(&app, &api).await;
            let path = format!("/protocols/1/actions/{word}");
            if by.row().from.contains(status) || quiet == Some(*status) {
                let got = api.call("POST", &path).as_admin().send().await;
                assert_eq!(got.status, 200, "{word} from {status}: {}", got.json());
                let shows_run = matches!(word, "pause" | "resume" | "cancel");
                assert_eq!(got.json()["protocol_name"].is_string(), shows_run, "{word}");
                assert_eq!(got.json()["job"]["status"] == "queued", !shows_run, "{word}: {}", got.json());
                assert_eq!(rows(&app, &api).await == before, quiet == Some(*status), "{word} from {status}");
                *tried.entry(200).or_default() += 1;
            } else {
                let legal: Vec<&str> = by.row().from.iter().map(|from| from.as_str()).collect();
                is_refused(&app, &api, &path, &before, status.as_str(), &legal).await;
                *tried.entry(409).or_default() += 1;
            }
        }
    }
    assert_eq!(tried.values().sum::<i32>(), 63);
    assert!(tried[&200] > 20 && tried[&409] > 20, "{tried:?}");
    let unknown = api.call("POST", "/protocols/1/actions/delete").as_admin().send().await;
    assert_eq!(unknown.refusal(), (404, "not_found".to_owned()));
}

async fn every_action_on_a_step_from_every_status(test: TestDatabase) {
    let (app, api) = with_step(&test).await;
    set_run(&test, ProtocolStatus::Running).await;
    for (word, by) in [("run", StepMove::Run), ("run_qa", StepMove::RunQa), ("approve", StepMove::Approve)] {
        for status in StepStatus::ALL {
            set_run(&test, ProtocolStatus::Running).await;
            set_step(&test, *status).await;
            let before = rows(&app, &api).await;
            let path = format!("/steps/1/actions/{word}");
            if by.row().from.contains(status) {
                let got = api.call("POST", &path).as_admin().send().await;
                assert_eq!(got.status, 200, "{word} from {status}: {}", got.json());
                let told = events(&app).await;
                assert!(told.iter().all(|event| event.actor.as_deref() == Some("admin")));
            } else {
                let legal: Vec<&str> = by.row().from.iter().map(|from| from.as_str()).collect();
                is_refused(&app, &api, &path, &before, status.as_str(), &legal).await;
            }
        }
    }
}

async fn refusals_that_are_no_transition_have_their_own_words(test: TestDatabase) {
    let (app, api) = with_step(&test).await;
    set_run(&test, ProtocolStatus::Running).await;
    let other = json!({"step_index": 1, "step_name": "02-b.md", "step_type": "work", "status": "needs_qa"});
    assert_eq!(api.post("/protocols/1/steps", &other).await.status, 201);
    assert_eq!(api.post("/steps/1/actions/run", &json!({})).await.status, 200);
    let before = rows(&app, &api).await;
    let active = (409, "step_already_active".to_owned());
    let got = api.post("/steps/2/actions/run_qa", &json!({})).await;
    assert_eq!((got.refusal(), &got.json()["active_step_id"]), (active.clone(), &json!(1)));
    assert_eq!(api.post("/protocols/1/actions/run_next_step", &json!({})).await.refusal(), active);
    assert_eq!(rows(&app, &api).await, before);
    set_step(&test, StepStatus::Completed).await;
    assert_eq!(api.post("/steps/2/actions/run_qa", &json!({})).await.status, 200);
    let got = api.post("/steps/2/actions/run_qa", &json!({})).await;
    assert_eq!(got.refusal(), (409, "qa_already_queued".to_owned()));
    raw(&test.db, "DELETE FROM jobs").await;
    for word in ["run_next_step", "retry_latest"] {
        let got = api.post(&format!("/protocols/1/actions/{word}"), &json!({})).await;
        assert_eq!(got.refusal(), (404, "no_step_ready".to_owned()), "{word}");
    }
    for (path, body, place) in [
        ("/protocols/1/actions/start", json!({"reason": "x"}), "reason"),
        ("/protocols/1/actions/pause", json!({"why": "x"}), "why"),
        ("/protocols/1/actions/cancel", json!({"reason": "a\u{0}"}), "reason"),
        ("/protocols/1/actions/cancel", json!({"reason": "x".repeat(2001)}), "reason"),
        ("/steps/1/actions/approve", json!({"note": 5}), "note"),
    ] {
        let got = api.post(path, &body).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{path} {body}");
        assert_eq!(got.json()["errors"][0]["loc"], json!(["body", place]));
    }
    raw(&test.db, "UPDATE protocol_runs SET status = 'completed', finished_at = 1").await;
    raw(&test.db, "UPDATE projects SET archived_at = 1").await;
    let got = api.post("/protocols/1/actions/open_pr", &json!({})).await;
    assert_eq!(got.refusal(), (409, "project_archived".to_owned()));
}

async fn run_next_looks_for_a_stuck_step_first(test: TestDatabase) {
    let (app, api) = with_step(&test).await;
    set_run(&test, ProtocolStatus::Running).await;
    set_step(&test, StepStatus::Running).await;
    raw(&test.db, "UPDATE step_runs SET updated_at = 1").await;
    let got = api.post("/protocols/1/actions/run_next_step", &json!({})).await;
    assert_eq!(got.status, 200, "{}", got.json());
    let kinds: Vec<String> = events(&app).await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(kinds[1..], ["step_stuck_watchdog", "step_enqueued"]);
}

/// Eight at once: one wins, seven are refused, one change is told.
async fn race(app: &App, api: &Api, path: &str) {
    let before = events(app).await.len();
    let racers: Vec<_> =
        (0..8).map(|_| tokio::spawn(api.call("POST", path).as_admin().json(&json!({})).send())).collect();
    let mut statuses = Vec::new();
    for racer in racers {
        let got = racer.await.unwrap();
        let (status, code) = got.refusal();
        let known = ["", "illegal_transition", "step_already_active", "qa_already_queued"];
        assert!(known.contains(&code.as_str()), "{path}: {status} {code}");
        statuses.push(status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409], "{path}");
    let told = events(app).await.split_off(before);
    let first = told.iter().filter(|event| !event.metadata["transitions"].is_null()).count();
    assert_eq!(first, 1, "{path}: {told:?}");
}

/// Rounds of each race on each database. By hand: `TASKSGODZILLA_TEST_ROUNDS=10000`.
#[expect(clippy::disallowed_methods, reason = "a longer run is asked for by hand")]
fn rounds() -> usize {
    std::env::var("TASKSGODZILLA_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(30)
}

async fn of_eight_who_race_exactly_one_wins(test: TestDatabase) {
    let (app, api) = with_step(&test).await;
    for round in 0..rounds() {
        // The timeline of a long run is cut, so that looking at all of it stays cheap.
        if round % 20 == 19 {
            for table in ["events", "event_chains"] {
                raw(&test.db, &format!("DELETE FROM {table}")).await;
            }
        }
        for (path, run, step) in [
            ("/protocols/1/actions/start", ProtocolStatus::Pending, StepStatus::Pending),
            ("/protocols/1/actions/run_next_step", ProtocolStatus::Planned, StepStatus::Pending),
            ("/protocols/1/actions/retry_latest", ProtocolStatus::Blocked, StepStatus::Failed),
            ("/protocols/1/actions/resume", ProtocolStatus::Paused, StepStatus::Pending),
            ("/steps/1/actions/run", ProtocolStatus::Running, StepStatus::Failed),
            ("/steps/1/actions/run_qa", ProtocolStatus::Running, StepStatus::Blocked),
            ("/steps/1/actions/approve", ProtocolStatus::Running, StepStatus::NeedsQa),
        ] {
            set_run(&test, run).await;
            set_step(&test, step).await;
            if step == StepStatus::NeedsQa {
                // A second step keeps the run open, so that the others meet the step and not the run.
                let extra = "INSERT INTO step_runs (protocol_run_id, step_index, step_name, step_type, status, \
                             runtime_state, created_at, updated_at) VALUES (1, 1, 'b', 'work', 'pending', '{}', 1, 1)";
                drop(try_raw(&test.db, extra).await);
            }
            race(&app, &api, path).await;
        }
    }
}

async fn of_eight_with_the_same_words_each_gets_a_number_of_its_own(test: TestDatabase) {
    let (_, api) = door(&test).await;
    let body = json!({"short_name": "same"});
    let racers: Vec<_> = (0..8)
        .map(|_| tokio::spawn(api.call("POST", "/projects/1/protocols").as_admin().json(&body).send()))
        .collect();
    let mut names = Vec::new();
    for racer in racers {
        let got = racer.await.unwrap();
        assert_eq!(got.status, 201, "{}", got.json());
        names.push(got.json()["protocol_name"].as_str().unwrap().to_owned());
    }
    names.sort_unstable();
    let expected: Vec<String> = (2..10).map(|number| format!("{number:04}-same")).collect();
    assert_eq!(names, expected);
}

async fn a_projects_own_token_acts_in_its_name(test: TestDatabase) {
    let (app, api) = with_step(&test).await;
    let other = foreign(&app, &api).await;
    let body = json!({"name": "mine", "scope": "project", "project_id": 1});
    let token = api.post("/tokens", &body).await.json()["token"].as_str().unwrap().to_owned();
    let start = |token: String| api.call("POST", "/protocols/1/actions/start").token(&token).send();
    assert_eq!(start(other).await.refusal(), (404, "not_found".to_owned()));
    assert_eq!(start(token).await.status, 200);
    let told = events(&app).await.pop().unwrap();
    assert_eq!((told.event_type.as_str(), told.actor.as_deref()), ("planning_enqueued", Some("token:mine")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_request_is_named_by_every_event_it_causes_down_to_the_jobs() {
    let world = world().await;
    let api = Api::new(&world.app);
    let new =
        json!({"short_name": "hello", "engine": "dummy", "auto_advance": true, "description": "Say hello"});
    let path = format!("/projects/{}/protocols", world.project.id);
    let run = api.post(&path, &new).await.json()["id"].as_i64().unwrap();
    let start = format!("/protocols/{run}/actions/start");
    let got = api.call("POST", &start).as_admin().header("x-request-id", "why-not.1").send().await;
    assert_eq!(got.status, 200, "{}", got.json());
    assert_eq!(got.json()["job"]["meta"]["request_id"], "why-not.1");
    world.run_pending_jobs().await;
    let run = tg_core::ids::RunId(run);
    let told = world.events(run).await;
    let after: Vec<_> = told.iter().skip_while(|event| event.event_type != "planning_enqueued").collect();
    assert!(after.len() > 10, "{told:?}");
    for event in after {
        assert_eq!(event.metadata["request_id"], "why-not.1", "{}", event.event_type);
        let by_person = event.event_type == "planning_enqueued";
        assert_eq!(event.actor.as_deref(), by_person.then_some("admin"), "{}", event.event_type);
    }
    let queued =
        api.post(&format!("/protocols/{run}/actions/open_pr"), &Value::Object(serde_json::Map::new())).await;
    assert_eq!(queued.json()["job"]["job_type"], "open_pr_job", "{}", queued.json());
    let same = world.signal(run, Signal::OpenPullRequest).await.unwrap();
    assert_eq!(same[0].enqueue, Vec::<Enqueue>::new(), "its push is queued already");
    let again = api.post(&format!("/protocols/{run}/actions/open_pr"), &json!({})).await;
    assert_eq!(again.json()["job"]["job_id"], queued.json()["job"]["job_id"]);
    world.run_pending_jobs().await;
    let kinds: Vec<_> = world.events(run).await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(kinds.last().map(String::as_str), Some("open_pr"));
    assert_eq!(world.run(run).await.status, ProtocolStatus::Completed);
    assert_eq!(Job::OpenPullRequest { protocol_run_id: run }.kind(), "open_pr_job");
}

mod both {
    use super::on_both;
    on_both!(
        every_action_on_a_run_from_every_status,
        every_action_on_a_step_from_every_status,
        refusals_that_are_no_transition_have_their_own_words,
        run_next_looks_for_a_stuck_step_first,
        of_eight_who_race_exactly_one_wins,
        of_eight_with_the_same_words_each_gets_a_number_of_its_own,
        a_projects_own_token_acts_in_its_name,
    );
}
