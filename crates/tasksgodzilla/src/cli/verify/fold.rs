//! Adds the transitions of the timeline up, from the newest event back: what a row says now must be
//! where its newest transition led, and each transition must begin where the one before it ended.

use std::collections::BTreeMap;

use serde_json::Value;
use tg_core::protocol::{ProtocolRun, StepRun};

/// Every row begins here.
const BEGIN: &str = "pending";

/// The walk so far.
#[derive(Debug)]
pub struct Fold {
    /// What each row must have been after the next older transition; the row's word at first.
    now: BTreeMap<(String, i64), String>,
    seen: u64,
    bad: Option<String>,
}

impl Fold {
    /// Starts from the rows. Transitions of other rows are passed over: a plan replaces steps that never
    /// ran, and their rows go.
    pub fn new(rows: &[(ProtocolRun, Vec<StepRun>)]) -> Self {
        let mut now = BTreeMap::new();
        for (run, steps) in rows {
            now.insert(("protocol_run".to_owned(), run.id.0), run.status.as_str().to_owned());
            for step in steps {
                now.insert(("step_run".to_owned(), step.id.0), step.status.as_str().to_owned());
            }
        }
        Self { now, seen: 0, bad: None }
    }

    /// Takes the transitions of one event, the newest first.
    pub fn add(&mut self, seq: i64, metadata: &Value) {
        let transitions = metadata.get("transitions").and_then(Value::as_array);
        for transition in transitions.into_iter().flatten().rev() {
            let word = |key: &str| transition.get(key).and_then(Value::as_str);
            let id = transition.get("id").and_then(Value::as_i64);
            let (Some(entity), Some(id), Some(from), Some(to)) =
                (word("entity"), id, word("from"), word("to"))
            else {
                self.wrong(format!("event {seq}: a transition cannot be read"));
                continue;
            };
            self.seen += 1;
            let Some(now) = self.now.get_mut(&(entity.to_owned(), id)) else { continue };
            let was = std::mem::replace(now, from.to_owned());
            if was != to {
                self.wrong(format!("{entity} {id} is {was}, but event {seq} says {to}"));
            }
        }
    }

    /// Transitions seen.
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// The first thing found wrong, rows that do not lead back to their beginning included.
    pub fn first_bad(self) -> Option<String> {
        self.bad.or_else(|| {
            let lost = self.now.iter().find(|(_, status)| *status != BEGIN)?;
            let ((entity, id), status) = lost;
            Some(format!("{entity} {id} came to be {status} without an event"))
        })
    }

    fn wrong(&mut self, bad: String) {
        self.bad.get_or_insert(bad);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fold(status: &str) -> Fold {
        let now = BTreeMap::from([(("step_run".to_owned(), 1), status.to_owned())]);
        Fold { now, seen: 0, bad: None }
    }

    fn moved(id: i64, from: &str, to: &str) -> Value {
        json!({"transitions": [{"entity": "step_run", "id": id, "from": from, "to": to}]})
    }

    #[test]
    fn rows_are_what_the_events_add_up_to() {
        let mut good = fold("completed");
        good.add(9, &moved(1, "running", "completed"));
        good.add(8, &moved(7, "running", "completed"));
        good.add(7, &json!(null));
        good.add(5, &moved(1, "pending", "running"));
        assert_eq!((good.seen(), good.first_bad()), (3, None));
    }

    #[test]
    fn a_row_changed_by_hand_is_found() {
        let mut changed = fold("completed");
        changed.add(9, &moved(1, "running", "failed"));
        changed.add(5, &moved(1, "pending", "running"));
        assert_eq!(changed.first_bad().unwrap(), "step_run 1 is completed, but event 9 says failed");
        assert_eq!(fold("running").first_bad().unwrap(), "step_run 1 came to be running without an event");
    }

    #[test]
    fn a_missing_event_is_found() {
        let mut gap = fold("completed");
        gap.add(9, &moved(1, "needs_qa", "completed"));
        gap.add(5, &moved(1, "pending", "running"));
        assert!(gap.first_bad().unwrap().contains("event 5 says running"));
    }
}
