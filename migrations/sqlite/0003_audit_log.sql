-- Until now nobody wrote the audit log. `actor*` is who did it, `user_*` whom it was done to; `detail` is
-- JSON, what else there is to say: which key, how many.
ALTER TABLE audit_log ADD COLUMN reason     TEXT;   -- why it failed; NULL if it did not
ALTER TABLE audit_log ADD COLUMN means      TEXT;
ALTER TABLE audit_log ADD COLUMN actor_id   TEXT;
ALTER TABLE audit_log ADD COLUMN actor_name TEXT;
ALTER TABLE audit_log ADD COLUMN user_name  TEXT;
ALTER TABLE audit_log ADD COLUMN request_id TEXT;
CREATE INDEX audit_log_actor_id ON audit_log (actor_id) WHERE actor_id IS NOT NULL;
