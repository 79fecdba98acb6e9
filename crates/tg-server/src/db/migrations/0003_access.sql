-- Tokens, sessions and login codes. Of a secret only its SHA-256 is here; a dump opens nothing.

-- `prefix` is how the text of a token begins: it finds the row, the digest decides.
CREATE TABLE access_tokens (
  id @identity@,
  name TEXT NOT NULL,
  scope TEXT NOT NULL CHECK (scope IN ('admin', 'project')),
  project_id BIGINT REFERENCES projects (id),
  is_project_token BIGINT NOT NULL CHECK (is_project_token IN (0, 1)),
  prefix TEXT NOT NULL,
  digest TEXT NOT NULL UNIQUE,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  revoked_at BIGINT,
  last_used_at BIGINT,
  CHECK ((scope = 'project') = (project_id IS NOT NULL)),
  CHECK (is_project_token = 0 OR project_id IS NOT NULL)
);
CREATE INDEX access_tokens_prefix ON access_tokens (prefix) WHERE revoked_at IS NULL;
CREATE INDEX access_tokens_live ON access_tokens (id) WHERE revoked_at IS NULL;
CREATE UNIQUE INDEX access_tokens_name ON access_tokens (name) WHERE revoked_at IS NULL;
CREATE UNIQUE INDEX access_tokens_of_project ON access_tokens (project_id) WHERE is_project_token = 1 AND revoked_at IS NULL;

-- A session stands for the token that opened it and ends with it. The admin token of the settings has
-- no row: `admin_mark` is a fingerprint of it, so a session ends when that token is replaced.
CREATE TABLE sessions (
  digest TEXT PRIMARY KEY,
  token_id BIGINT REFERENCES access_tokens (id),
  admin_mark TEXT,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  CHECK ((token_id IS NULL) <> (admin_mark IS NULL))
);
CREATE INDEX sessions_by_token ON sessions (token_id) WHERE token_id IS NOT NULL;
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Codes of login links: each opens one session of the admin, once.
CREATE TABLE login_codes (
  digest TEXT PRIMARY KEY,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at BIGINT
);
CREATE INDEX login_codes_by_end ON login_codes (expires_at);
