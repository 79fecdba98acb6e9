//! Times, fields of the contract, readiness.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ids::{ProjectId, StepId};

#[test]
fn timestamps_are_golden() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_704_067_199_999, "2023-12-31T23:59:59.999Z"),
        (1_709_208_000_123, "2024-02-29T12:00:00.123Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (-2_208_988_800_000, "1900-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(timestamp(ms), text);
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[test]
fn every_day_of_four_centuries_follows_the_one_before() {
    let (mut year, mut month, mut day) = (1970, 1, 1);
    for number in 0..ERA {
        let found = civil(number * 86_400_000);
        assert_eq!((found.year, found.month, found.day), (year, month, day));
        day += 1;
        if day > days_of_month(year, month) {
            (month, day) = (month + 1, 1);
        }
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
}

const ERA: i64 = 146_097;

proptest! {
    #[test]
    fn timestamps_sort_as_their_times(one in 0..253_402_300_799_999_i64, other in 0..253_402_300_799_999_i64) {
        prop_assert_eq!(timestamp(one).cmp(&timestamp(other)), one.cmp(&other));
    }

    #[test]
    fn any_time_has_a_calendar(ms in any::<i64>()) {
        prop_assert!(timestamp(ms).ends_with('Z'));
    }
}

#[test]
fn a_project_carries_every_field_of_the_contract() {
    let project = Project {
        id: ProjectId(1),
        name: "demo".to_owned(),
        git_url: "/srv/r".to_owned(),
        local_path: None,
        base_branch: "main".to_owned(),
        ci_provider: None,
        default_models: ModelDefaults::default(),
        secrets_set: Vec::new(),
        archived_at: None,
        created_at: 0,
        updated_at: 1,
    };
    let body = serde_json::to_value(ProjectOut::from(&project)).expect("serializes");
    for key in [
        "id",
        "name",
        "org",
        "tags",
        "git_url",
        "local_path",
        "base_branch",
        "ci_provider",
        "project_classification",
        "default_models",
        "secrets_set",
        "policy_pack_key",
        "policy_pack_version",
        "policy_overrides",
        "policy_repo_local_enabled",
        "policy_effective_hash",
        "policy_enforcement_mode",
        "ci_required_checks",
        "automation",
        "budget",
        "spec_audit_interval_seconds",
        "allow_unsigned_webhooks",
        "archived_at",
        "created_at",
        "updated_at",
    ] {
        assert!(body.get(key).is_some(), "{key} is missing");
    }
    assert_eq!(body["updated_at"], json!("1970-01-01T00:00:00.001Z"));
    assert_eq!(body["default_models"], Value::Null);
}

#[test]
fn a_payload_names_subject_and_job() {
    let payload = Job::payload(&Work::ExecuteStep { step_run_id: StepId(4) }, "j1");
    assert_eq!(payload, json!({"step_run_id": 4, "job_id": "j1"}));
    assert_eq!(Job::payload(&Work::Maintenance, "j2"), json!({"job_id": "j2"}));
}

#[test]
fn a_problem_keeps_its_further_members() {
    let text = json!({
        "type": "about:blank", "title": "Conflict", "status": 409, "code": "illegal_transition",
        "detail": "d", "request_id": null, "current": "completed",
    });
    let problem: Problem = serde_json::from_value(text.clone()).expect("reads");
    assert_eq!(problem.more["current"], json!("completed"));
    assert_eq!(serde_json::to_value(&problem).expect("serializes"), text);
}

#[test]
fn readiness_follows_the_checks() {
    let checks = |db, workers, available| ReadyChecks {
        db: DatabaseCheck { ok: db, latency_ms: 1 },
        queue: QueueCheck { ok: true, waiting: 0, oldest_seconds: 0, workers },
        redis: None,
        engines: vec![EngineCheck { id: "codex".to_owned(), available, version: None }],
        disk: DiskCheck { ok: true, free_bytes: 1 },
    };
    assert_eq!(checks(true, 1, true).readiness(), Readiness::Ready);
    assert_eq!(checks(true, 0, true).readiness(), Readiness::Degraded);
    assert_eq!(checks(true, 1, false).readiness(), Readiness::Degraded);
    assert_eq!(checks(false, 1, true).readiness(), Readiness::NotReady);
}

#[test]
fn a_new_run_has_defaults_and_no_unknown_fields() {
    let new: NewProtocol = serde_json::from_value(json!({"short_name": "login"})).expect("reads");
    assert_eq!(new, NewProtocol { short_name: Some("login".to_owned()), ..NewProtocol::default() });
    assert_eq!(new.status, FirstStatus::Pending);
    for refused in [
        json!({"short_name": "login", "worktree_path": null}),
        json!({"short_name": "login", "status": "running"}),
        json!({"short_name": "login", "models": {"exec": "a", "other": "b"}}),
    ] {
        assert!(serde_json::from_value::<NewProtocol>(refused.clone()).is_err(), "{refused}");
    }
    let step = json!({"step_index": 0, "step_name": "a.md", "step_type": "work"});
    let step: NewStep = serde_json::from_value(step).expect("reads");
    assert_eq!(step.status, FirstStepStatus::Pending);
}

#[test]
fn a_change_tells_null_from_absence() {
    let change = |body: serde_json::Value| serde_json::from_value::<ProtocolChange>(body);
    assert_eq!(change(json!({})).expect("reads"), ProtocolChange::default());
    let removed = change(json!({"description": null})).expect("reads");
    assert_eq!(removed.description, Some(None));
    assert_eq!(serde_json::to_value(&removed).expect("serializes"), json!({"description": null}));
    assert!(change(json!({"base_branch": null})).is_err(), "a run has a base branch");
    assert!(change(json!({"auto_advance": null})).is_err());
    let edit: StepEdit = serde_json::from_value(json!({"policy": null, "model": "m"})).expect("reads");
    assert_eq!((edit.policy, edit.model), (Some(None), Some(Some("m".to_owned()))));
    assert_eq!((edit.engine_id, edit.summary), (None, None));
}
