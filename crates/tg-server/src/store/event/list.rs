//! Lists of the timeline: every combination of filters walks one index from its end, so that no list
//! gets slower as history grows. Encodes nothing.

use tg_core::{
    event::{Category, EventKind},
    ids::{ProjectId, RunId, StepId},
    scope::Scope,
};

use super::{StoredEvent, read};
use crate::{
    db::{
        Tx,
        dialect::{Arg, args},
    },
    store::{StoreError, not_found, record::Record},
};

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one project.
    pub project: Option<ProjectId>,
    /// Of one run.
    pub run: Option<RunId>,
    /// Of one step.
    pub step: Option<StepId>,
    /// Of one kind.
    pub event_type: Option<String>,
    /// Of one area of work.
    pub category: Option<Category>,
    /// Only older than this sequence number.
    pub before: Option<i64>,
    /// Only newer than this sequence number.
    pub after: Option<i64>,
}

mod sql {
    use crate::db::dialect::statements;

    // One index gives the rows and their order; a run's or step's own events are few enough to be
    // looked through for the rest. Each end of the range has one bound: of two, SQLite may take the
    // wrong one and walk the whole table. With two columns in front it takes the right index only
    // when one end is left to it: the plus hides the other.
    macro_rules! subject {
        ($subject:literal, $order:literal) => {
            subject!($subject, " AND e.seq < $2 AND e.seq > $3", $order)
        };
        ($subject:literal, $range:literal, $order:literal) => {
            concat!(
                $subject,
                $range,
                " AND (CAST($4 AS TEXT) IS NULL OR e.event_type = $4)",
                " AND (CAST($5 AS TEXT) IS NULL OR e.kind = $5)",
                " AND (CAST($6 AS BIGINT) IS NULL OR e.project_id = $6)",
                " AND (CAST($7 AS BIGINT) IS NULL OR e.protocol_run_id = $7) ORDER BY e.seq ",
                $order,
                " LIMIT $8"
            )
        };
    }
    macro_rules! rows {
        ($($subject:literal),+) => {
            concat!(
                "SELECT e.seq, e.project_seq, e.project_id, e.protocol_run_id, e.step_run_id, e.event_type, e.kind, ",
                "e.message, e.metadata, e.actor, e.created_at, e.hash, r.protocol_name, p.name AS project_name ",
                "FROM events e LEFT JOIN projects p ON p.id = e.project_id ",
                "LEFT JOIN protocol_runs r ON r.id = e.protocol_run_id WHERE ",
                subject!($($subject),+)
            )
        };
    }
    // A page in one row: handing over many rows costs more than finding them. The separator is taken
    // out of the names, so that no name can stand for a key.
    macro_rules! keys {
        ($($subject:literal),+) => {
            concat!(
                "SELECT string_agg(CAST(seq AS TEXT) || ' ' || REPLACE(COALESCE(name, ''), $9, ''), $9) AS keys FROM (",
                "SELECT e.seq AS seq, p.name AS name FROM events e LEFT JOIN projects p ON p.id = e.project_id WHERE ",
                subject!($($subject,)+ "DESC"),
                ") AS pick"
            )
        };
    }

    statements! {
        OF_STEP = rows!("e.step_run_id = $1", "DESC");
        OF_STEP_SINCE = rows!("e.step_run_id = $1", "ASC");
        OF_STEP_KEYS = keys!("e.step_run_id = $1");
        OF_RUN = rows!("e.protocol_run_id = $1", "DESC");
        OF_RUN_SINCE = rows!("e.protocol_run_id = $1", "ASC");
        OF_RUN_KEYS = keys!("e.protocol_run_id = $1");
        OF_PROJECT = rows!("e.project_id = $1", "DESC");
        OF_PROJECT_SINCE = rows!("e.project_id = $1", "ASC");
        OF_PROJECT_KEYS = keys!("e.project_id = $1");
        OF_PROJECT_TYPE = rows!("e.event_type = $1 AND e.project_id = $6", " AND e.seq < $2 AND +e.seq > $3", "DESC");
        OF_PROJECT_TYPE_SINCE = rows!("e.event_type = $1 AND e.project_id = $6", " AND e.seq > $3 AND +e.seq < $2", "ASC");
        OF_PROJECT_TYPE_KEYS = keys!("e.event_type = $1 AND e.project_id = $6", " AND e.seq < $2 AND +e.seq > $3");
        OF_PROJECT_KIND = rows!("e.kind = $1 AND e.project_id = $6", " AND e.seq < $2 AND +e.seq > $3", "DESC");
        OF_PROJECT_KIND_SINCE = rows!("e.kind = $1 AND e.project_id = $6", " AND e.seq > $3 AND +e.seq < $2", "ASC");
        OF_PROJECT_KIND_KEYS = keys!("e.kind = $1 AND e.project_id = $6", " AND e.seq < $2 AND +e.seq > $3");
        OF_TYPE = rows!("e.event_type = $1", "DESC");
        OF_TYPE_SINCE = rows!("e.event_type = $1", "ASC");
        OF_TYPE_KEYS = keys!("e.event_type = $1");
        OF_KIND = rows!("e.kind = $1", "DESC");
        OF_KIND_SINCE = rows!("e.kind = $1", "ASC");
        OF_KIND_KEYS = keys!("e.kind = $1");
        OF_ALL = rows!("CAST($1 AS BIGINT) = 0", "DESC");
        OF_ALL_SINCE = rows!("CAST($1 AS BIGINT) = 0", "ASC");
        OF_ALL_KEYS = keys!("CAST($1 AS BIGINT) = 0");
        PROJECT_IS = "SELECT id FROM projects WHERE id = $1 AND (CAST($2 AS BIGINT) IS NULL OR id = $2)";
        RUN_IS = "SELECT id FROM protocol_runs WHERE id = $1 AND (CAST($2 AS BIGINT) IS NULL OR project_id = $2)";
        STEP_IS = "SELECT s.id FROM step_runs s JOIN protocol_runs r ON r.id = s.protocol_run_id \
                   WHERE s.id = $1 AND (CAST($2 AS BIGINT) IS NULL OR r.project_id = $2)";
    }
}
#[cfg(feature = "testing")]
pub(in crate::store) use sql::ALL;

/// Between the keys of a page; no project is called so.
const SEPARATOR: &str = "\u{1e}";

/// The three texts that walk one index.
struct Texts {
    newest: &'static str,
    since: &'static str,
    keys: &'static str,
}

impl Texts {
    const STEP: Self = Self { newest: sql::OF_STEP, since: sql::OF_STEP_SINCE, keys: sql::OF_STEP_KEYS };
    const RUN: Self = Self { newest: sql::OF_RUN, since: sql::OF_RUN_SINCE, keys: sql::OF_RUN_KEYS };
    const PROJECT: Self =
        Self { newest: sql::OF_PROJECT, since: sql::OF_PROJECT_SINCE, keys: sql::OF_PROJECT_KEYS };
    const PROJECT_TYPE: Self = Self {
        newest: sql::OF_PROJECT_TYPE,
        since: sql::OF_PROJECT_TYPE_SINCE,
        keys: sql::OF_PROJECT_TYPE_KEYS,
    };
    const PROJECT_KIND: Self = Self {
        newest: sql::OF_PROJECT_KIND,
        since: sql::OF_PROJECT_KIND_SINCE,
        keys: sql::OF_PROJECT_KIND_KEYS,
    };
    const TYPE: Self = Self { newest: sql::OF_TYPE, since: sql::OF_TYPE_SINCE, keys: sql::OF_TYPE_KEYS };
    const KIND: Self = Self { newest: sql::OF_KIND, since: sql::OF_KIND_SINCE, keys: sql::OF_KIND_KEYS };
    const ALL: Self = Self { newest: sql::OF_ALL, since: sql::OF_ALL_SINCE, keys: sql::OF_ALL_KEYS };
}

/// What to run, and with which values.
struct Question {
    texts: Texts,
    values: Vec<Arg>,
}

/// The statement and values of a list; `None` when nothing can be in it.
fn question(scope: &Scope, filter: &Filter, limit: i64) -> Option<Question> {
    let project = match (scope.project(), filter.project) {
        (Some(allowed), Some(asked)) if allowed != asked => return None,
        (allowed, asked) => allowed.or(asked).map(|id| id.0),
    };
    let kind = filter.event_type.as_deref().and_then(EventKind::parse);
    if let (Some(kind), Some(category)) = (kind, filter.category)
        && kind.category() != category
    {
        return None;
    }
    let run = filter.run.map(|id| id.0);
    let category = filter.category.map(Category::as_str);
    // What the index gives needs no second look.
    let (mut rest_type, mut rest_category) = (filter.event_type.clone(), category);
    let (texts, subject) = if let Some(step) = filter.step {
        (Texts::STEP, Arg::from(step.0))
    } else if let Some(run) = run {
        (Texts::RUN, Arg::from(run))
    } else if let Some(event_type) = rest_type.take() {
        (if project.is_some() { Texts::PROJECT_TYPE } else { Texts::TYPE }, Arg::from(event_type))
    } else if let Some(category) = rest_category.take() {
        (if project.is_some() { Texts::PROJECT_KIND } else { Texts::KIND }, Arg::from(category))
    } else if let Some(project) = project {
        (Texts::PROJECT, Arg::from(project))
    } else {
        (Texts::ALL, Arg::from(0))
    };
    let before = filter.before.unwrap_or(i64::MAX);
    let after = filter.after.unwrap_or(0);
    let values = args![subject, before, after, rest_type, rest_category, project, run, limit];
    Some(Question { texts, values })
}

/// Newest first.
pub async fn list(
    tx: &mut Tx,
    scope: &Scope,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let Some(question) = question(scope, filter, limit) else { return Ok(Vec::new()) };
    tx.all(question.texts.newest, question.values).await?.into_iter().map(read).collect()
}

/// Oldest first, for a reader that follows the timeline.
pub async fn since(
    tx: &mut Tx,
    scope: &Scope,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let Some(question) = question(scope, filter, limit) else { return Ok(Vec::new()) };
    tx.all(question.texts.since, question.values).await?.into_iter().map(read).collect()
}

/// An event of a page and the one thing about it that may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Which event.
    pub seq: i64,
    /// Name of its project now; empty for an event without one.
    pub project_name: String,
}

/// The keys of a page, newest first: what [`list`] gives, without the events.
pub async fn keys(tx: &mut Tx, scope: &Scope, filter: &Filter, limit: i64) -> Result<Vec<Key>, StoreError> {
    let Some(mut question) = question(scope, filter, limit) else { return Ok(Vec::new()) };
    question.values.push(Arg::from(SEPARATOR));
    let Some(row) = tx.first(question.texts.keys, question.values).await? else { return Ok(Vec::new()) };
    let Some(text) = row.text("keys")? else { return Ok(Vec::new()) };
    let one = |text: &str| {
        let (seq, name) = text.split_once(' ')?;
        Some(Key { seq: seq.parse().ok()?, project_name: name.to_owned() })
    };
    let keys: Option<Vec<Key>> = text.split(SEPARATOR).map(one).collect();
    let mut keys =
        keys.ok_or(StoreError::Corrupt { table: "events", id: "page".to_owned(), column: "keys" })?;
    // An aggregate promises no order.
    keys.sort_unstable_by_key(|key| std::cmp::Reverse(key.seq));
    Ok(keys)
}

/// Sequence number of the newest event that the filter lets through; 0 = there is none.
pub async fn newest(tx: &mut Tx, scope: &Scope, filter: &Filter) -> Result<i64, StoreError> {
    Ok(keys(tx, scope, filter, 1).await?.first().map_or(0, |key| key.seq))
}

/// Says that what the filter names exists in this scope.
pub async fn known(tx: &mut Tx, scope: &Scope, filter: &Filter) -> Result<(), StoreError> {
    let scope = scope.project().map(|id| id.0);
    let named = [
        ("projects", sql::PROJECT_IS, filter.project.map(|id| id.0)),
        ("protocol_runs", sql::RUN_IS, filter.run.map(|id| id.0)),
        ("step_runs", sql::STEP_IS, filter.step.map(|id| id.0)),
    ];
    for (table, text, id) in named {
        let Some(id) = id else { continue };
        let row = tx.first(text, args![id, scope]).await?.ok_or_else(|| not_found(table, id))?;
        Record::numbered(table, "id", row).int("id")?;
    }
    Ok(())
}
