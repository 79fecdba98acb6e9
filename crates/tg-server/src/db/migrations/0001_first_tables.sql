-- Types are TEXT and BIGINT only. Times are milliseconds since the epoch, UTC. Flags are 0 or 1.
-- JSON is TEXT. Words of closed sets are checked here and compared with the code by a test.

CREATE TABLE projects (
  id @identity@,
  name TEXT NOT NULL,
  git_url TEXT NOT NULL,
  local_path TEXT,
  base_branch TEXT NOT NULL,
  default_models TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX projects_local_path ON projects (local_path, id);
CREATE INDEX projects_git_url ON projects (git_url, id);

CREATE TABLE protocol_runs (
  id @identity@,
  project_id BIGINT NOT NULL REFERENCES projects (id),
  protocol_name TEXT NOT NULL,
  kind TEXT NOT NULL DEFAULT 'protocol' CHECK (kind IN ('protocol', 'setup')),
  status TEXT NOT NULL CHECK (status IN ('pending', 'planning', 'planned', 'running', 'paused', 'blocked', 'failed', 'cancelled', 'completed')),
  status_reason TEXT,
  paused_from TEXT CHECK (paused_from IN ('pending', 'planning', 'planned', 'running', 'paused', 'blocked', 'failed', 'cancelled', 'completed')),
  auto_advance BIGINT NOT NULL CHECK (auto_advance IN (0, 1)),
  engine TEXT,
  models TEXT NOT NULL,
  base_branch TEXT NOT NULL,
  base_sha TEXT,
  worktree_path TEXT,
  protocol_root TEXT,
  description TEXT,
  template_config TEXT,
  spec_hash TEXT,
  spec_validation_status TEXT CHECK (spec_validation_status IN ('valid', 'invalid', 'missing')),
  spec_validated_at BIGINT,
  confinement TEXT CHECK (confinement IN ('bwrap', 'off')),
  sandbox_off BIGINT NOT NULL CHECK (sandbox_off IN (0, 1)),
  pr_number BIGINT,
  pr_url TEXT,
  pr_state TEXT CHECK (pr_state IN ('open', 'merged', 'closed')),
  head_sha TEXT,
  pushed_sha TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  finished_at BIGINT,
  CHECK ((status IN ('failed', 'cancelled', 'completed')) = (finished_at IS NOT NULL)),
  CHECK (status <> 'paused' OR paused_from IS NOT NULL),
  UNIQUE (project_id, protocol_name)
);
CREATE INDEX protocol_runs_by_project ON protocol_runs (project_id, id);
CREATE INDEX protocol_runs_open ON protocol_runs (id) WHERE status IN ('pending', 'planning', 'planned', 'running', 'blocked');

CREATE TABLE step_runs (
  id @identity@,
  protocol_run_id BIGINT NOT NULL REFERENCES protocol_runs (id),
  step_index BIGINT NOT NULL CHECK (step_index >= 0),
  step_name TEXT NOT NULL,
  step_type TEXT NOT NULL CHECK (step_type IN ('setup', 'work', 'qa')),
  status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'needs_qa', 'completed', 'failed', 'cancelled', 'blocked')),
  status_reason TEXT,
  model TEXT,
  summary TEXT,
  engine_id TEXT,
  policy TEXT,
  retries BIGINT NOT NULL DEFAULT 0 CHECK (retries >= 0),
  runtime_state TEXT NOT NULL,
  start_sha TEXT,
  head_sha TEXT,
  started_at BIGINT,
  finished_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  CHECK ((status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
  UNIQUE (protocol_run_id, step_index),
  UNIQUE (protocol_run_id, step_name)
);

-- One chain per project; chain 0 holds the events without one. The head is compared with the events,
-- so a cut tail shows.
CREATE TABLE event_chains (
  chain BIGINT PRIMARY KEY,
  last_project_seq BIGINT NOT NULL,
  last_hash TEXT NOT NULL
);

-- No reference to a step: a step that never ran may be replaced, what was told about it stays.
CREATE TABLE events (
  seq @identity@,
  chain BIGINT NOT NULL,
  project_seq BIGINT NOT NULL CHECK (project_seq > 0),
  project_id BIGINT REFERENCES projects (id),
  protocol_run_id BIGINT REFERENCES protocol_runs (id),
  step_run_id BIGINT,
  event_type TEXT NOT NULL,
  message TEXT NOT NULL,
  metadata TEXT NOT NULL,
  actor TEXT,
  created_at BIGINT NOT NULL,
  hash TEXT NOT NULL,
  CHECK (chain = COALESCE(project_id, 0)),
  UNIQUE (chain, project_seq)
);
CREATE INDEX events_by_project ON events (project_id, seq);
CREATE INDEX events_by_run ON events (protocol_run_id, seq);
CREATE INDEX events_by_step ON events (step_run_id, seq);

CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  queue TEXT NOT NULL DEFAULT 'default',
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('queued', 'started', 'finished', 'failed', 'cancelled')),
  priority BIGINT NOT NULL DEFAULT 0,
  run_at BIGINT NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  max_attempts BIGINT NOT NULL CHECK (max_attempts > 0),
  unique_key TEXT NOT NULL,
  concurrency_key TEXT,
  fence BIGINT NOT NULL DEFAULT 0,
  lease_owner TEXT,
  lease_until BIGINT,
  cancel_requested BIGINT NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
  last_error TEXT,
  request_id TEXT,
  project_id BIGINT REFERENCES projects (id),
  protocol_run_id BIGINT REFERENCES protocol_runs (id),
  step_run_id BIGINT REFERENCES step_runs (id) ON DELETE SET NULL,
  created_at BIGINT NOT NULL,
  started_at BIGINT,
  finished_at BIGINT,
  CHECK ((state IN ('finished', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
  CHECK ((state = 'started') = (lease_until IS NOT NULL)),
  CHECK ((state = 'started') = (lease_owner IS NOT NULL))
)@busy_table@;
CREATE UNIQUE INDEX jobs_live_key ON jobs (unique_key) WHERE state IN ('queued', 'started');
CREATE INDEX jobs_ready ON jobs (queue, priority DESC, run_at, id) WHERE state = 'queued';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX jobs_owned ON jobs (lease_owner) WHERE state = 'started';
CREATE INDEX jobs_running ON jobs (concurrency_key) WHERE state = 'started';
CREATE INDEX jobs_live_of_run ON jobs (protocol_run_id) WHERE state IN ('queued', 'started');
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_by_step ON jobs (step_run_id) WHERE step_run_id IS NOT NULL;

CREATE TABLE job_limits (
  concurrency_key TEXT PRIMARY KEY,
  max_running BIGINT NOT NULL CHECK (max_running >= 0)
);

-- One row per call of an engine or attempt of a job. `job_id` outlives the job, which is pruned.
CREATE TABLE codex_runs (
  id TEXT PRIMARY KEY,
  job_id TEXT,
  job_type TEXT NOT NULL,
  run_kind TEXT,
  status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  project_id BIGINT REFERENCES projects (id),
  protocol_run_id BIGINT REFERENCES protocol_runs (id),
  step_run_id BIGINT REFERENCES step_runs (id) ON DELETE SET NULL,
  queue TEXT NOT NULL DEFAULT 'default',
  attempt BIGINT,
  worker_id TEXT,
  prompt_version TEXT,
  params TEXT,
  result TEXT,
  error TEXT,
  has_log BIGINT NOT NULL CHECK (has_log IN (0, 1)),
  usage_reported BIGINT CHECK (usage_reported IN (0, 1)),
  input_tokens BIGINT,
  cache_read_tokens BIGINT,
  cache_write_tokens BIGINT,
  output_tokens BIGINT,
  reasoning_tokens BIGINT,
  cost_usd TEXT,
  cost_cents BIGINT,
  started_at BIGINT,
  finished_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
);
CREATE INDEX codex_runs_by_run ON codex_runs (protocol_run_id, id);
CREATE INDEX codex_runs_by_step ON codex_runs (step_run_id, id);
CREATE INDEX codex_runs_by_project ON codex_runs (project_id, id);
CREATE INDEX codex_runs_by_kind ON codex_runs (run_kind, id);
CREATE INDEX codex_runs_open ON codex_runs (job_id) WHERE finished_at IS NULL;

CREATE TABLE run_artifacts (
  id @identity@,
  run_id TEXT NOT NULL REFERENCES codex_runs (id),
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  bytes BIGINT NOT NULL CHECK (bytes >= 0),
  created_at BIGINT NOT NULL,
  UNIQUE (run_id, name)
);
