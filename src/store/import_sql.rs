//! The statements that take pages over: each unfolds one bound JSON text.
//!
//! SQLite and PostgreSQL unfold JSON in their own ways, so all of them stand here twice. It must
//! not know what is decided with them.

use super::query::{Query, sql_by};

/// (id, version, generation, password) of the users of these ids.
pub(super) fn users_here() -> Query {
    sql_by(
        "SELECT id, version, generation, password FROM users \
         WHERE id IN (SELECT value FROM json_each($1))",
        "SELECT id, version, generation, password FROM users \
         WHERE id IN (SELECT value::bigint FROM json_array_elements_text($1::json))",
    )
}

/// (user, fingerprint, digest) of what was brought of these ids.
pub(super) fn brought() -> Query {
    sql_by(
        "SELECT user_id, fingerprint, digest FROM imported_users \
         WHERE user_id IN (SELECT value FROM json_each($1))",
        "SELECT user_id, fingerprint, digest FROM imported_users \
         WHERE user_id IN (SELECT value::bigint FROM json_array_elements_text($1::json))",
    )
}

/// (name, user) of those who have or had these names.
pub(super) fn names_held() -> Query {
    sql_by(
        "SELECT username, id FROM users WHERE username IN (SELECT value FROM json_each($1)) \
         UNION SELECT name, user_id FROM used_names \
         WHERE name IN (SELECT value FROM json_each($1))",
        "SELECT username, id FROM users \
         WHERE username IN (SELECT value FROM json_array_elements_text($1::json)) \
         UNION SELECT name, user_id FROM used_names \
         WHERE name IN (SELECT value FROM json_array_elements_text($1::json))",
    )
}

pub(super) fn insert_users() -> Query {
    sql_by(
        "INSERT INTO users (id, username, username_key, email, email_key, email_verified, password, \
         first_name, last_name, is_active, is_staff, is_superuser, last_login, date_joined) \
         SELECT value->>'id', value->>'username', value->>'username_key', value->>'email', \
         value->>'email_key', value->>'email_verified', value->>'password', \
         value->>'first_name', value->>'last_name', value->>'is_active', value->>'is_staff', \
         value->>'is_superuser', value->>'last_login', value->>'date_joined' FROM json_each($1)",
        "INSERT INTO users (id, username, username_key, email, email_key, email_verified, password, \
         first_name, last_name, is_active, is_staff, is_superuser, last_login, date_joined) \
         SELECT * FROM json_to_recordset($1::json) AS r (id bigint, username text, \
         username_key text, email text, email_key text, email_verified boolean, password text, \
         first_name text, last_name text, is_active boolean, is_staff boolean, \
         is_superuser boolean, last_login bigint, date_joined bigint)",
    )
}

pub(super) fn update_user() -> Query {
    sql_by(
        "UPDATE users SET username = r.value->>'username', \
         username_key = r.value->>'username_key', email = r.value->>'email', \
         email_key = r.value->>'email_key', email_verified = r.value->>'email_verified', \
         password = r.value->>'password', first_name = r.value->>'first_name', \
         last_name = r.value->>'last_name', is_active = r.value->>'is_active', \
         is_staff = r.value->>'is_staff', is_superuser = r.value->>'is_superuser', \
         last_login = r.value->>'last_login', date_joined = r.value->>'date_joined' \
         FROM json_each($1) AS r WHERE users.id = r.value->>'id'",
        "UPDATE users SET username = r.username, username_key = r.username_key, email = r.email, \
         email_key = r.email_key, email_verified = r.email_verified, password = r.password, \
         first_name = r.first_name, last_name = r.last_name, is_active = r.is_active, \
         is_staff = r.is_staff, is_superuser = r.is_superuser, last_login = r.last_login, \
         date_joined = r.date_joined \
         FROM json_to_recordset($1::json) AS r (id bigint, username text, \
         username_key text, email text, email_key text, email_verified boolean, password text, \
         first_name text, last_name text, is_active boolean, is_staff boolean, \
         is_superuser boolean, last_login bigint, date_joined bigint) WHERE users.id = r.id",
    )
}

pub(super) fn insert_marks() -> Query {
    sql_by(
        "INSERT INTO imported_users (user_id, fingerprint, digest) \
         SELECT value->>'id', value->>'print', value->>'digest' FROM json_each($1) WHERE TRUE \
         ON CONFLICT (user_id) DO UPDATE SET fingerprint = excluded.fingerprint, \
         digest = excluded.digest",
        "INSERT INTO imported_users (user_id, fingerprint, digest) \
         SELECT id, print, digest FROM json_to_recordset($1::json) \
         AS r (id bigint, print text, digest text) \
         ON CONFLICT (user_id) DO UPDATE SET fingerprint = excluded.fingerprint, \
         digest = excluded.digest",
    )
}

/// In one order, so that two transactions making the same groups cannot wait for each other.
pub(super) fn insert_groups() -> Query {
    sql_by(
        "INSERT INTO groups (name) SELECT DISTINCT value->>'name' FROM json_each($1) WHERE TRUE \
         ORDER BY 1 ON CONFLICT (name) DO NOTHING",
        "INSERT INTO groups (name) SELECT DISTINCT name FROM json_to_recordset($1::json) \
         AS r (id bigint, name text) ORDER BY 1 ON CONFLICT (name) DO NOTHING",
    )
}

pub(super) fn insert_members() -> Query {
    sql_by(
        "INSERT INTO user_groups (user_id, group_id) SELECT r.value->>'id', g.id \
         FROM json_each($1) AS r JOIN groups g ON g.name = r.value->>'name' WHERE TRUE \
         ON CONFLICT (user_id, group_id) DO NOTHING",
        "INSERT INTO user_groups (user_id, group_id) SELECT r.id, g.id \
         FROM json_to_recordset($1::json) AS r (id bigint, name text) \
         JOIN groups g ON g.name = r.name ON CONFLICT (user_id, group_id) DO NOTHING",
    )
}

/// Of tokens that nobody has yet; the second value is the time of their last use.
pub(super) fn insert_logins() -> Query {
    sql_by(
        "INSERT INTO logins (id, user_id, kind, generation, created, last_used, expires) \
         SELECT unhex(value->>'login'), value->>'id', 'opaque', 0, value->>'created', $2, \
         value->>'expires' FROM json_each($1) \
         WHERE unhex(value->>'digest') NOT IN (SELECT digest FROM opaque_tokens \
         WHERE digest IN (SELECT unhex(value->>'digest') FROM json_each($1)))",
        "INSERT INTO logins (id, user_id, kind, generation, created, last_used, expires) \
         SELECT decode(login, 'hex'), id, 'opaque', 0, created, $2, expires \
         FROM json_to_recordset($1::json) \
         AS r (id bigint, login text, digest text, created bigint, expires bigint) \
         WHERE NOT EXISTS (SELECT FROM opaque_tokens t WHERE t.digest = decode(r.digest, 'hex'))",
    )
}

pub(super) fn insert_tokens() -> Query {
    sql_by(
        "INSERT INTO opaque_tokens (digest, login_id, imported) \
         SELECT unhex(r.value->>'digest'), l.id, TRUE FROM json_each($1) AS r \
         JOIN logins l ON l.id = unhex(r.value->>'login')",
        "INSERT INTO opaque_tokens (digest, login_id, imported) \
         SELECT decode(r.digest, 'hex'), l.id, TRUE FROM json_to_recordset($1::json) \
         AS r (login text, digest text) JOIN logins l ON l.id = decode(r.login, 'hex')",
    )
}

/// The second value is the time at which they are noted.
pub(super) fn insert_ended() -> Query {
    sql_by(
        "INSERT INTO ended_tokens (jti, user_id, expires, ended) SELECT r.value->>'jti', \
         (SELECT id FROM users WHERE id = r.value->>'user_id'), r.value->>'expires', $2 \
         FROM json_each($1) AS r WHERE TRUE ON CONFLICT (jti) DO NOTHING",
        "INSERT INTO ended_tokens (jti, user_id, expires, ended) SELECT r.jti, \
         (SELECT id FROM users u WHERE u.id = r.user_id FOR KEY SHARE), r.expires, $2 \
         FROM json_to_recordset($1::json) AS r (jti text, user_id bigint, expires bigint) \
         ON CONFLICT (jti) DO NOTHING",
    )
}

/// One after the other, each with the highest id bound.
pub(super) fn reserve_ids() -> [Query; 2] {
    [
        // The row of the sequence is there once a user was.
        sql_by(
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'users', $1 \
             WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'users')",
            "SELECT $1::bigint",
        ),
        sql_by(
            "UPDATE sqlite_sequence SET seq = max(seq, $1) WHERE name = 'users'",
            "SELECT setval(pg_get_serial_sequence('users', 'id'), \
             greatest($1::bigint + 1, nextval(pg_get_serial_sequence('users', 'id'))), false)",
        ),
    ]
}
