-- Conventions, the same in migrations/postgres:
--   * Times are microseconds since 1970 (BIGINT). Identifiers made by chance are bytes.
--   * Constraints and indexes are named <table>_<column>: SQLite names only the column in its
--     errors, PostgreSQL only the constraint, and the store reads the field from either.
--   * Ids that others remember (tokens, cursors) are AUTOINCREMENT: never given out twice.
--   * Migrations only add, so that an older program still runs on a newer schema.

CREATE TABLE users (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    username       TEXT    NOT NULL,
    username_key   TEXT    NOT NULL,                -- folded, for look-ups; several may share one
    email          TEXT    NOT NULL DEFAULT '',
    email_key      TEXT    NOT NULL DEFAULT '',     -- folded; not unique, imports may hold duplicates
    email_verified BOOLEAN NOT NULL DEFAULT FALSE,
    password       TEXT    NOT NULL,
    first_name     TEXT    NOT NULL DEFAULT '',
    last_name      TEXT    NOT NULL DEFAULT '',
    is_active      BOOLEAN NOT NULL,
    is_staff       BOOLEAN NOT NULL,
    is_superuser   BOOLEAN NOT NULL,
    generation     BIGINT  NOT NULL DEFAULT 0,
    version        BIGINT  NOT NULL DEFAULT 0,
    cut_at         BIGINT,
    last_login     BIGINT,
    date_joined    BIGINT  NOT NULL,
    CONSTRAINT users_username UNIQUE (username)
);
CREATE INDEX users_username_key ON users (username_key);
CREATE INDEX users_email_key ON users (email_key) WHERE email_key <> '';

CREATE TABLE groups (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    CONSTRAINT groups_name UNIQUE (name)
);

CREATE TABLE user_groups (
    user_id  BIGINT NOT NULL,
    group_id BIGINT NOT NULL,
    CONSTRAINT user_groups_pair PRIMARY KEY (user_id, group_id),
    CONSTRAINT user_groups_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT user_groups_group_id FOREIGN KEY (group_id) REFERENCES groups (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX user_groups_group_id ON user_groups (group_id);

-- Names that deleted or renamed accounts had, in the exact form.
CREATE TABLE used_names (
    name    TEXT   NOT NULL,
    user_id BIGINT NOT NULL,                        -- the last holder, who may take it back
    retired BIGINT NOT NULL,
    CONSTRAINT used_names_name PRIMARY KEY (name)
) WITHOUT ROWID;

CREATE TABLE logins (
    id         BLOB   NOT NULL,
    user_id    BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    generation BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    last_used  BIGINT NOT NULL,
    expires    BIGINT,
    address    TEXT,
    user_agent TEXT,
    CONSTRAINT logins_id PRIMARY KEY (id),
    CONSTRAINT logins_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT logins_kind CHECK (kind IN ('opaque', 'jwt'))
);
CREATE INDEX logins_user_id ON logins (user_id, created);
CREATE INDEX logins_expires ON logins (expires) WHERE expires IS NOT NULL;
CREATE INDEX logins_last_used ON logins (last_used) WHERE kind = 'opaque';

CREATE TABLE opaque_tokens (
    digest   BLOB    NOT NULL,                      -- SHA-256; the token itself is nowhere
    login_id BLOB    NOT NULL,
    seed     BLOB,                                  -- what a user's one derived token was made of
    imported BOOLEAN NOT NULL DEFAULT FALSE,        -- without a check sum
    CONSTRAINT opaque_tokens_digest PRIMARY KEY (digest),
    CONSTRAINT opaque_tokens_login_id FOREIGN KEY (login_id) REFERENCES logins (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX opaque_tokens_login_id ON opaque_tokens (login_id);
CREATE INDEX opaque_tokens_imported ON opaque_tokens (imported) WHERE imported;

-- JWTs that ended one by one, until they would have expired anyway.
CREATE TABLE ended_tokens (
    jti     TEXT   NOT NULL,
    user_id BIGINT,
    expires BIGINT NOT NULL,
    ended   BIGINT NOT NULL,
    CONSTRAINT ended_tokens_jti PRIMARY KEY (jti),
    CONSTRAINT ended_tokens_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL
);
CREATE INDEX ended_tokens_user_id ON ended_tokens (user_id);
CREATE INDEX ended_tokens_expires ON ended_tokens (expires);

-- Refresh tokens that were used, and what they were exchanged for: a second use within a
-- moment is a client that lost the answer, a later one is theft.
CREATE TABLE refresh_uses (
    jti       TEXT   NOT NULL,
    login_id  BLOB   NOT NULL,
    successor TEXT   NOT NULL,
    used      BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    CONSTRAINT refresh_uses_jti PRIMARY KEY (jti),
    CONSTRAINT refresh_uses_login_id FOREIGN KEY (login_id) REFERENCES logins (id) ON DELETE CASCADE
);
CREATE INDEX refresh_uses_login_id ON refresh_uses (login_id);
CREATE INDEX refresh_uses_expires ON refresh_uses (expires);

-- The numbered log. It outlives what it names, so nothing here is a foreign key.
CREATE TABLE change_log (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT   NOT NULL,
    login_id   BLOB,
    jti        TEXT,
    user_id    BIGINT,
    generation BIGINT,
    version    BIGINT,
    reason     TEXT,
    at         BIGINT NOT NULL
);
CREATE INDEX change_log_at ON change_log (at);

-- Mails to be sent. Taking one moves `due` forward, which hides it from others meanwhile.
CREATE TABLE outbox (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    purpose  TEXT   NOT NULL,
    user_id  BIGINT NOT NULL,
    address  TEXT   NOT NULL,
    scheme   TEXT,
    host     TEXT,
    created  BIGINT NOT NULL,
    due      BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT outbox_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX outbox_due ON outbox (due);
CREATE INDEX outbox_user_id ON outbox (user_id);

CREATE TABLE signing_keys (
    kid       TEXT   NOT NULL,
    algorithm TEXT   NOT NULL,
    state     TEXT   NOT NULL,
    sealed    BLOB   NOT NULL,
    created   BIGINT NOT NULL,
    activated BIGINT,
    retired   BIGINT,
    gone      BIGINT,
    CONSTRAINT signing_keys_kid PRIMARY KEY (kid),
    CONSTRAINT signing_keys_state CHECK (state IN ('next', 'active', 'retiring', 'gone'))
);
CREATE UNIQUE INDEX signing_keys_active ON signing_keys (algorithm) WHERE state = 'active';

-- Who did what to whom, for operators. It outlives the users it names.
CREATE TABLE audit_log (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      BIGINT NOT NULL,
    action  TEXT   NOT NULL,
    actor   TEXT,
    user_id BIGINT,
    address TEXT,
    detail  TEXT                                    -- JSON
);
CREATE INDEX audit_log_at ON audit_log (at);
CREATE INDEX audit_log_user_id ON audit_log (user_id);

CREATE TABLE meta (
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT meta_name PRIMARY KEY (name)
) WITHOUT ROWID;
