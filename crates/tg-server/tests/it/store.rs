//! What the store promises, on both databases: rows come back as written, nobody sees another project,
//! nothing wrong is stored or read, and the timeline is whole.

mod group;
mod review;
mod schema;
mod timeline;

use std::time::Duration;

use serde_json::json;
use tg_core::{
    event::{Event, EventKind},
    ids::{CallId, RunId},
    job::{Job, Priority},
    lifecycle::{self, Enqueue, PlannedStep, Signal},
    protocol::{CallStatus, Confinement, PullRequestState, Usage},
    scope::Scope,
    status::{ProtocolStatus, ReasonCode, StatusReason},
    step::{StepStatus, StepType},
};
use tg_server::{
    db::Db,
    queue::{self, Lease},
    store::{
        self, StoreError,
        artifact::NewArtifact,
        call::CallEnd,
        event::{Context, Filter},
        project::NewProject,
        protocol::FlowSettings,
    },
};

use crate::database::{self, NOW, TestDatabase, on_both, raw};

const SETTINGS: FlowSettings =
    FlowSettings { auto_qa_after_exec: false, auto_qa_on_ci: false, max_loop_iterations: 5 };

async fn lease(db: &Db, run: RunId) -> Lease {
    let mut tx = db.begin().await.unwrap();
    let what = Enqueue { job: Job::PlanProtocol { protocol_run_id: run }, priority: Priority::Automatic };
    queue::enqueue(&mut tx, &what, None, Duration::ZERO, None).await.unwrap();
    let lease = queue::claim(&mut tx, "worker-a", Duration::from_secs(30), 9).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    lease
}

fn planned(index: i64, name: &str) -> PlannedStep {
    PlannedStep {
        index,
        name: name.to_owned(),
        step_type: StepType::Work,
        engine_id: Some("dummy".to_owned()),
        model: None,
        summary: Some("does something".to_owned()),
        policy: None,
    }
}

/// Plans a run through the real rules, so that its rows are what the product writes.
async fn plan(db: &Db, run: RunId, steps: Vec<PlannedStep>) {
    let mut tx = db.begin().await.unwrap();
    for signal in [Signal::Start, Signal::PlanReady { steps, detail: serde_json::Map::new(), events: vec![] }]
    {
        let flow = store::protocol::flow(&mut tx, run, SETTINGS, None).await.unwrap();
        let decision = lifecycle::decide(&flow, &signal).unwrap();
        store::protocol::apply(&mut tx, &decision, NOW).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn projects_and_runs_come_back_as_written(test: TestDatabase) {
    let (project, run) = database::seeded(&test.db).await;
    let mut tx = test.db.begin().await.unwrap();
    assert_eq!(store::project::load(&mut tx, &Scope::All, project.id).await.unwrap(), project);
    assert_eq!(project.default_models.planning.as_deref(), Some("big"));
    let second = database::project(&mut tx, "second").await;
    let all =
        store::project::list(&mut tx, &Scope::All, store::project::Filter::default(), 10).await.unwrap();
    assert_eq!(all, [second.clone(), project.clone()], "newest first");
    assert_eq!(
        store::project::list(&mut tx, &Scope::All, store::project::Filter::default(), 1).await.unwrap(),
        std::slice::from_ref(&second)
    );

    let stored = store::protocol::load(&mut tx, &Scope::All, run).await.unwrap();
    assert_eq!(
        (stored.protocol_name.as_str(), stored.status, stored.auto_advance, stored.sandbox_off),
        ("0001-hello", ProtocolStatus::Pending, true, false)
    );
    assert_eq!((stored.description.as_deref(), stored.created_at), (Some("Say hello"), NOW));
    let newer = database::run(&mut tx, &project, "0002-more").await;
    let others = database::run(&mut tx, &second, "0001-hello").await;
    let of_project = store::protocol::list(&mut tx, &Scope::All, Some(project.id), 10).await.unwrap();
    assert_eq!(of_project, [newer.clone(), stored.clone()]);
    let all = store::protocol::list(&mut tx, &Scope::All, None, 2).await.unwrap();
    assert_eq!(all, [others, newer]);
    assert_eq!(store::protocol::names(&mut tx, project.id).await.unwrap(), ["0001-hello", "0002-more"]);
    assert_eq!(
        store::protocol::open_runs(&mut tx, 2).await.unwrap(),
        [],
        "nothing is missed for pending ones"
    );
    let text = "UPDATE protocol_runs SET status = 'running' WHERE id > $1";
    tx.commit().await.unwrap();
    raw(&test.db, &text.replace("$1", &run.0.to_string())).await;
    let mut tx = test.db.begin().await.unwrap();
    let open = store::protocol::open_runs(&mut tx, 1).await.unwrap();
    assert_eq!(open, [RunId(run.0 + 1)], "oldest first");
}

async fn a_repository_finds_its_project(test: TestDatabase) {
    let mut tx = test.db.begin().await.unwrap();
    let mut new = NewProject {
        name: "mine".to_owned(),
        git_url: "https://example.test/a.git".to_owned(),
        local_path: Some("/home/me/a".to_owned()),
        base_branch: "main".to_owned(),
        ci_provider: None,
        default_models: tg_core::project::ModelDefaults::default(),
    };
    let local = store::project::insert(&mut tx, &new, NOW).await.unwrap();
    new.local_path = None;
    let remote = store::project::insert(&mut tx, &new, NOW).await.unwrap();
    let url = "https://example.test/a.git";
    assert_eq!(store::project::find(&mut tx, url, Some("/home/me/a")).await.unwrap(), Some(local));
    assert_eq!(store::project::find(&mut tx, url, Some("/home/me/b")).await.unwrap(), None);
    assert_eq!(store::project::find(&mut tx, url, None).await.unwrap(), Some(remote));
    assert_eq!(store::project::find(&mut tx, "https://example.test/b.git", None).await.unwrap(), None);
}

async fn what_a_job_records_comes_back(test: TestDatabase) {
    use store::{protocol, step};

    let (_, run) = database::seeded(&test.db).await;
    plan(&test.db, run, vec![planned(0, "01-one.md"), planned(1, "02-two.md")]).await;
    let lease = lease(&test.db, run).await;
    let config = json!({ "protocol_spec": { "steps": [] } });
    let mut tx = test.db.begin().await.unwrap();
    protocol::set_worktree(&mut tx, &lease, run, "/w/1", ".protocols/0001-hello", "aaa", NOW + 1)
        .await
        .unwrap();
    protocol::set_spec(&mut tx, &lease, run, &config, "0123456789ab", NOW + 2).await.unwrap();
    protocol::set_confinement(&mut tx, &lease, run, Confinement::Bwrap, NOW + 3).await.unwrap();
    protocol::set_heads(&mut tx, &lease, run, "bbb", Some("bbb"), NOW + 4).await.unwrap();
    protocol::set_heads(&mut tx, &lease, run, "ccc", None, NOW + 5).await.unwrap();
    let stored = protocol::load(&mut tx, &Scope::All, run).await.unwrap();
    assert_eq!(
        (stored.worktree_path.as_deref(), stored.protocol_root.as_deref(), stored.base_sha.as_deref()),
        (Some("/w/1"), Some(".protocols/0001-hello"), Some("aaa"))
    );
    assert_eq!((stored.template_config, stored.spec_hash.as_deref()), (Some(config), Some("0123456789ab")));
    assert_eq!((stored.head_sha.as_deref(), stored.pushed_sha.as_deref()), (Some("ccc"), Some("bbb")));
    assert_eq!((stored.confinement, stored.updated_at), (Some(Confinement::Bwrap), NOW + 5));

    let steps = step::list(&mut tx, &Scope::All, run).await.unwrap();
    assert_eq!(
        steps.iter().map(|step| step.step_name.as_str()).collect::<Vec<_>>(),
        ["01-one.md", "02-two.md"]
    );
    assert_eq!((steps[0].status, steps[0].engine_id.as_deref()), (StepStatus::Pending, Some("dummy")));
    let refused = step::set_started(&mut tx, &lease, steps[0].id, "aaa", NOW).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "a pending step does not start: {refused:?}");
    tx.commit().await.unwrap();

    raw(&test.db, "UPDATE step_runs SET status = 'running' WHERE step_index = 0").await;
    let mut tx = test.db.begin().await.unwrap();
    step::set_started(&mut tx, &lease, steps[0].id, "aaa", NOW + 7).await.unwrap();
    step::add_tokens(&mut tx, &lease, steps[0].id, 1200).await.unwrap();
    step::add_tokens(&mut tx, &lease, steps[0].id, 34).await.unwrap();
    let started = step::load(&mut tx, &Scope::All, steps[0].id).await.unwrap();
    assert_eq!((started.started_at, started.start_sha.as_deref()), (Some(NOW + 7), Some("aaa")));
    assert_eq!(started.runtime_state.tokens_used, 1234);
}

async fn calls_and_artifacts_come_back_as_written(test: TestDatabase) {
    let (project, run) = database::seeded(&test.db).await;
    let lease = lease(&test.db, run).await;
    let id = CallId("018f-call".to_owned());
    let usage = Usage {
        input: 10,
        cache_read: 2,
        cache_write: 3,
        output: 4,
        reasoning: Some(1),
        cost_usd: Some(0.1 + 0.2),
        reported: true,
    };
    let end = CallEnd {
        status: CallStatus::Succeeded,
        result: Some(json!({ "files": ["a"] })),
        error: None,
        usage: Some(usage),
        cost_cents: Some(30),
    };
    let mut tx = test.db.begin().await.unwrap();
    store::call::start(&mut tx, &lease, &database::call("018f-call", Some(run)), NOW).await.unwrap();
    let twice = store::call::start(&mut tx, &lease, &database::call("018f-call", Some(run)), NOW).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
    drop(tx);

    let mut tx = test.db.begin().await.unwrap();
    store::call::start(&mut tx, &lease, &database::call("018f-call", Some(run)), NOW).await.unwrap();
    store::call::start(&mut tx, &lease, &database::call("018f-last", Some(run)), NOW).await.unwrap();
    let mut file = NewArtifact {
        name: "report".to_owned(),
        kind: "qa_report".to_owned(),
        path: "quality-report.md".to_owned(),
        sha256: "00".repeat(32),
        bytes: 5,
    };
    store::artifact::set(&mut tx, &lease, &id, &file, NOW).await.unwrap();
    file.bytes = 6;
    store::artifact::set(&mut tx, &lease, &id, &file, NOW + 1).await.unwrap();
    let strange = store::artifact::set(&mut tx, &lease, &CallId("other".to_owned()), &file, NOW).await;
    assert!(matches!(strange, Err(StoreError::NotFound { .. })), "{strange:?}");
    store::call::finish(&mut tx, &lease, &id, &end, NOW + 9).await.unwrap();
    let twice = store::call::finish(&mut tx, &lease, &id, &end, NOW + 9).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))), "a call ends once: {twice:?}");

    let call = store::call::load(&mut tx, &Scope::All, &id).await.unwrap();
    assert_eq!((call.status, call.usage, call.cost_cents), (CallStatus::Succeeded, Some(usage), Some(30)));
    assert_eq!((call.result, call.params), (end.result, Some(json!({ "engine": "dummy" }))));
    assert_eq!((call.project_id, call.protocol_run_id), (Some(project.id), Some(run)));
    assert_eq!((call.attempt, call.job_type.as_str(), call.has_log), (Some(1), "plan_protocol_job", true));
    assert_eq!((call.started_at, call.finished_at), (Some(NOW), Some(NOW + 9)));
    let files = store::artifact::list(&mut tx, &Scope::All, &id).await.unwrap();
    assert_eq!(files.iter().map(|found| &found.file).collect::<Vec<_>>(), [&file], "replaced by name");

    assert_eq!(store::call::abandon(&mut tx, &lease.job_id, "the worker died", NOW + 10).await.unwrap(), 1);
    let filter = store::call::Filter { run: Some(run), ..Default::default() };
    let calls = store::call::list(&mut tx, &Scope::All, &filter, 10).await.unwrap();
    let seen: Vec<_> = calls.iter().map(|call| (call.id.0.as_str(), call.status)).collect();
    assert_eq!(seen, [("018f-last", CallStatus::Failed), ("018f-call", CallStatus::Succeeded)]);
    for filter in [
        store::call::Filter::default(),
        store::call::Filter { run_kind: Some("exec".to_owned()), ..Default::default() },
    ] {
        assert_eq!(store::call::list(&mut tx, &Scope::All, &filter, 10).await.unwrap().len(), 2);
        assert_eq!(store::call::list(&mut tx, &Scope::All, &filter, 1).await.unwrap().len(), 1);
    }
    let other_kind = store::call::Filter { run_kind: Some("qa".to_owned()), ..filter };
    assert_eq!(store::call::list(&mut tx, &Scope::All, &other_kind, 10).await.unwrap(), vec![]);
}

async fn nobody_sees_another_project(test: TestDatabase) {
    let (project, run) = database::seeded(&test.db).await;
    plan(&test.db, run, vec![planned(0, "01-one.md")]).await;
    let lease = lease(&test.db, run).await;
    let call = CallId("018f-call".to_owned());
    let mut tx = test.db.begin().await.unwrap();
    let other = database::project(&mut tx, "other").await;
    store::call::start(&mut tx, &lease, &database::call(&call.0, Some(run)), NOW).await.unwrap();
    let context = Context { project: Some(project.id), run: Some(run), ..Context::default() };
    store::event::append(&mut tx, &context, &Event::run(EventKind::ProtocolCreated), NOW);
    tx.commit().await.unwrap();
    let mut tx = test.db.read().await.unwrap();
    let step = store::step::list(&mut tx, &Scope::All, run).await.unwrap()[0].id;
    let run_filter = store::call::Filter { run: Some(run), ..Default::default() };
    let step_filter = store::call::Filter { step: Some(step), ..Default::default() };
    for (scope, seen) in [(Scope::Project(project.id), 1), (Scope::Project(other.id), 0)] {
        let found = [
            usize::from(store::project::load(&mut tx, &scope, project.id).await.is_ok()),
            usize::from(store::protocol::load(&mut tx, &scope, run).await.is_ok()),
            usize::from(store::step::load(&mut tx, &scope, step).await.is_ok()),
            usize::from(store::call::load(&mut tx, &scope, &call).await.is_ok()),
            store::protocol::list(&mut tx, &scope, None, 9).await.unwrap().len(),
            store::protocol::list(&mut tx, &scope, Some(project.id), 9).await.unwrap().len(),
            store::step::list(&mut tx, &scope, run).await.unwrap().len(),
            store::call::list(&mut tx, &scope, &run_filter, 9).await.unwrap().len(),
            store::event::list(&mut tx, &scope, &Filter::default(), 9).await.unwrap().len(),
            store::event::list(&mut tx, &scope, &Filter { run: Some(run), ..Filter::default() }, 9)
                .await
                .unwrap()
                .len(),
            store::event::list(
                &mut tx,
                &scope,
                &Filter { project: Some(project.id), ..Filter::default() },
                9,
            )
            .await
            .unwrap()
            .len(),
        ];
        assert_eq!(found, [seen; 11], "{scope:?}");
        assert_eq!(store::call::list(&mut tx, &scope, &step_filter, 9).await.unwrap(), vec![]);
        assert_eq!(
            store::project::list(&mut tx, &scope, store::project::Filter::default(), 9).await.unwrap().len(),
            1,
            "its own only"
        );
    }
}

async fn conflicts_are_named(test: TestDatabase) {
    let (project, run) = database::seeded(&test.db).await;
    let mut tx = test.db.begin().await.unwrap();
    let new = store::protocol::NewRun {
        project_id: project.id,
        protocol_name: "0001-hello".to_owned(),
        status: tg_core::status::FirstStatus::Pending,
        auto_advance: false,
        engine: None,
        models: tg_core::project::ModelDefaults::default(),
        base_branch: Some("main".to_owned()),
        description: None,
        sandbox_off: false,
    };
    let taken = store::protocol::insert(&mut tx, &Scope::All, &new, NOW).await;
    assert!(matches!(&taken, Err(StoreError::Conflict(text)) if text.contains("0001-hello")), "{taken:?}");
    // The transaction is still usable: the caller takes the next name.
    let next = store::protocol::NewRun { protocol_name: "0002-hello".to_owned(), ..new };
    store::protocol::insert(&mut tx, &Scope::All, &next, NOW).await.unwrap();
    tx.commit().await.unwrap();

    // A decision made on a row that has changed meanwhile is refused whole.
    let mut tx = test.db.begin().await.unwrap();
    let flow = store::protocol::flow(&mut tx, run, SETTINGS, None).await.unwrap();
    let start = lifecycle::decide(&flow, &Signal::Start).unwrap();
    store::protocol::apply(&mut tx, &start, NOW).await.unwrap();
    let stale = store::protocol::apply(&mut tx, &start, NOW).await;
    assert!(matches!(&stale, Err(StoreError::Conflict(text)) if text.contains("pending")), "{stale:?}");
    drop(tx);

    plan(&test.db, run, vec![planned(0, "01-one.md")]).await;
    let mut tx = test.db.begin().await.unwrap();
    let flow = store::protocol::flow(&mut tx, run, SETTINGS, None).await.unwrap();
    let queued = lifecycle::decide(&flow, &Signal::RunNext).unwrap();
    tx.commit().await.unwrap();
    raw(&test.db, "UPDATE step_runs SET status = 'blocked'").await;
    let mut tx = test.db.begin().await.unwrap();
    let stale = store::protocol::apply(&mut tx, &queued, NOW).await;
    assert!(matches!(&stale, Err(StoreError::Conflict(text)) if text.contains("step")), "{stale:?}");
}

async fn planning_again_replaces_only_steps_that_never_ran(test: TestDatabase) {
    let (_, run) = database::seeded(&test.db).await;
    plan(&test.db, run, vec![planned(0, "01-one.md"), planned(1, "02-two.md"), planned(2, "03-three.md")])
        .await;
    raw(&test.db, "UPDATE step_runs SET started_at = 5 WHERE step_index = 0").await;
    let mut tx = test.db.begin().await.unwrap();
    let before = store::step::list(&mut tx, &Scope::All, run).await.unwrap();
    let flow = store::protocol::flow(&mut tx, run, SETTINGS, None).await.unwrap();
    assert_eq!(flow.steps.iter().map(|step| step.has_run).collect::<Vec<_>>(), [true, false, false]);
    let mut decision = lifecycle::decide(&flow, &Signal::RunNext).unwrap();
    decision.run = None;
    decision.steps.clear();
    decision.sync = Some(vec![planned(0, "01-one.md"), planned(1, "02-other.md")]);
    store::protocol::apply(&mut tx, &decision, NOW).await.unwrap();
    let after = store::step::list(&mut tx, &Scope::All, run).await.unwrap();
    let names: Vec<_> = after.iter().map(|step| step.step_name.as_str()).collect();
    assert_eq!(names, ["01-one.md", "02-other.md"]);
    assert_eq!(after[0], before[0], "the step that ran is untouched");
    assert!(after[1].id > before[2].id, "ids are not used again");
    decision.sync = Some(vec![planned(0, "01-collides.md")]);
    let collides = store::protocol::apply(&mut tx, &decision, NOW).await;
    assert!(matches!(collides, Err(StoreError::Conflict(_))), "{collides:?}");
}

async fn a_step_is_finished_exactly_when_it_has_ended(test: TestDatabase) {
    let (_, run) = database::seeded(&test.db).await;
    plan(&test.db, run, vec![planned(0, "01-one.md")]).await;
    let mut tx = test.db.begin().await.unwrap();
    let flow = store::protocol::flow(&mut tx, run, SETTINGS, None).await.unwrap();
    let mut decision = lifecycle::decide(&flow, &Signal::RunNext).unwrap();
    decision.run = None;
    let mut from = StepStatus::Pending;
    for to in [
        StepStatus::Running,
        StepStatus::Failed,
        StepStatus::Failed,
        StepStatus::Pending,
        StepStatus::Completed,
    ] {
        decision.steps[0].from = from;
        decision.steps[0].to = to;
        let now = NOW + i64::from(from == to);
        store::protocol::apply(&mut tx, &decision, now).await.unwrap();
        let step = &store::step::list(&mut tx, &Scope::All, run).await.unwrap()[0];
        let ended = matches!(to, StepStatus::Failed | StepStatus::Completed);
        assert_eq!((step.status, step.finished_at), (to, ended.then_some(NOW)), "{from} to {to}");
        from = to;
    }
}

async fn rows_that_do_not_parse_are_corrupt(test: TestDatabase) {
    let (project, run) = database::seeded(&test.db).await;
    plan(&test.db, run, vec![planned(0, "01-one.md")]).await;
    for (table, column) in [
        ("projects", "default_models"),
        ("protocol_runs", "models"),
        ("protocol_runs", "status_reason"),
        ("protocol_runs", "template_config"),
        ("step_runs", "runtime_state"),
        ("step_runs", "policy"),
    ] {
        raw(&test.db, &format!("ALTER TABLE {table} ADD COLUMN kept_{column} TEXT")).await;
        raw(&test.db, &format!("UPDATE {table} SET kept_{column} = {column}, {column} = '{{oh'")).await;
        let mut tx = test.db.read().await.unwrap();
        let outcome = match table {
            "projects" => store::project::load(&mut tx, &Scope::All, project.id).await.map(drop),
            "protocol_runs" => store::protocol::load(&mut tx, &Scope::All, run).await.map(drop),
            _ => store::protocol::flow(&mut tx, run, SETTINGS, None).await.map(drop),
        };
        drop(tx);
        let corrupt = |error: &StoreError| matches!(error, StoreError::Corrupt { table: t, column: c, .. } if *t == table && *c == column);
        assert!(outcome.as_ref().is_err_and(corrupt), "{table}.{column}: {outcome:?}");
        raw(&test.db, &format!("UPDATE {table} SET {column} = kept_{column}")).await;
    }
    // A spec that is JSON but no spec blocks as well: QA may not be skipped because it cannot be read.
    raw(&test.db, "UPDATE protocol_runs SET template_config = '{\"protocol_spec\": {\"steps\": 7}}'").await;
    let mut tx = test.db.read().await.unwrap();
    let flow = store::protocol::flow(&mut tx, run, SETTINGS, None).await;
    assert!(matches!(flow, Err(StoreError::Corrupt { column: "template_config", .. })), "{flow:?}");
}

async fn a_flow_holds_rows_spec_and_live_jobs(test: TestDatabase) {
    let (_, run) = database::seeded(&test.db).await;
    plan(&test.db, run, vec![planned(0, "01-one.md"), planned(1, "02-two.md")]).await;
    let lease = lease(&test.db, run).await;
    let spec = json!({ "protocol_spec": { "steps": [
        { "id": "first", "name": "01-one.md", "prompt_ref": "01-one.md", "qa": { "policy": "light" },
          "policies": [{ "module_id": "again", "behavior": "loop", "max_iterations": 2 }] },
        { "id": "02-two.md", "prompt_ref": "02-two.md", "qa": { "policy": null } },
    ] } });
    let mut tx = test.db.begin().await.unwrap();
    store::protocol::set_spec(&mut tx, &lease, run, &spec, "hash", NOW).await.unwrap();
    let steps = store::step::list(&mut tx, &Scope::All, run).await.unwrap();
    let what = Enqueue { job: Job::CheckQuality { step_run_id: steps[1].id }, priority: Priority::User };
    queue::enqueue(&mut tx, &what, None, Duration::ZERO, None).await.unwrap();
    let flow = store::protocol::flow(&mut tx, run, SETTINGS, None).await.unwrap();
    assert!(flow.run.live_plan && !flow.run.live_push);
    assert_eq!((flow.steps[0].spec_id.as_str(), flow.steps[1].spec_id.as_str()), ("first", "02-two.md"));
    assert_eq!((flow.steps[0].qa, flow.steps[1].qa), (Some(tg_core::step::QaPolicy::Light), None));
    assert_eq!(flow.steps[0].policies[0].max_iterations, Some(2));
    assert_eq!((flow.steps[0].live, flow.steps[1].live), (None, Some(lifecycle::LiveJob::Quality)));
    let flow = store::protocol::flow(&mut tx, run, SETTINGS, Some(&lease.job_id)).await.unwrap();
    assert!(!flow.run.live_plan, "the signalling job itself does not count");
    let missing = store::protocol::flow(&mut tx, RunId(99), SETTINGS, None).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

async fn a_reason_and_a_pull_request_are_kept(test: TestDatabase) {
    let (_, run) = database::seeded(&test.db).await;
    let mut tx = test.db.begin().await.unwrap();
    let flow = store::protocol::flow(&mut tx, run, SETTINGS, None).await.unwrap();
    let mut decision = lifecycle::decide(&flow, &Signal::Start).unwrap();
    let reason = StatusReason::new(ReasonCode::EngineUnavailable, "codex is not installed; install it");
    let change = decision.run.as_mut().unwrap();
    change.to = ProtocolStatus::Paused;
    change.paused_from = Some(ProtocolStatus::Blocked);
    change.reason = Some(reason.clone());
    change.pr_state = Some(PullRequestState::Open);
    store::protocol::apply(&mut tx, &decision, NOW + 1).await.unwrap();
    let stored = store::protocol::load(&mut tx, &Scope::All, run).await.unwrap();
    assert_eq!((stored.status, stored.paused_from), (ProtocolStatus::Paused, Some(ProtocolStatus::Blocked)));
    assert_eq!((stored.status_reason, stored.pr_state), (Some(reason), Some(PullRequestState::Open)));
    assert_eq!(store::protocol::open_runs(&mut tx, 9).await.unwrap(), vec![]);
}

async fn events_are_filtered_and_paged(test: TestDatabase) {
    let (project, run) = database::seeded(&test.db).await;
    let mut tx = test.db.begin().await.unwrap();
    let context = Context {
        project: Some(project.id),
        run: Some(run),
        actor: Some("ada".to_owned()),
        request_id: Some("req-9".to_owned()),
        job_id: Some("job-9".to_owned()),
    };
    for number in 0..5 {
        let event =
            Event::step(EventKind::StepStarted, tg_core::ids::StepId(number % 2)).with("attempt", number);
        store::event::append(&mut tx, &context, &event, NOW + number);
    }
    let own = Event::run(EventKind::StepEnqueued).with("job_id", "queued-job");
    store::event::append(&mut tx, &context, &own, NOW);
    store::event::append(&mut tx, &Context::default(), &Event::run(EventKind::UnknownJob), NOW);
    tx.commit().await.unwrap();

    let mut tx = test.db.read().await.unwrap();
    let all = store::event::list(&mut tx, &Scope::All, &Filter::default(), 99).await.unwrap();
    assert_eq!(all.len(), 7);
    assert!(all.windows(2).all(|pair| pair[0].seq > pair[1].seq), "newest first");
    assert_eq!((all[0].project_seq, all[0].project_id), (1, None), "events without a project have a chain");
    assert_eq!(all[1].metadata["job_id"], "queued-job", "an event's own fact wins");
    let first = all.last().unwrap();
    assert_eq!(
        (first.metadata["job_id"].as_str(), first.metadata["request_id"].as_str()),
        (Some("job-9"), Some("req-9"))
    );
    assert_eq!(
        (first.actor.as_deref(), first.event_type.as_str(), first.created_at),
        (Some("ada"), "step_started", NOW)
    );
    let third = all[4].seq;
    let count = async |filter: Filter, tx: &mut tg_server::db::Tx| {
        store::event::list(tx, &Scope::All, &filter, 99).await.unwrap().len()
    };
    assert_eq!(count(Filter { run: Some(run), ..Filter::default() }, &mut tx).await, 6);
    assert_eq!(count(Filter { step: Some(tg_core::ids::StepId(1)), ..Filter::default() }, &mut tx).await, 2);
    assert_eq!(count(Filter { before: Some(third), ..Filter::default() }, &mut tx).await, 2);
    assert_eq!(count(Filter { after: Some(third), ..Filter::default() }, &mut tx).await, 4);
    let kind = Some("step_enqueued".to_owned());
    assert_eq!(count(Filter { event_type: kind, ..Filter::default() }, &mut tx).await, 1);
}

async fn events_written_at_once_are_gapless_and_chained(test: TestDatabase) {
    let (project, run) = database::seeded(&test.db).await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (db, project) = (test.db.clone(), project.id);
            tokio::spawn(async move {
                for number in 0..15 {
                    let mut tx = db.begin().await.unwrap();
                    let context = Context {
                        project: (number % 5 != 0).then_some(project),
                        run: Some(run),
                        ..Context::default()
                    };
                    let event =
                        Event::run(EventKind::WebhookReceived).with("text", format!("{writer}/{number} ☂"));
                    store::event::append(&mut tx, &context, &event, NOW);
                    if number % 7 != 0 {
                        tx.commit().await.unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let mut tx = test.db.read().await.unwrap();
    let of_project = Filter { project: Some(project.id), ..Filter::default() };
    let mut seqs: Vec<_> = store::event::list(&mut tx, &Scope::All, &of_project, 999)
        .await
        .unwrap()
        .into_iter()
        .map(|event| event.project_seq)
        .collect();
    seqs.reverse();
    assert_eq!(seqs, (1..=8 * 10).collect::<Vec<_>>());
    let verified = store::event::verify(&mut tx, None).await.unwrap();
    assert_eq!((verified.checked, verified.first_bad), (8 * 12, None));
}

async fn every_tampering_with_the_timeline_shows(test: TestDatabase) {
    const COUNT: i64 = 1100;
    let (project, run) = database::seeded(&test.db).await;
    let mut tx = test.db.begin().await.unwrap();
    let context = Context { project: Some(project.id), run: Some(run), ..Context::default() };
    let event = Event::run(EventKind::WebhookReceived)
        .with("ratio", 0.1)
        .with("deep", json!({ "b": [1, null], "a": "é" }));
    for _ in 0..COUNT {
        store::event::append(&mut tx, &context, &event, NOW);
    }
    tx.commit().await.unwrap();
    let check = async || {
        let mut tx = test.db.read().await.unwrap();
        let one = store::event::verify(&mut tx, Some(project.id)).await.unwrap();
        assert_eq!(one, store::event::verify(&mut tx, None).await.unwrap());
        one
    };
    let whole = check().await;
    assert_eq!((whole.checked, whole.first_bad), (COUNT as u64, None), "over several slices");
    raw(&test.db, "CREATE TABLE kept AS SELECT * FROM events").await;
    raw(&test.db, "CREATE TABLE kept_heads AS SELECT * FROM event_chains").await;
    for (tampering, position) in [
        ("UPDATE events SET message = 'other' WHERE project_seq = 1050", 1050),
        ("UPDATE events SET metadata = '{}' WHERE project_seq = 3", 3),
        ("UPDATE events SET metadata = '{' WHERE project_seq = 3", 3),
        ("UPDATE events SET actor = 'eve' WHERE project_seq = 1000", 1000),
        ("UPDATE events SET created_at = 1 WHERE project_seq = 1001", 1001),
        ("UPDATE events SET kind = 'qa' WHERE project_seq = 7", 7),
        ("DELETE FROM events WHERE project_seq = 1", 2),
        ("DELETE FROM events WHERE project_seq = 1001", 1002),
        ("DELETE FROM events WHERE project_seq > 1020", 1020),
        ("DELETE FROM events", 0),
        ("UPDATE event_chains SET last_project_seq = 1099", COUNT),
        ("DELETE FROM event_chains", COUNT),
    ] {
        raw(&test.db, tampering).await;
        let found = check().await.first_bad.unwrap_or_else(|| panic!("unseen: {tampering}"));
        assert_eq!(found.0, position, "{tampering}: {}", found.1);
        for restore in [
            "DELETE FROM events",
            "INSERT INTO events SELECT * FROM kept",
            "DELETE FROM event_chains",
            "INSERT INTO event_chains SELECT * FROM kept_heads",
        ] {
            raw(&test.db, restore).await;
        }
    }
    assert_eq!(check().await.first_bad, None);
}

mod both {
    use super::on_both;
    on_both!(
        projects_and_runs_come_back_as_written,
        a_repository_finds_its_project,
        what_a_job_records_comes_back,
        calls_and_artifacts_come_back_as_written,
        nobody_sees_another_project,
        conflicts_are_named,
        planning_again_replaces_only_steps_that_never_ran,
        a_step_is_finished_exactly_when_it_has_ended,
        rows_that_do_not_parse_are_corrupt,
        a_flow_holds_rows_spec_and_live_jobs,
        a_reason_and_a_pull_request_are_kept,
        events_are_filtered_and_paged,
        events_written_at_once_are_gapless_and_chained,
        every_tampering_with_the_timeline_shows,
    );
}
