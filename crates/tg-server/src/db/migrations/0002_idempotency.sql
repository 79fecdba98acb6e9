-- Answers to requests that carried an Idempotency-Key, kept for a day. The row is written in the same
-- transaction as what the request did, so an answer without its effect (or the reverse) cannot be.
CREATE TABLE idempotency_keys (
  principal TEXT NOT NULL,
  method TEXT NOT NULL,
  path TEXT NOT NULL,
  key TEXT NOT NULL,
  body_sha256 TEXT NOT NULL,
  status BIGINT NOT NULL DEFAULT 0,
  location TEXT,
  body TEXT,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (principal, method, path, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
