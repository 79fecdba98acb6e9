-- The area of work of an event, beside its type, so that a list by area reads one index. It follows
-- from the type, so it is no part of the hash chain; `verify` compares the two.
ALTER TABLE events ADD COLUMN kind TEXT NOT NULL DEFAULT '';

UPDATE events SET kind = CASE
  WHEN event_type IN (
    'project_created', 'project_updated', 'project_archived', 'project_secret_set',
    'project_secret_removed', 'project_token_rotated', 'setup_enqueued', 'setup_started',
    'setup_repo_present', 'setup_pending_clone', 'setup_clone_failed', 'setup_cloned',
    'setup_local_path_recorded', 'setup_discovery_started', 'setup_discovery_completed',
    'setup_discovery_skipped', 'setup_discovery_warning', 'setup_assets', 'setup_warning',
    'setup_git_remote', 'setup_git_identity', 'setup_clarifications', 'setup_blocked',
    'setup_completed', 'setup_failed'
  ) THEN 'onboarding'
  WHEN event_type IN (
    'policy_pack_saved', 'policy_pack_deprecated', 'policy_changed', 'clarification_created',
    'clarification_answered', 'policy_autofix', 'policy_findings', 'policy_blocked'
  ) THEN 'policy'
  WHEN event_type IN (
    'step_reset', 'loop_decision', 'loop_limit_reached', 'loop_condition_skipped'
  ) THEN 'loop'
  WHEN event_type IN (
    'trigger_decision', 'trigger_condition_skipped', 'trigger_missing_target', 'trigger_skipped',
    'trigger_enqueued', 'trigger_enqueue_failed', 'trigger_pending',
    'trigger_inline_depth_exceeded'
  ) THEN 'trigger'
  WHEN event_type IN (
    'qa_enqueued', 'qa_skipped_policy', 'qa_blocked_clarifications', 'qa_blocked_repo',
    'qa_passed', 'qa_failed', 'qa_passed_inline', 'qa_failed_inline', 'qa_error',
    'qa_inline_error', 'manual_approval'
  ) THEN 'qa'
  WHEN event_type IN (
    'repo_missing', 'repo_clone_failed', 'open_pr_enqueued', 'open_pr', 'open_pr_skipped',
    'open_pr_failed', 'open_pr_branch_exists', 'branch_created', 'branch_deleted',
    'branch_delete_failed', 'pr_merged', 'mr_merged', 'pr_closed', 'mr_closed'
  ) THEN 'git'
  WHEN event_type IN (
    'ci_triggered', 'webhook_received', 'webhook_ignored', 'ci_passed', 'ci_failed',
    'fix_ci_spawned', 'review_spawned'
  ) THEN 'ci'
  WHEN event_type IN (
    'budget_warning', 'budget_exceeded', 'model_fallback'
  ) THEN 'budget'
  WHEN event_type IN (
    'spec_audit', 'token_created', 'token_revoked', 'worker_changed'
  ) THEN 'audit'
  WHEN event_type IN (
    'step_created', 'step_updated', 'step_enqueued', 'step_retry_enqueued',
    'step_stuck_watchdog', 'step_blocked_clarifications', 'step_blocked', 'step_started',
    'step_completed', 'step_execution_failed', 'codemachine_step_completed',
    'codemachine_step_failed'
  ) THEN 'step'
  WHEN event_type IN (
    'job_retry_scheduled', 'job_failed', 'unknown_job'
  ) THEN 'job'
  ELSE 'run'
END;

-- Every combination of filters reads one of these from its newest end.
CREATE INDEX events_by_type ON events (event_type, seq);
CREATE INDEX events_by_kind ON events (kind, seq);
CREATE INDEX events_by_project_type ON events (project_id, event_type, seq);
CREATE INDEX events_by_project_kind ON events (project_id, kind, seq);
