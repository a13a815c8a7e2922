//! What an import brings, tells and leaves alone; that it can be repeated and taken up again.

use std::fmt::Write as _;

use portcullis::accounts::passwords::SLOWEST_HASH;
use portcullis::cli::import::ImportError;
use portcullis::identity::token_digest;
use portcullis::model::{Timestamp, UserId};
use portcullis::store::{NameRules, NewUser, PasswordChange};
use secrecy::ExposeSecret as _;

use super::place::{Move, SAMPLE, THEN, user};
use crate::servers::PostgresDatabase;

const ALICES_TOKEN: &str = "658482acf877708f49d82607600c3ae9c029bc8b";
const BLACKLISTED: &str = "013bee60304c404e8d7515b9129cf977";

const REPORT: &str = "\
users: 13 read: 13 new
password hashes: argon2 2, bcrypt 1, bcrypt_sha256 2, md5 1, none (unusable) 1, pbkdf2_sha1 1, \
pbkdf2_sha256 4, scrypt 1
group memberships: 0
opaque tokens: 3
ended refresh tokens: 1 new, 0 had expired
e-mail addresses of several accounts: 1
  users #1, #2
usernames that differ in spelling only: 0
";

async fn assert_sample_arrived(place: &Move) {
    let store = place.store().await;
    assert_eq!(store.user_count().await.unwrap(), 13);
    let alice = user(&store, 1).await;
    assert_eq!((&*alice.username, &*alice.email), ("alice", "alice@import.test"));
    assert_eq!((&*alice.first_name, &*alice.last_name), ("Alice", "Liddell"));
    assert!(alice.is_active && !alice.is_staff && !alice.email_verified);
    assert_eq!(alice.last_login, Some(Timestamp::from_micros(1_795_087_360_836_802)));
    assert_eq!(alice.date_joined, Timestamp::from_micros(1_795_346_560_568_657));
    assert!(!user(&store, 10).await.is_active);
    let admin = user(&store, 11).await;
    assert!(admin.is_staff && admin.is_superuser);
    assert_eq!(user(&store, 12).await.username, "Zoë");
    let row = store.opaque(token_digest(ALICES_TOKEN)).await.unwrap().unwrap();
    assert_eq!((row.user.id, row.login.last_used), (UserId(1), THEN));
    assert!(store.has_imported_tokens().await.unwrap());
    assert!(store.token_ended(BLACKLISTED).await.unwrap());
    assert!(!store.token_ended("2d6cd120096d4798a71378976c919d74").await.unwrap());
    let slowest = store.meta(SLOWEST_HASH).await.unwrap().unwrap();
    assert!(slowest.starts_with("bcrypt"), "{slowest}");
    let rules = NameRules { unique_email: true, reuse_usernames: false };
    let new = NewUser {
        username: "new",
        email: "",
        password: "!",
        is_active: true,
        is_staff: false,
        is_superuser: false,
        email_verified: false,
    };
    let new = store.create_user(new, rules, None, None, THEN).await.unwrap();
    assert!(new.id.0 > 13, "ids of the source are not given out: {}", new.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_is_taken_over_with_a_report() {
    let place = Move::of_sample().await;
    assert_eq!(place.run("").await.unwrap(), REPORT);
    assert_sample_arrived(&place).await;
}

/// The sample's own rows, in the types that Django uses on PostgreSQL.
async fn sample_on_postgres(place: &Move) {
    let sample = SAMPLE
        .lines()
        .filter(|line| !line.starts_with("PRAGMA") && !line.starts_with("CREATE INDEX"))
        .collect::<Vec<_>>()
        .join("\n")
        .replace(" AUTOINCREMENT", "")
        .replace("integer NOT NULL PRIMARY KEY", "serial NOT NULL PRIMARY KEY")
        .replace(" DEFERRABLE INITIALLY DEFERRED", "")
        .replace("datetime", "text")
        .replace("\"is_superuser\" bool", "\"is_superuser\" integer")
        .replace("\"is_staff\" bool", "\"is_staff\" integer")
        .replace("\"is_active\" bool", "\"is_active\" integer");
    place.change(&sample).await;
    let mut types = String::from("SET TimeZone = 'UTC';");
    for (table, column) in [
        ("auth_user", "last_login"),
        ("auth_user", "date_joined"),
        ("authtoken_token", "created"),
        ("token_blacklist_outstandingtoken", "created_at"),
        ("token_blacklist_outstandingtoken", "expires_at"),
    ] {
        write!(types, "ALTER TABLE {table} ALTER {column} TYPE timestamptz").unwrap();
        write!(types, " USING {column}::timestamptz;").unwrap();
    }
    for flag in ["is_superuser", "is_staff", "is_active"] {
        write!(types, "ALTER TABLE auth_user ALTER {flag} TYPE boolean USING {flag} = 1;").unwrap();
    }
    place.change(&types).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_comes_from_postgresql_to_postgresql() {
    let (source, target) = (PostgresDatabase::create().await, PostgresDatabase::create().await);
    let mut place = Move::from(&source.url());
    sample_on_postgres(&place).await;
    place.change("SELECT setval('auth_user_id_seq', 40)").await;
    place.to = target.url();
    assert_eq!(place.run("").await.unwrap(), REPORT);
    assert_sample_arrived(&place).await;
    assert!(place.store().await.user(UserId(41)).await.unwrap().is_some(), "40 had been given out");
    let again = place.run("").await.unwrap();
    assert!(again.starts_with("users: 13 read: 13 unchanged\n"), "{again}");
    place.change("UPDATE auth_user SET email = 'c@d.e', is_staff = true WHERE id = 3").await;
    let again = place.run("").await.unwrap();
    assert!(again.starts_with("users: 13 read: 12 unchanged, 1 updated\n"), "{again}");
    let carol = user(&place.store().await, 3).await;
    assert_eq!((&*carol.email, carol.is_staff), ("c@d.e", true));
    source.remove().await;
    target.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_the_same_and_writes_nothing() {
    let place = Move::of_sample().await;
    let told = place.run("--dry-run").await.unwrap();
    let heading = "nothing was written (--dry-run); this would be done:\n";
    assert_eq!(told, format!("{heading}{REPORT}"));
    let store = place.store().await;
    assert_eq!(store.user_count().await.unwrap(), 0);
    assert_eq!(store.meta(SLOWEST_HASH).await.unwrap(), None);
    assert!(!store.token_ended(BLACKLISTED).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_changes_nothing() {
    let place = Move::of_sample().await;
    place.run("").await.unwrap();
    let before = user(&place.store().await, 1).await;
    let told = place.run("").await.unwrap();
    assert!(told.starts_with("users: 13 read: 13 unchanged\n"), "{told}");
    assert!(told.contains("\nopaque tokens: 0\nended refresh tokens: 0 new"), "{told}");
    let store = place.store().await;
    let after = user(&store, 1).await;
    assert_eq!((before.version, before.generation), (after.version, after.generation));
    assert_eq!(store.logins_of(UserId(1)).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_or_changed_here_is_not_brought_back() {
    let place = Move::of_sample().await;
    place.run("").await.unwrap();
    let store = place.store().await;
    // Bob logs out, carol gets a new password, dave is deleted.
    let logins = store.logins_of(UserId(2)).await.unwrap();
    store.end_login(logins[0].id, THEN).await.unwrap();
    let change = PasswordChange {
        password: "!new",
        instead_of: None,
        log_out: true,
        set_last_login: false,
        verified_email: None,
    };
    store.change_password(UserId(3), change, None, THEN).await.unwrap().unwrap();
    store.delete_user(UserId(4), THEN).await.unwrap().unwrap();
    place.change("UPDATE auth_user SET first_name = 'C' WHERE id = 3").await;

    let told = place.run("").await.unwrap();
    assert!(
        told.starts_with(
            "user #3: it changed there, but was used or changed here\n\
             user #4: it was deleted here\n\
             users: 13 read: 1 deleted here, 1 left as they are here, 11 unchanged\n"
        ),
        "{told}"
    );
    assert!(store.logins_of(UserId(2)).await.unwrap().is_empty());
    assert_eq!(user(&store, 3).await.password.expose_secret(), "!new");
    assert!(store.user(UserId(4)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_at_the_source_only_follows() {
    let place = Move::of_sample().await;
    place.run("").await.unwrap();
    let token = "a".repeat(40);
    place
        .change(&format!(
            "UPDATE auth_user SET username = 'alicia', is_active = 0 WHERE id = 1; \
             UPDATE authtoken_token SET key = '{token}' WHERE user_id = 2; \
             INSERT INTO auth_group VALUES (1, 'writers'); \
             INSERT INTO auth_user_groups VALUES (1, 3, 1);"
        ))
        .await;
    let told = place.run("").await.unwrap();
    assert!(told.starts_with("users: 13 read: 10 unchanged, 3 updated\n"), "{told}");
    let store = place.store().await;
    let alice = user(&store, 1).await;
    assert_eq!((&*alice.username, alice.is_active), ("alicia", false));
    assert_eq!(user(&store, 3).await.groups, ["writers"]);
    let old = token_digest("1a5d22c18dacd10ef3b440db28242031e089a6a1");
    assert!(store.opaque(old).await.unwrap().is_none(), "logged out there");
    assert!(store.opaque(token_digest(&token)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_is_taken_up_where_it_stopped() {
    let place = Move::of_sample().await;
    // The tokens' table breaks at user 2000, in the last of four pages.
    place
        .change(
            "WITH RECURSIVE n(i) AS (SELECT 14 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
             INSERT INTO auth_user (id, password, is_superuser, username, last_name, email, \
             is_staff, is_active, date_joined, first_name) \
             SELECT i, '!', 0, 'user' || i, '', '', 0, 1, '2026-01-01 00:00:00', '' FROM n; \
             ALTER TABLE authtoken_token RENAME TO whole; \
             CREATE VIEW authtoken_token AS SELECT user_id, created, \
             CASE WHEN user_id = 2000 THEN abs(-9223372036854775807 - 1) ELSE key END AS key \
             FROM (SELECT user_id, created, key FROM whole UNION ALL SELECT 2000, NULL, '');",
        )
        .await;
    assert!(matches!(place.run("").await, Err(ImportError::Source(_))));
    assert_eq!(place.store().await.user_count().await.unwrap(), 1500);

    place.change("DROP VIEW authtoken_token; ALTER TABLE whole RENAME TO authtoken_token").await;
    let told = place.run("").await.unwrap();
    assert!(
        told.starts_with(
            "an earlier run was interrupted: going on after user #1500\n\
             users: 500 read: 500 new\n"
        ),
        "{told}"
    );
    assert_eq!(place.store().await.user_count().await.unwrap(), 2000);
    let told = place.run("").await.unwrap();
    assert!(told.starts_with("users: 2000 read: 2000 unchanged\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_taken_over_are_told_one_by_one() {
    let place = Move::of_sample().await;
    place
        .change(
            "UPDATE auth_user SET username = '' WHERE id = 1; \
             UPDATE auth_user SET email = CAST(x'ff' AS TEXT) WHERE id = 2; \
             UPDATE auth_user SET date_joined = 'once' WHERE id = 3; \
             UPDATE auth_user SET password = 'crypt$x$y' WHERE id = 4; \
             UPDATE auth_user SET username = 'CAROL' WHERE id = 5; \
             UPDATE auth_user SET username = 'carol ' WHERE id = 6; \
             UPDATE authtoken_token SET key = upper(key) WHERE user_id = 10; \
             UPDATE token_blacklist_outstandingtoken SET jti = '' WHERE id = 2;",
        )
        .await;
    let told = place.run("--verified-emails").await.unwrap();
    let expected = [
        "the token of user #10: the token is not 40 hex digits in lower case",
        "user #1: it has no username",
        "user #2: email is not text in UTF-8",
        "user #3: date_joined is not a time",
        "ended refresh token #1: it has no jti",
        "users: 13 read: 10 new, 3 invalid",
    ];
    assert_eq!(told.lines().take(6).collect::<Vec<_>>(), expected, "{told}");
    assert!(told.contains("unknown 1\n  unknown hashes fit no password"), "{told}");
    assert!(told.contains("opaque tokens: 0, 1 left out\n"), "{told}");
    assert!(
        told.ends_with("usernames that differ in spelling only: 1\n  users #5, #6\n"),
        "{told}"
    );
    assert!(user(&place.store().await, 4).await.email_verified, "the operator vouches");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_are_here_already_keep_their_ids_and_names() {
    let place = Move::of_sample().await;
    let store = place.store().await;
    let rules = NameRules { unique_email: false, reuse_usernames: false };
    for username in ["mine", "carol"] {
        let new = NewUser {
            username,
            email: "",
            password: "!",
            is_active: true,
            is_staff: false,
            is_superuser: false,
            email_verified: false,
        };
        store.create_user(new, rules, None, None, THEN).await.unwrap();
    }
    let told = place.run("").await.unwrap();
    assert!(
        told.starts_with(
            "user #1: an account that was not imported has this id here\n\
             user #2: an account that was not imported has this id here\n\
             user #3: another account here has this username, or had it\n\
             users: 13 read: 10 new, 3 skipped\n"
        ),
        "{told}"
    );
    assert_eq!(user(&store, 1).await.username, "mine");
    assert!(store.opaque(token_digest(ALICES_TOKEN)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_become_ours_is_refused_with_a_sentence() {
    let place = Move::of_sample().await;
    for (from, flags, sentence) in [
        (&*place.from, "--users-table nobody", "there is no table nobody"),
        (&*place.from, "--username-column login", "auth_user has no column login"),
        ("mysql://localhost/x", "", "the source is neither sqlite:"),
        ("sqlite:///nowhere/at/all.db", "", "the source database did not answer"),
    ] {
        let other = Move::from(from);
        let refused = other.run(flags).await.unwrap_err().to_string();
        assert!(refused.starts_with(sentence), "{refused}");
    }
    place
        .change("CREATE TABLE people (id char(32) PRIMARY KEY, username text, password text)")
        .await;
    let refused = place.run("--users-table people").await.unwrap_err().to_string();
    assert!(refused.starts_with("the ids in people are of type char(32): users have"), "{refused}");
    assert_eq!(place.store().await.user_count().await.unwrap(), 0);
}
