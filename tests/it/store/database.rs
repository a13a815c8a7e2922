//! The databases themselves: starting together, crashing, waiting, being away.

use std::fs;
use std::time::{Duration, Instant};

use portcullis::store::{DatabaseOptions, Store, StoreError};
use sqlx::{Connection, Executor, PgConnection};

use super::place::{LAX, Place, on_postgres, on_sqlite, plain, register, second, whole_log};

async fn four_that_migrate_at_once_all_succeed(place: &Place) {
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let options = place.options.clone();
            tokio::spawn(async move {
                let store = Store::open(&options).await.unwrap();
                store.migrate().await.unwrap();
                store.ping().await.unwrap();
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
}

async fn a_schema_that_is_up_to_date_or_newer_is_left_alone(place: &Place) {
    let store = place.store().await;
    register(&store, "ada", "").await;
    place
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
        )
        .await;
    store.migrate().await.unwrap();
    assert_eq!(store.user_count().await.unwrap(), 1);
}

async fn a_migration_that_reads_differently_now_is_refused(place: &Place) {
    let store = place.store().await;
    let other = "UPDATE _sqlx_migrations SET checksum = (SELECT password FROM users)";
    let mut new = plain("ada", "");
    new.password = "not a checksum";
    store.create_user(new, LAX, None, None, second(0)).await.unwrap();
    let other = if place.options.url.starts_with("sqlite:") {
        other.to_owned()
    } else {
        other.replace("SELECT password", "SELECT convert_to(password, 'UTF8')")
    };
    place.execute(&other).await;
    assert!(matches!(store.migrate().await, Err(StoreError::Refused(_))));
}

async fn a_store_without_schema_does_not_ping(place: &Place) {
    let store = place.open().await;
    assert!(matches!(store.ping().await, Err(StoreError::Refused(_))));
    store.migrate().await.unwrap();
    store.ping().await.unwrap();
}

async fn a_closed_store_is_unavailable(place: &Place) {
    let store = place.store().await;
    store.close().await;
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
}

async fn a_nul_character_is_refused_and_nothing_is_stored(place: &Place) {
    let store = place.store().await;
    let made = store.create_user(plain("a\0b", ""), LAX, None, None, second(0)).await;
    assert!(matches!(made, Err(StoreError::Refused(_))));
    assert!(matches!(store.user_by_username("a\0").await, Err(StoreError::Refused(_))));
    assert!(matches!(store.users_by_email("a\0@b").await, Err(StoreError::Refused(_))));
    assert!(matches!(store.token_ended("\0").await, Err(StoreError::Refused(_))));
    assert_eq!(store.user_count().await.unwrap(), 0);
}

async fn text_of_every_script_comes_back_as_it_went(place: &Place) {
    let store = place.store().await;
    let name = "Žofie-日本-🦀'; DROP TABLE users; --\u{feff}\u{1}";
    let ada = register(&store, name, "").await.id;
    assert_eq!(store.user(ada).await.unwrap().unwrap().username, name);
    assert!(store.user_by_username(name).await.unwrap().is_some());
}

async fn a_call_that_is_given_up_half_way_changes_nothing_and_harms_nobody(place: &Place) {
    let store = place.store().await;
    for number in 0..30 {
        let name = format!("ada{number}");
        let new = plain(&name, "");
        let call = store.create_user(new, LAX, None, None, second(0));
        // A client that hangs up drops the future wherever it happens to be.
        let _ = tokio::time::timeout(Duration::from_micros(50 * number), call).await;
    }
    let made = async || store.create_user(plain("last", ""), LAX, None, None, second(0)).await;
    // One that was given up for late may have been done all the same.
    let made = at_last(async || match made().await {
        Ok(_) | Err(StoreError::Taken(_)) => Ok(()),
        Err(error) => Err(error),
    });
    made.await;
    // One of the given up may still be on its way; at last they are all there, or not at all.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut there = 1;
        for number in 0..30 {
            let name = format!("ada{number}");
            let user = at_last(async || store.user_by_username(&name).await).await;
            there += usize::from(user.is_some());
        }
        let count = at_last(async || store.user_count().await).await;
        if usize::try_from(count).unwrap() == there {
            break;
        }
        assert!(Instant::now() < deadline, "{count} users, {there} of them by name");
    }
    assert!(whole_log(&store).await.is_empty());
}

/// Connections come back one after another; on a busy machine a call may find none in its time.
async fn at_last<T>(call: impl AsyncFn() -> Result<T, StoreError>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match call().await {
            Err(StoreError::Unavailable(_)) if Instant::now() < deadline => {}
            done => return done.unwrap(),
        }
    }
}

on_each! {
    four_that_migrate_at_once_all_succeed,
    a_schema_that_is_up_to_date_or_newer_is_left_alone,
    a_migration_that_reads_differently_now_is_refused,
    a_store_without_schema_does_not_ping,
    a_closed_store_is_unavailable,
    a_nul_character_is_refused_and_nothing_is_stored,
    text_of_every_script_comes_back_as_it_went,
    a_call_that_is_given_up_half_way_changes_nothing_and_harms_nobody,
}

/// What a killed process leaves is what is in its files while it lives.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_in_the_files_of_a_killed_process() {
    on_sqlite(async |place: &Place| {
        let store = place.store().await;
        let ada = register(&store, "ada", "").await.id;
        store.cut_user(ada, second(1)).await.unwrap();

        let file = place.options.url.strip_prefix("sqlite://").unwrap();
        let wreck = tempfile::tempdir().unwrap();
        let copy = wreck.path().join("portcullis.db");
        fs::copy(file, &copy).unwrap();
        fs::copy(format!("{file}-wal"), wreck.path().join("portcullis.db-wal")).unwrap();

        let url = format!("sqlite://{}", copy.display());
        let options = DatabaseOptions { url, direct_url: String::new(), pooler: false };
        let reopened = Store::open(&options).await.unwrap();
        reopened.migrate().await.unwrap();
        assert_eq!(reopened.user(ada).await.unwrap().unwrap().generation, 1);
        assert_eq!(whole_log(&reopened).await.len(), 1);
    })
    .await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_new_database_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("made/by us");
    let url = format!("sqlite://{}", folder.join("portcullis.db").display());
    let options = DatabaseOptions { url, direct_url: String::new(), pooler: false };
    let store = Store::open(&options).await.unwrap();
    store.migrate().await.unwrap();
    register(&store, "ada", "").await;
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.clone()), 0o700);
    for file in ["portcullis.db", "portcullis.db-wal", "portcullis.db-shm"] {
        assert_eq!(mode(folder.join(file)), 0o600, "{file}");
    }
}

/// Another process (a command of the shell) holds the write lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_write_lock_delays_writers_within_limits_and_readers_not_at_all() {
    on_sqlite(async |place: &Place| {
        let store = place.store().await;
        let ada = register(&store, "ada", "").await.id;
        let mut other = sqlx::SqliteConnection::connect(&place.options.url).await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        let start = Instant::now();
        let (written, read) = tokio::join!(store.set_last_login(ada, second(1)), async {
            let user = store.user(ada).await;
            (user, start.elapsed())
        });
        assert!(matches!(written, Err(StoreError::Unavailable(_))));
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert!(read.0.unwrap().is_some());
        assert!(read.1 < Duration::from_secs(1), "{:?}", read.1);
        other.execute("ROLLBACK").await.unwrap();
        store.set_last_login(ada, second(1)).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_row_delays_writers_within_limits_and_readers_not_at_all() {
    on_postgres(async |place: &Place| {
        let store = place.store().await;
        let ada = register(&store, "ada", "").await.id;
        let mut other = PgConnection::connect(&place.options.url).await.unwrap();
        let mut tx = other.begin().await.unwrap();
        tx.execute("UPDATE users SET version = version").await.unwrap();
        let start = Instant::now();
        let written = store.set_last_login(ada, second(1)).await;
        assert!(matches!(written, Err(StoreError::Unavailable(_))));
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert!(store.user(ada).await.unwrap().is_some());
        tx.rollback().await.unwrap();
        store.set_last_login(ada, second(1)).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_ended_are_replaced_unnoticed() {
    on_postgres(async |place: &Place| {
        let store = place.store().await;
        let ada = register(&store, "ada", "").await.id;
        place
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
        assert!(store.user(ada).await.unwrap().is_some());
        store.set_last_login(ada, second(1)).await.unwrap();
    })
    .await;
}

/// The settings for a pooler must give the same answers; without one they only cost time.
#[tokio::test(flavor = "multi_thread")]
async fn the_settings_for_a_pooler_work_without_one() {
    on_postgres(async |place: &Place| {
        let direct_url = place.options.url.clone();
        let options = DatabaseOptions { direct_url, pooler: true, ..place.options.clone() };
        let store = Store::open(&options).await.unwrap();
        store.migrate().await.unwrap();
        let ada = register(&store, "ada", "ada@example.org").await.id;
        store.cut_user(ada, second(1)).await.unwrap();
        assert_eq!(whole_log(&store).await.len(), 1);

        let mut other = PgConnection::connect(&place.options.url).await.unwrap();
        let mut tx = other.begin().await.unwrap();
        tx.execute("UPDATE users SET version = version").await.unwrap();
        let written = store.set_last_login(ada, second(1)).await;
        assert!(matches!(written, Err(StoreError::Unavailable(_))), "lock_timeout holds");
        tx.rollback().await.unwrap();
    })
    .await;
}
