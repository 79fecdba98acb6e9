-- An archived run is not listed and refuses work; its rows and files stay.
ALTER TABLE protocol_runs ADD COLUMN archived_at BIGINT CHECK (archived_at IS NULL OR status IN ('pending', 'failed', 'cancelled', 'completed'));
-- Number in the name (`NNNN-task`), so that the next one is found without reading every name.
ALTER TABLE protocol_runs ADD COLUMN protocol_number BIGINT;
UPDATE protocol_runs SET protocol_number = CAST(substr(protocol_name, 1, 4) AS BIGINT)
  WHERE substr(protocol_name, 1, 1) BETWEEN '0' AND '9' AND substr(protocol_name, 2, 1) BETWEEN '0' AND '9'
  AND substr(protocol_name, 3, 1) BETWEEN '0' AND '9' AND substr(protocol_name, 4, 1) BETWEEN '0' AND '9'
  AND substr(protocol_name, 5, 1) = '-';
DROP INDEX protocol_runs_by_project;
CREATE INDEX protocol_runs_listed ON protocol_runs (project_id, id) WHERE archived_at IS NULL;
CREATE INDEX protocol_runs_listed_by_status ON protocol_runs (project_id, status, id) WHERE archived_at IS NULL;
CREATE INDEX protocol_runs_by_number ON protocol_runs (project_id, protocol_number) WHERE protocol_number IS NOT NULL;
-- What the scheduler looks at. Nothing can be missed for a pending run.
DROP INDEX protocol_runs_open;
CREATE INDEX protocol_runs_open ON protocol_runs (id) WHERE status IN ('planning', 'planned', 'running', 'blocked');
