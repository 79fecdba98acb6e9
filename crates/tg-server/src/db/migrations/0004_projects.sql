ALTER TABLE projects ADD COLUMN ci_provider TEXT CHECK (ci_provider IN ('github', 'gitlab'));
-- Set once; an archived project is hidden from lists and takes no new work.
ALTER TABLE projects ADD COLUMN archived_at BIGINT;
CREATE INDEX projects_listed ON projects (archived_at, id);
CREATE INDEX protocol_runs_unfinished ON protocol_runs (project_id) WHERE finished_at IS NULL;

-- `sealed` opens only with the key named by `key_id` and only for this project and secret, so a row
-- that was copied to another place is worth nothing.
CREATE TABLE project_secrets (
  project_id BIGINT NOT NULL REFERENCES projects (id),
  secret_key TEXT NOT NULL,
  key_id TEXT NOT NULL,
  sealed TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (project_id, secret_key)
);
CREATE INDEX project_secrets_by_key ON project_secrets (key_id, project_id, secret_key);
