//! Lists of the timeline: every combination of filters gives what it names, in order, from one index,
//! and a scope hides the rest.

use sqlx::Row as _;
use tg_core::{
    event::{Category, Event, EventKind},
    ids::{ProjectId, RunId, StepId},
    scope::Scope,
};
use tg_server::{
    db::{Db, Tx},
    store::{
        self, StoreError,
        event::{Context, Filter, StoredEvent, Walk},
    },
};

use crate::database::{self, NOW, TestDatabase, on_both, raw};

const KINDS: [EventKind; 4] =
    [EventKind::StepStarted, EventKind::QaPassed, EventKind::QaFailed, EventKind::OpenPr];

/// Two projects with two runs each, and events of each kind about two steps of each run and about none.
async fn timeline(db: &Db) -> (Vec<ProjectId>, Vec<RunId>) {
    let mut tx = db.begin().await.unwrap();
    let (mut projects, mut runs) = (Vec::new(), Vec::new());
    for name in ["a", "b"] {
        let project = database::project(&mut tx, name).await;
        projects.push(project.id);
        for run in ["0001-x", "0002-y"] {
            runs.push(database::run(&mut tx, &project, run).await.id);
        }
    }
    for round in 0..3 {
        for (index, run) in runs.iter().enumerate() {
            let context =
                Context { project: Some(projects[index / 2]), run: Some(*run), ..Context::default() };
            for kind in KINDS {
                let step = StepId(10 * run.0 + round % 2);
                let event = if round == 2 { Event::run(kind) } else { Event::step(kind, step) };
                store::event::append(&mut tx, &context, &event, NOW);
            }
        }
    }
    store::event::append(&mut tx, &Context::default(), &Event::run(EventKind::UnknownJob), NOW);
    tx.commit().await.unwrap();
    (projects, runs)
}

fn lets_through(filter: &Filter, event: &StoredEvent) -> bool {
    filter.project.is_none_or(|id| event.project_id == Some(id))
        && filter.run.is_none_or(|id| event.protocol_run_id == Some(id))
        && filter.step.is_none_or(|id| event.step_run_id == Some(id))
        && filter.event_type.as_ref().is_none_or(|kind| *kind == event.event_type)
        && filter.category.is_none_or(|category| category.as_str() == event.category)
        && filter.before.is_none_or(|seq| event.seq < seq)
        && filter.after.is_none_or(|seq| event.seq > seq)
}

fn combinations(projects: &[ProjectId], runs: &[RunId]) -> Vec<Filter> {
    let mut filters = Vec::new();
    for project in [None, Some(projects[0]), Some(projects[1])] {
        for run in [None, Some(runs[0]), Some(runs[3])] {
            for step in [None, Some(StepId(10 * runs[0].0)), Some(StepId(999))] {
                for event_type in [None, Some("qa_passed".to_owned()), Some("paused".to_owned())] {
                    for category in [None, Some(Category::Qa), Some(Category::Git)] {
                        for (after, before) in [(None, None), (Some(9), Some(40))] {
                            let event_type = event_type.clone();
                            filters.push(Filter { project, run, step, event_type, category, before, after });
                        }
                    }
                }
            }
        }
    }
    filters
}

fn seqs(events: &[StoredEvent]) -> Vec<i64> {
    events.iter().map(|event| event.seq).collect()
}

async fn every_filter_gives_what_it_names(test: TestDatabase) {
    let (projects, runs) = timeline(&test.db).await;
    let mut tx = test.db.read().await.unwrap();
    let all = store::event::list(&mut tx, &Scope::All, &Filter::default(), 500).await.unwrap();
    assert_eq!(all.len(), 3 * 4 * 4 + 1);
    let named: Vec<_> = all.iter().map(|event| (&event.project_name, &event.protocol_name)).take(2).collect();
    let names = (Some("b".to_owned()), Some("0002-y".to_owned()));
    assert_eq!(named, [(&None, &None), (&names.0, &names.1)]);
    let mut found = 0;
    for scope in [Scope::All, Scope::Project(projects[1])] {
        for filter in combinations(&projects, &runs) {
            let expected: Vec<&StoredEvent> = all
                .iter()
                .filter(|event| lets_through(&filter, event))
                .filter(|event| scope.project().is_none_or(|id| event.project_id == Some(id)))
                .collect();
            let expected: Vec<i64> = expected.iter().map(|event| event.seq).collect();
            let list = store::event::list(&mut tx, &scope, &filter, 500).await.unwrap();
            assert_eq!(seqs(&list), expected, "{scope:?} {filter:?}");
            let keys = store::event::keys(&mut tx, &scope, &filter, 500).await.unwrap();
            assert_eq!(keys.iter().map(|key| key.seq).collect::<Vec<_>>(), expected, "{scope:?} {filter:?}");
            let given = |event: &StoredEvent| event.project_name.clone().unwrap_or_default();
            assert!(keys.iter().zip(&list).all(|(key, event)| key.project_name == given(event)));
            let mut since = seqs(&store::event::since(&mut tx, &scope, &filter, 500).await.unwrap());
            since.reverse();
            assert_eq!(since, expected, "{scope:?} {filter:?}");
            let newest = store::event::newest(&mut tx, &scope, &filter).await.unwrap();
            assert_eq!(newest, expected.first().copied().unwrap_or(0), "{scope:?} {filter:?}");
            found += usize::from(!expected.is_empty());
        }
    }
    assert!(found > 100, "only {found} lists hold something");
    let filter = Filter::default();
    let (newest, oldest) = (seqs(&all), all.last().unwrap().seq);
    let list = store::event::list(&mut tx, &Scope::All, &filter, 2).await.unwrap();
    assert_eq!(seqs(&list), newest[..2], "the limit counts from the newest");
    let since = store::event::since(&mut tx, &Scope::All, &filter, 1).await.unwrap();
    assert_eq!(seqs(&since), [oldest], "and from the oldest");
}

async fn a_name_cannot_stand_for_a_key(test: TestDatabase) {
    let (projects, _) = timeline(&test.db).await;
    raw(&test.db, "UPDATE projects SET name = 'x\u{1e}7 y' WHERE name = 'a'").await;
    let mut tx = test.db.read().await.unwrap();
    let filter = Filter { before: Some(14), ..Filter::default() };
    let keys = store::event::keys(&mut tx, &Scope::Project(projects[0]), &filter, 500).await.unwrap();
    let list = store::event::list(&mut tx, &Scope::Project(projects[0]), &filter, 500).await.unwrap();
    assert_eq!(keys.iter().map(|key| key.seq).collect::<Vec<_>>(), seqs(&list));
    assert_eq!(keys[0].project_name, "x7 y");
}

async fn only_what_exists_in_the_scope_can_be_named(test: TestDatabase) {
    let (projects, runs) = timeline(&test.db).await;
    raw(
        &test.db,
        &format!(
            "INSERT INTO step_runs (id, protocol_run_id, step_index, step_name, step_type, status, created_at, \
             updated_at, retries, runtime_state) VALUES (7, {}, 0, '01-a.md', 'work', 'pending', 1, 1, 0, '{{}}')",
            runs[0]
        ),
    )
    .await;
    let mut tx = test.db.read().await.unwrap();
    let project = |id| Filter { project: Some(id), ..Filter::default() };
    let run = |id| Filter { run: Some(id), ..Filter::default() };
    let step = |id| Filter { step: Some(StepId(id)), ..Filter::default() };
    let own = Scope::Project(projects[0]);
    let other = Scope::Project(projects[1]);
    for (filter, scope, is_known) in [
        (Filter::default(), own, true),
        (project(projects[0]), own, true),
        (project(projects[0]), other, false),
        (project(ProjectId(99)), Scope::All, false),
        (run(runs[0]), own, true),
        (run(runs[0]), Scope::All, true),
        (run(runs[0]), other, false),
        (run(RunId(99)), Scope::All, false),
        (step(7), own, true),
        (step(7), other, false),
        (step(8), Scope::All, false),
    ] {
        let found = store::event::known(&mut tx, &scope, &filter).await;
        let is_missing = matches!(found, Err(StoreError::NotFound { .. }));
        assert_eq!((found.is_ok(), is_missing), (is_known, !is_known), "{scope:?} {filter:?}: {found:?}");
    }
}

async fn a_walk_leaves_what_is_appended_meanwhile_to_the_next(test: TestDatabase) {
    let (project, run) = database::seeded(&test.db).await;
    let context = Context { project: Some(project.id), run: Some(run), ..Context::default() };
    let append = async |tx: &mut Tx, count: i64| {
        for _ in 0..count {
            store::event::append(tx, &context, &Event::run(EventKind::Paused), NOW);
        }
    };
    let mut tx = test.db.begin().await.unwrap();
    append(&mut tx, 600).await;
    tx.commit().await.unwrap();
    let mut walk = Walk::new(None);
    let mut slices = 0;
    loop {
        let mut tx = test.db.read().await.unwrap();
        let is_more = walk.step(&mut tx).await.unwrap();
        drop(tx);
        if !is_more {
            break;
        }
        slices += 1;
        let mut tx = test.db.begin().await.unwrap();
        append(&mut tx, 300).await;
        tx.commit().await.unwrap();
        assert!(slices < 9, "the walk does not run after the writers");
    }
    let found = walk.found();
    assert_eq!((found.checked, found.first_bad), (600, None));
    assert!(slices > 2, "only {slices} slices");
}

#[tokio::test]
async fn every_filter_walks_one_index_from_its_end() {
    let test = TestDatabase::sqlite().await;
    let Db::Sqlite { write, .. } = &test.db else { panic!("not sqlite") };
    let index = |name: &str| match name
        .strip_prefix("event_list::OF_")?
        .trim_end_matches("_SINCE")
        .trim_end_matches("_KEYS")
    {
        "STEP" => Some("INDEX events_by_step (step_run_id=? AND seq"),
        "RUN" => Some("INDEX events_by_run (protocol_run_id=? AND seq"),
        "PROJECT" => Some("INDEX events_by_project (project_id=? AND seq"),
        "PROJECT_TYPE" => Some("INDEX events_by_project_type (project_id=? AND event_type=? AND seq"),
        "PROJECT_KIND" => Some("INDEX events_by_project_kind (project_id=? AND kind=? AND seq"),
        "TYPE" => Some("INDEX events_by_type (event_type=? AND seq"),
        "KIND" => Some("INDEX events_by_kind (kind=? AND seq"),
        "ALL" => Some("INTEGER PRIMARY KEY (rowid"),
        other => panic!("a list of {other}"),
    };
    let mut looked = 0;
    for (name, text) in store::statements() {
        let Some(index) = index(&name) else { continue };
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"))).fetch_all(write).await;
        let plan: Vec<String> = rows.unwrap().iter().map(|row| row.get::<String, _>("detail")).collect();
        let walks: Vec<&String> = plan.iter().filter(|line| line.starts_with("SEARCH e ")).collect();
        assert!(walks.len() == 1 && walks[0].contains(index), "{name}: {plan:#?}");
        // A plan does not tell which of two bounds of one end it walks from: zero would be the whole table.
        for bound in ["e.seq > ", "e.seq < "] {
            assert_eq!(text.matches(bound).count(), 1, "{name}: one bound for each end");
        }
        looked += 1;
    }
    assert_eq!(looked, 24);
}

#[tokio::test]
async fn the_migration_gives_every_event_its_kind() {
    let text = include_str!("../../../src/db/migrations/0007_events.sql");
    let fill = text.split(';').find(|part| part.trim_start().starts_with("UPDATE events")).unwrap();
    let test = TestDatabase::sqlite().await;
    let mut tx = test.db.begin().await.unwrap();
    for kind in EventKind::ALL {
        store::event::append(&mut tx, &Context::default(), &Event::run(*kind), NOW);
    }
    tx.commit().await.unwrap();
    raw(&test.db, "UPDATE events SET kind = ''").await;
    raw(&test.db, fill).await;
    let mut tx = test.db.read().await.unwrap();
    let filled = store::event::list(&mut tx, &Scope::All, &Filter::default(), 500).await.unwrap();
    assert!(filled.len() > 100);
    for event in filled {
        let kind = EventKind::parse(&event.event_type).unwrap();
        // A kind that came later is given its area when it is appended.
        let is_told = kind.category() == Category::Run || text.contains(&format!("'{}'", event.event_type));
        assert!(!is_told || kind.category().as_str() == event.category, "{}", event.event_type);
    }
}

mod both {
    use super::on_both;
    on_both!(
        every_filter_gives_what_it_names,
        a_name_cannot_stand_for_a_key,
        only_what_exists_in_the_scope_can_be_named,
        a_walk_leaves_what_is_appended_meanwhile_to_the_next,
    );
}
