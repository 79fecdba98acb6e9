-- Comments of people on the changes of a run. `sent_job` and `sent_call` name the job and the call whose
-- prompt a comment was last in; both are pruned some day, so they are no references.
CREATE TABLE review_comments (
  id @identity@,
  protocol_run_id BIGINT NOT NULL REFERENCES protocol_runs (id),
  path TEXT NOT NULL,
  side TEXT NOT NULL CHECK (side IN ('old', 'new')),
  line BIGINT NOT NULL CHECK (line > 0),
  sha TEXT NOT NULL,
  body TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'sent', 'resolved', 'outdated')),
  author TEXT,
  sent_job TEXT,
  sent_call TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  CHECK ((sent_job IS NULL) = (sent_call IS NULL)),
  CHECK (state <> 'sent' OR sent_call IS NOT NULL)
);
CREATE INDEX review_comments_by_run ON review_comments (protocol_run_id, id);
CREATE INDEX review_comments_unsettled ON review_comments (protocol_run_id, id) WHERE state IN ('open', 'sent');
