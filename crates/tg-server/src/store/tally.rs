//! Totals of the fleet as the database holds them, and what an engine call adds to them. Counting
//! itself is a matter of the transaction (`db::tally`).

use serde_json::Value;
use tg_core::protocol::{CallStatus, Usage};

use super::{StoreError, call::CallEnd, record::Record};
use crate::{
    db::{Tx, dialect::args},
    metrics::family::{COST_CENTS, ENGINE_ERRORS, TOKENS_USED},
};

/// One stored series, or one bucket of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Family.
    pub name: String,
    /// Labels, by name.
    pub labels: Vec<(String, String)>,
    /// Bound that the observations fell under; empty for a plain count.
    pub bucket: String,
    /// Observations.
    pub count: i64,
    /// What they add up to.
    pub total: i64,
}

mod sql {
    use crate::db::dialect::statements;

    statements! {
        LIST = "SELECT name, labels, bucket, count, total FROM tallies ORDER BY name, labels, bucket";
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "tallies";

/// All of them; the table holds no history, so it stays small.
pub async fn list(tx: &mut Tx) -> Result<Vec<Tally>, StoreError> {
    let rows = tx.all(sql::LIST, args![]).await?;
    rows.into_iter()
        .map(|row| {
            let row = Record::named(TABLE, "name", row);
            let Value::Object(labels) = row.json("labels")? else { return Err(row.corrupt("labels")) };
            let labels = labels.into_iter().map(|(name, value)| match value {
                Value::String(value) => Ok((name, value)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    Err(row.corrupt("labels"))
                }
            });
            Ok(Tally {
                labels: labels.collect::<Result<_, _>>()?,
                bucket: row.text("bucket")?,
                count: row.int("count")?,
                total: row.int("total")?,
                name: row.text("name")?,
            })
        })
        .collect()
}

/// The phase that a kind of call belongs to.
pub fn phase(run_kind: &str) -> &str {
    match run_kind {
        "plan" => "planning",
        "qa_inline" => "qa",
        other => other,
    }
}

/// The model as a label: nobody named one = the engine's own.
pub fn model(named: Option<&str>) -> &str {
    named.unwrap_or("default")
}

/// Counts what an ended call used, and that it failed. `row` is the call as its end was written.
pub(super) fn call_ended(tx: &mut Tx, row: &Record, end: &CallEnd) -> Result<(), StoreError> {
    let params: Value = row.maybe_json("params")?.unwrap_or_default();
    let word = |key: &str| params.get(key).and_then(Value::as_str);
    let (engine, model) = (word("engine_id").unwrap_or("none"), model(word("model")));
    if end.status == CallStatus::Failed {
        // A call that ended well but whose answer we refused has no kind of failure of its own.
        let told = end.result.as_ref().and_then(|result| result.get("error_type")).and_then(Value::as_str);
        let category = told.unwrap_or("answer_refused");
        let labels = [("engine", engine), ("model", model), ("category", category)];
        tx.count(&ENGINE_ERRORS, &labels, 1);
    }
    let run_kind = row.maybe_text("run_kind")?.unwrap_or_default();
    let project = row.maybe_int("project_id")?.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let mut used = |family, kind, amount: i64| {
        let labels =
            [("phase", phase(&run_kind)), ("model", model), ("project_id", &project), ("kind", kind)];
        tx.count(family, &labels, amount);
    };
    if let Some(usage) = &end.usage {
        for (kind, tokens) in tokens(usage) {
            used(&TOKENS_USED, kind, i64::try_from(tokens).unwrap_or(i64::MAX));
        }
        let kind = if usage.reported { "reported" } else { "estimated" };
        used(&COST_CENTS, kind, end.cost_cents.unwrap_or_default());
    }
    Ok(())
}

const fn tokens(usage: &Usage) -> [(&'static str, u64); 4] {
    [
        ("input", usage.input),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("output", usage.output),
    ]
}
