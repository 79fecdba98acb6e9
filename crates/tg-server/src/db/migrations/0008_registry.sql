-- The registry is listed newest first by `seq`, a UUIDv7 of ours: the id of a run that was registered
-- from outside is chosen by its maker and has no order. Runs of ours have a job, outside ones have none.
ALTER TABLE codex_runs ADD COLUMN seq TEXT NOT NULL DEFAULT '';
ALTER TABLE codex_runs ADD COLUMN cost_tokens BIGINT;
UPDATE codex_runs SET seq = id;
CREATE UNIQUE INDEX codex_runs_seq ON codex_runs (seq);

-- Each combination of filters reads one index to its end. A row is written once a call, and a call takes
-- seconds at least, so many indexes cost nothing that shows. Within one run or step the rest is filtered.
DROP INDEX codex_runs_by_run;
DROP INDEX codex_runs_by_step;
DROP INDEX codex_runs_by_project;
DROP INDEX codex_runs_by_kind;
CREATE INDEX codex_runs_by_run ON codex_runs (protocol_run_id, seq);
CREATE INDEX codex_runs_by_step ON codex_runs (step_run_id, seq);
CREATE INDEX codex_runs_by_kind ON codex_runs (run_kind, seq);
CREATE INDEX codex_runs_by_type ON codex_runs (job_type, seq);
CREATE INDEX codex_runs_by_status ON codex_runs (status, seq);
CREATE INDEX codex_runs_by_kind_type ON codex_runs (run_kind, job_type, seq);
CREATE INDEX codex_runs_by_kind_status ON codex_runs (run_kind, status, seq);
CREATE INDEX codex_runs_by_type_status ON codex_runs (job_type, status, seq);
CREATE INDEX codex_runs_by_kind_type_status ON codex_runs (run_kind, job_type, status, seq);
CREATE INDEX codex_runs_of_project ON codex_runs (project_id, seq);
CREATE INDEX codex_runs_of_project_kind ON codex_runs (project_id, run_kind, seq);
CREATE INDEX codex_runs_of_project_type ON codex_runs (project_id, job_type, seq);
CREATE INDEX codex_runs_of_project_status ON codex_runs (project_id, status, seq);
CREATE INDEX codex_runs_of_project_kind_type ON codex_runs (project_id, run_kind, job_type, seq);
CREATE INDEX codex_runs_of_project_kind_status ON codex_runs (project_id, run_kind, status, seq);
CREATE INDEX codex_runs_of_project_type_status ON codex_runs (project_id, job_type, status, seq);
CREATE INDEX codex_runs_of_project_kind_type_status ON codex_runs (project_id, run_kind, job_type, status, seq);
-- The newest attempt of a job, and in it the call that the job is about (the first one).
CREATE INDEX codex_runs_of_job ON codex_runs (job_id, attempt DESC, seq);

-- Where an artifact belongs, told again, so that the lists of a run and of a step read one index.
ALTER TABLE run_artifacts ADD COLUMN project_id BIGINT REFERENCES projects (id);
ALTER TABLE run_artifacts ADD COLUMN protocol_run_id BIGINT REFERENCES protocol_runs (id);
ALTER TABLE run_artifacts ADD COLUMN step_run_id BIGINT REFERENCES step_runs (id) ON DELETE SET NULL;
UPDATE run_artifacts SET
  project_id = (SELECT c.project_id FROM codex_runs c WHERE c.id = run_artifacts.run_id),
  protocol_run_id = (SELECT c.protocol_run_id FROM codex_runs c WHERE c.id = run_artifacts.run_id),
  step_run_id = (SELECT c.step_run_id FROM codex_runs c WHERE c.id = run_artifacts.run_id);
CREATE INDEX run_artifacts_of_call ON run_artifacts (run_id, id);
CREATE INDEX run_artifacts_of_call_kind ON run_artifacts (run_id, kind, id);
CREATE INDEX run_artifacts_of_run ON run_artifacts (protocol_run_id, id);
CREATE INDEX run_artifacts_of_run_kind ON run_artifacts (protocol_run_id, kind, id);
CREATE INDEX run_artifacts_of_step ON run_artifacts (step_run_id, id);
CREATE INDEX run_artifacts_of_step_kind ON run_artifacts (step_run_id, kind, id);

-- Ended jobs are entered once, when they end; live ones are few and found by `jobs_by_state`.
CREATE INDEX jobs_by_kind ON jobs (kind, id);
CREATE INDEX jobs_of_project ON jobs (project_id, id);
CREATE INDEX jobs_of_project_kind ON jobs (project_id, kind, id);
CREATE INDEX jobs_ended_by_kind ON jobs (kind, state, id) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_ended_of_project ON jobs (project_id, state, id) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_ended_of_project_kind ON jobs (project_id, kind, state, id) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_live_of_project ON jobs (project_id, state, id) WHERE state IN ('queued', 'started');

-- Ended jobs by state and project (0 = without one). A job that ended is counted row by row until it is
-- told here; nobody waits for a row of this table when a job ends.
CREATE TABLE job_counts (
  state TEXT NOT NULL,
  project_id BIGINT NOT NULL,
  ended BIGINT NOT NULL,
  PRIMARY KEY (state, project_id)
);
ALTER TABLE jobs ADD COLUMN counted BIGINT NOT NULL DEFAULT 0 CHECK (counted IN (0, 1));
CREATE INDEX jobs_uncounted ON jobs (state, project_id) WHERE finished_at IS NOT NULL AND counted = 0;
