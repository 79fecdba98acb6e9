-- Totals of the whole fleet, written in the transaction of what they count, so a scrape never counts
-- history. `bucket` is empty for a plain counter, else the upper bound that an observation fell under;
-- `count` counts observations, `total` adds up what was counted (milliseconds for times).
CREATE TABLE tallies (
  name TEXT NOT NULL,
  labels TEXT NOT NULL,
  bucket TEXT NOT NULL,
  count BIGINT NOT NULL CHECK (count >= 0),
  total BIGINT NOT NULL CHECK (total >= 0),
  PRIMARY KEY (name, labels, bucket)
)@busy_table@;

-- W3C `traceparent` of what queued the job; traces of the job hang under it.
ALTER TABLE jobs ADD COLUMN trace_ctx TEXT;
