//! Counts facts in the transaction they happen in: they are noted on the transaction and written just
//! before it commits, so a fact is counted exactly when it is stored. Decides nothing about what counts.
//!
//! Being written last and in the order of their keys, tallies never make two transactions wait for each
//! other in a circle. One statement per series; one more for a series with a model.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{DbError, Tx, dialect::args};
use crate::metrics::family::{Family, Kind};

/// Most series of a family whose labels hold a model; further models are counted as `other`. People
/// and agents choose model names, and nobody may grow the table or the scrape with them.
pub const MOST_SERIES: i64 = 2000;
/// Longest value of a label, in characters.
const LONGEST_LABEL: usize = 64;
/// The label whose values others choose.
const MODEL: &str = "model";
/// Value of a label past the cap.
pub const OTHER: &str = "other";

/// Series: name, labels as canonical JSON, bucket.
type Key = (&'static str, String, &'static str);

/// What a transaction has counted so far: how often, and how much in all.
#[derive(Debug, Default)]
pub struct Tallies(BTreeMap<Key, (i64, i64)>);

mod sql {
    use crate::db::dialect::statements;

    statements! {
        ROOM = "SELECT COUNT(*) AS series, \
                SUM(CASE WHEN labels = CAST($2 AS TEXT) AND bucket = CAST($3 AS TEXT) THEN 1 ELSE 0 END) AS own \
                FROM tallies WHERE name = $1";
        ADD = "INSERT INTO tallies (name, labels, bucket, count, total) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (name, labels, bucket) DO UPDATE SET count = tallies.count + excluded.count, \
               total = tallies.total + excluded.total";
    }
}
#[cfg(feature = "testing")]
pub use sql::ALL;

impl Tx {
    /// Adds to a counter, if there is anything to add.
    pub fn count(&mut self, family: &'static Family, labels: &[(&'static str, &str)], amount: i64) {
        if amount > 0 {
            self.notes.tallies.add((family.name, written(labels), ""), amount);
        }
    }

    /// Counts one observation. One without a length is counted, but in no bucket.
    pub fn observe(&mut self, family: &'static Family, labels: &[(&'static str, &str)], millis: Option<i64>) {
        debug_assert_eq!(family.kind, Kind::Histogram);
        let millis = millis.map(|millis| millis.max(0));
        let bucket = millis.map_or("", |millis| {
            #[expect(clippy::cast_precision_loss, reason = "no job takes 2^53 ms")]
            let seconds = millis as f64 / 1000.0;
            family.bounds.iter().find(|(bound, _)| seconds <= *bound).map_or("+Inf", |(_, word)| *word)
        });
        self.notes.tallies.add((family.name, written(labels), bucket), millis.unwrap_or_default());
    }

    /// Writes what was counted; the last statements of a transaction.
    pub(super) async fn write_tallies(&mut self) -> Result<(), DbError> {
        let mut counted = Tallies::default();
        for ((name, labels, bucket), (count, total)) in std::mem::take(&mut self.notes.tallies.0) {
            let labels = self.bounded(name, labels, bucket).await?;
            let sum = counted.0.entry((name, labels, bucket)).or_default();
            *sum = (sum.0 + count, sum.1.saturating_add(total));
        }
        for ((name, labels, bucket), (count, total)) in counted.0 {
            self.execute(sql::ADD, args![name, labels, bucket, count, total]).await?;
        }
        Ok(())
    }

    /// The labels, or those with `other` as the model when the family has no room for another series.
    async fn bounded(&mut self, name: &str, labels: String, bucket: &str) -> Result<String, DbError> {
        let Ok(mut read) = serde_json::from_str::<Map<String, Value>>(&labels) else { return Ok(labels) };
        if !read.contains_key(MODEL) {
            return Ok(labels);
        }
        let row = self.first(sql::ROOM, args![name, &labels, bucket]).await?;
        let (series, own) = match row {
            Some(row) => (row.int("series")?.unwrap_or(0), row.int("own")?.unwrap_or(0)),
            None => (0, 0),
        };
        if own > 0 || series < MOST_SERIES {
            return Ok(labels);
        }
        read.insert(MODEL.to_owned(), Value::from(OTHER));
        Ok(Value::Object(read).to_string())
    }
}

impl Tallies {
    /// Adds what another transaction counted.
    pub(super) fn add_all(&mut self, other: Self) {
        for (key, (count, total)) in other.0 {
            let sum = self.0.entry(key).or_default();
            *sum = (sum.0 + count, sum.1.saturating_add(total));
        }
    }

    fn add(&mut self, key: Key, amount: i64) {
        let sum = self.0.entry(key).or_default();
        *sum = (sum.0 + 1, sum.1.saturating_add(amount));
    }
}

/// Labels as canonical JSON, each value short and of harmless signs.
fn written(labels: &[(&'static str, &str)]) -> String {
    let labels: Map<String, Value> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), Value::from(plain(value)))).collect();
    Value::Object(labels).to_string()
}

fn plain(value: &str) -> String {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "._:/@+-".contains(sign);
    value.chars().take(LONGEST_LABEL).map(|sign| if is_plain(sign) { sign } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_one_order_and_tame() {
        let long = "m\"\n{}é ".repeat(99);
        let text = written(&[("phase", "exec"), ("model", &long)]);
        assert!(text.starts_with("{\"model\":\"m______m"), "{text}");
        assert_eq!(text, written(&[("model", &long), ("phase", "exec")]));
        assert!(text.len() < 100, "{text}");
    }
}
