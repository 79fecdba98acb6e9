//! Lists and counts on both databases, against what plain reading of all rows says; and that they read one
//! index, whatever is asked.

use std::{collections::BTreeSet, time::Duration};

use sqlx::Row as _;
use tg_core::{
    ids::{CallId, ProjectId, RunId},
    job::{Job, JobStatus, Priority},
    lifecycle::Enqueue,
    protocol::CallStatus,
    scope::Scope,
};
use tg_server::{
    db::Db,
    queue::{self, Counts},
    store::{
        self,
        call::{CallEnd, Filter, Outside},
    },
};

use crate::database::{self, NOW, TestDatabase, on_both, raw};

fn outside(id: &str, kind: &str, job_type: &str, project: ProjectId, run: Option<RunId>) -> Outside {
    Outside {
        id: CallId(id.to_owned()),
        job_type: job_type.to_owned(),
        run_kind: Some(kind.to_owned()),
        project: Some(project),
        run,
        step: None,
        queue: "default".to_owned(),
        attempt: None,
        worker_id: None,
        prompt_version: None,
        params: None,
        cost_tokens: None,
        cost_cents: None,
    }
}

async fn every_filter_gives_what_reading_everything_gives(test: TestDatabase) {
    let (project, run) = database::seeded(&test.db).await;
    let mut tx = test.db.begin().await.unwrap();
    let second = database::project(&mut tx, "second").await;
    let statuses = [CallStatus::Running, CallStatus::Succeeded, CallStatus::Failed];
    for number in 0..36 {
        let owner = if number % 3 == 0 { second.id } else { project.id };
        let of_run = (owner == project.id && number % 2 == 0).then_some(run);
        // Ids that sort otherwise than they came.
        let id = format!("{}-{number}", ["z", "A", "m"][number % 3]);
        let new = outside(&id, ["k0", "k1"][number % 2], ["t0", "t1", "t2"][number / 2 % 3], owner, of_run);
        store::call::register(&mut tx, &new, NOW).await.unwrap();
        let status = statuses[number / 5 % 3];
        if status != CallStatus::Running {
            let end = CallEnd { status, result: None, error: None, usage: None, cost_cents: None };
            store::call::end_outside(&mut tx, &new.id, &end, None, NOW).await.unwrap();
        }
    }
    let everything = store::call::list(&mut tx, &Scope::All, &Filter::default(), 500).await.unwrap();
    assert_eq!(everything.len(), 36);
    let newest: Vec<&str> = everything.iter().map(|call| call.id.0.as_str()).take(3).collect();
    assert_eq!(newest, ["m-35", "A-34", "z-33"], "by place, not by id");
    let words = |words: &[&str]| -> Vec<Option<String>> {
        std::iter::once(None).chain(words.iter().map(|word| Some((*word).to_owned()))).collect()
    };
    let mut looked = 0;
    for scope in [Scope::All, Scope::Project(project.id), Scope::Project(second.id)] {
        for by_project in [None, Some(project.id)] {
            for by_run in [None, Some(run)] {
                for run_kind in words(&["k0", "k1", "k9"]) {
                    for job_type in words(&["t1"]) {
                        for status in [None, Some(CallStatus::Failed), Some(CallStatus::Queued)] {
                            let filter = Filter {
                                run: by_run,
                                step: None,
                                run_kind: run_kind.clone(),
                                job_type: job_type.clone(),
                                status,
                                project: by_project,
                            };
                            let expected: Vec<&str> = everything
                                .iter()
                                .filter(|call| scope.project().is_none_or(|id| call.project_id == Some(id)))
                                .filter(|call| by_project.is_none_or(|id| call.project_id == Some(id)))
                                .filter(|call| by_run.is_none_or(|id| call.protocol_run_id == Some(id)))
                                .filter(|call| run_kind.is_none() || call.run_kind == run_kind)
                                .filter(|call| job_type.as_ref().is_none_or(|word| call.job_type == *word))
                                .filter(|call| status.is_none_or(|status| call.status == status))
                                .map(|call| call.id.0.as_str())
                                .collect();
                            let mut found: Vec<String> = Vec::new();
                            let mut before: Option<String> = None;
                            loop {
                                let page = store::call::page(&mut tx, &scope, &filter, before.as_deref(), 5)
                                    .await
                                    .unwrap();
                                let Some(last) = page.last() else { break };
                                before = Some(last.seq.clone());
                                found.extend(page.into_iter().map(|call| call.id.0));
                            }
                            assert_eq!(found, expected, "{scope:?} {filter:?}");
                            looked += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(looked, 3 * 2 * 2 * 4 * 2 * 3);
}

/// Counts what is in scope by reading every job.
async fn counted(db: &Db, scope: Scope) -> Counts {
    let mut tx = db.read().await.unwrap();
    let jobs = queue::list(&mut tx, None, 10_000).await.unwrap();
    let count = |status: JobStatus| {
        let in_scope = |job: &&queue::JobRow| scope.project().is_none_or(|id| job.project_id == Some(id));
        i64::try_from(jobs.iter().filter(in_scope).filter(|job| job.status == status).count()).unwrap()
    };
    Counts {
        queued: count(JobStatus::Queued),
        scheduled: count(JobStatus::Scheduled),
        started: count(JobStatus::Started),
        finished: count(JobStatus::Finished),
        failed: count(JobStatus::Failed),
        cancelled: count(JobStatus::Cancelled),
    }
}

async fn counts_agree_with_the_rows_however_they_are_added_up(test: TestDatabase) {
    let (first, _) = database::seeded(&test.db).await;
    let mut tx = test.db.begin().await.unwrap();
    let second = database::project(&mut tx, "second").await;
    for number in 0..40_usize {
        let project = if number.is_multiple_of(3) { &second } else { &first };
        let run = database::run(&mut tx, project, &format!("{number:04}-x")).await;
        let job = Job::PlanProtocol { protocol_run_id: run.id };
        let delay = if number == 39 { Duration::from_hours(1) } else { Duration::ZERO };
        let what = Enqueue { job: job.clone(), priority: Priority::Automatic };
        queue::enqueue(&mut tx, &what, None, delay, None).await.unwrap();
        if number > 35 {
            continue;
        }
        if number % 5 == 4 {
            queue::cancel(&mut tx, &job).await.unwrap();
            continue;
        }
        let lease = queue::claim(&mut tx, "w:1:u", Duration::from_mins(1), 99).await.unwrap().unwrap();
        match number % 5 {
            0 | 1 => queue::finish(&mut tx, &lease).await.unwrap(),
            2 => queue::fail(&mut tx, &lease, "no").await.unwrap(),
            _ => {}
        }
    }
    let house = Enqueue { job: Job::Maintenance, priority: Priority::Automatic };
    queue::enqueue(&mut tx, &house, None, Duration::ZERO, None).await.unwrap();
    queue::cancel(&mut tx, &Job::Maintenance).await.unwrap();
    tx.commit().await.unwrap();
    let scopes = [Scope::All, Scope::Project(first.id), Scope::Project(second.id)];
    let check = || async {
        for scope in scopes {
            let mut tx = test.db.read().await.unwrap();
            let found = queue::counts(&mut tx, &scope).await.unwrap();
            drop(tx);
            assert_eq!(found, counted(&test.db, scope).await, "{scope:?}");
        }
    };
    check().await;
    let all = counted(&test.db, Scope::All).await;
    assert!(all.scheduled == 1 && all.started > 3 && all.failed > 3 && all.cancelled > 3, "{all:?}");
    for _ in 0..3 {
        let mut tx = test.db.begin().await.unwrap();
        assert_eq!(queue::count_in(&mut tx, 7).await.unwrap(), 7);
        tx.commit().await.unwrap();
        check().await;
    }
    // Ended rows are pruned whether they were added up or not.
    let half = raw(
        &test.db,
        "UPDATE jobs SET finished_at = 5 WHERE finished_at IS NOT NULL AND protocol_run_id % 2 = 0",
    )
    .await;
    let mut tx = test.db.begin().await.unwrap();
    assert_eq!(queue::prune(&mut tx, 6, 100).await.unwrap(), half);
    tx.commit().await.unwrap();
    check().await;
    let counting: Vec<_> = (0..4)
        .map(|_| {
            let db = test.db.clone();
            tokio::spawn(async move {
                let mut tx = db.begin().await.unwrap();
                let counted = queue::count_in(&mut tx, 1000).await.unwrap();
                tx.commit().await.unwrap();
                counted
            })
        })
        .collect();
    for task in counting {
        task.await.unwrap();
    }
    check().await;
    assert_eq!(
        raw(&test.db, "UPDATE jobs SET counted = 1 WHERE counted = 0 AND finished_at IS NOT NULL").await,
        0
    );
}

async fn jobs_are_paged_newest_first_by_what_is_asked(test: TestDatabase) {
    let (first, _) = database::seeded(&test.db).await;
    let mut tx = test.db.begin().await.unwrap();
    let second = database::project(&mut tx, "second").await;
    let mut ended = 0;
    for number in 0..30_usize {
        let project = if number.is_multiple_of(3) { &second } else { &first };
        let run = database::run(&mut tx, project, &format!("{number:04}-x")).await;
        let job = if number.is_multiple_of(2) {
            Job::PlanProtocol { protocol_run_id: run.id }
        } else {
            Job::OpenPullRequest { protocol_run_id: run.id }
        };
        let what = Enqueue { job: job.clone(), priority: Priority::Automatic };
        queue::enqueue(&mut tx, &what, None, Duration::ZERO, Some("r")).await.unwrap();
        if number % 4 != 0 {
            queue::cancel(&mut tx, &job).await.unwrap();
            ended += 1;
        }
    }
    let everything = queue::list(&mut tx, None, 500).await.unwrap();
    let ids: BTreeSet<String> = everything.iter().map(|job| job.id.0.clone()).collect();
    assert_eq!((ids.len(), ended), (30, 22));
    for scope in [Scope::All, Scope::Project(first.id), Scope::Project(second.id)] {
        for kind in [None, Some("plan_protocol_job"), Some("run_quality_job")] {
            for status in std::iter::once(None).chain(JobStatus::ALL.iter().copied().map(Some)) {
                let filter = queue::Filter { status, kind: kind.map(str::to_owned) };
                let expected: Vec<&str> = everything
                    .iter()
                    .filter(|job| scope.project().is_none_or(|id| job.project_id == Some(id)))
                    .filter(|job| kind.is_none_or(|kind| job.job.kind() == kind))
                    .filter(|job| status.is_none_or(|status| job.status == status))
                    .map(|job| job.id.0.as_str())
                    .collect();
                let (mut found, mut before) = (Vec::new(), None::<String>);
                loop {
                    let (page, next) =
                        queue::page(&mut tx, &scope, &filter, before.as_deref(), 4).await.unwrap();
                    assert!(page.len() <= 4);
                    found.extend(page.into_iter().map(|job| job.id.0));
                    before = next;
                    if before.is_none() {
                        break;
                    }
                }
                assert_eq!(found, expected, "{scope:?} {filter:?}");
            }
        }
    }
}

/// Each list searches an index that holds every column it filters by, so it never reads what it does not
/// show. `few` are columns that are filtered within few rows.
#[tokio::test]
async fn every_list_is_one_search_by_all_it_asks_for() {
    let test = TestDatabase::sqlite().await;
    let Db::Sqlite { write, .. } = &test.db else { panic!("not sqlite") };
    let mut looked = 0;
    for (name, text) in store::statements() {
        let (table, last) = match name.split_once("::").unwrap() {
            ("call", name) if name.starts_with("LIST") => ("codex_runs", "seq<?"),
            ("queue", name) if name.starts_with("LIST") => ("jobs", "id<?"),
            ("artifact", name) if name.starts_with("OF_") => ("run_artifacts", "id<?"),
            _ => continue,
        };
        let plan =
            sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"))).fetch_all(write).await;
        let plan: Vec<String> = plan.unwrap().iter().map(|row| row.get::<String, _>("detail")).collect();
        let searches: Vec<&String> =
            plan.iter().filter(|line| line.starts_with(&format!("SEARCH {table} "))).collect();
        assert_eq!(searches.len(), 1, "{name}: {plan:?}");
        let asked = text.split(" FROM ").last().unwrap();
        let tests = ["run_kind = ", "job_type = ", "status = ", "project_id = ", "kind = ", "state = "];
        let is_few = asked.contains("IS NULL OR");
        for column in tests.iter().filter(|column| !is_few && asked.contains(&format!(" {column}"))) {
            let column = column.trim_end_matches(" = ");
            assert!(searches[0].contains(&format!("{column}=?")), "{name} looks through {column}: {plan:?}");
        }
        assert!(searches[0].contains(last), "{name} begins where the page does: {plan:?}");
        looked += 1;
    }
    assert!(looked >= 33, "only {looked} lists");
}

mod both {
    use super::on_both;
    on_both!(
        every_filter_gives_what_reading_everything_gives,
        counts_agree_with_the_rows_however_they_are_added_up,
        jobs_are_paged_newest_first_by_what_is_asked,
    );
}
