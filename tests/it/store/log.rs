//! The numbered log: nobody who follows it misses an entry, whatever order they come in.

use std::collections::BTreeSet;

use portcullis::model::{Change, CutReason, LogEntry, LoginId};
use portcullis::store::{Compaction, Cursor, ProfileChange, Store, StoreError};
use sqlx::{Connection, PgConnection};

use super::place::{
    Place, STRICT, log_in, login_ended, on_postgres, profile_changed, register, second, taken,
    user_cut, whole_log,
};

fn jtis(entries: &[LogEntry]) -> BTreeSet<String> {
    let jti = |entry: &LogEntry| match &entry.change {
        Change::TokenEnded { jti } => Some(jti.clone()),
        _ => None,
    };
    entries.iter().filter_map(jti).collect()
}

async fn end_token(store: &Store, jti: &str) {
    assert_eq!(store.end_token(jti, None, second(90), second(1)).await.unwrap().len(), 1);
}

/// On a machine that is busy, a writer among many may wait too long for his turn.
async fn end_token_at_last(store: &Store, jti: &str) {
    loop {
        match store.end_token(jti, None, second(90), second(1)).await {
            Ok(_) => return,
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn every_kind_of_entry_is_read_as_it_was_written(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    log_in(&store, ada, 1).await;
    store.end_login(LoginId([1; 16]), second(1)).await.unwrap();
    store.end_token("jti", Some(ada), second(90), second(2)).await.unwrap();
    store.cut_user(ada, second(3)).await.unwrap();
    store.set_email_verified(ada, true, second(4)).await.unwrap();
    store.set_active(ada, false, second(5)).await.unwrap();
    store.delete_user(ada, second(6)).await.unwrap();
    assert_eq!(
        whole_log(&store).await,
        [
            login_ended(LoginId([1; 16]), second(1)),
            LogEntry { change: Change::TokenEnded { jti: "jti".to_owned() }, at: second(2) },
            user_cut(ada, 1, CutReason::LoggedOut, second(3)),
            profile_changed(ada, 2, second(4)),
            user_cut(ada, 2, CutReason::UserInactive, second(5)),
            user_cut(ada, 3, CutReason::UserDeleted, second(6)),
        ]
    );
}

async fn a_follower_sees_what_came_since(place: &Place) {
    let (writer, reader) = (place.store().await, place.store().await);
    let (entries, cursor) = reader.log_since(Cursor::START).await.unwrap();
    assert!(entries.is_empty());
    end_token(&writer, "a").await;
    let (entries, cursor) = reader.log_since(cursor).await.unwrap();
    assert!(jtis(&entries).contains("a"));
    end_token(&writer, "b").await;
    let (entries, _) = reader.log_since(cursor).await.unwrap();
    assert!(jtis(&entries).contains("b"));
}

async fn a_cursor_survives_compaction_and_the_log_stays_in_step(place: &Place) {
    let store = place.store().await;
    end_token(&store, "a").await;
    let (_, cursor) = store.log_since(Cursor::START).await.unwrap();
    let (idle_before, audit_before) = (None, None);
    let past = Compaction { log_before: second(9), idle_before, audit_before, now: second(9) };
    store.compact(past).await.unwrap();
    let (entries, later) = store.log_since(cursor).await.unwrap();
    assert!(entries.is_empty());
    assert!(later >= cursor);
    end_token(&store, "b").await;
    let (entries, _) = store.log_since(later).await.unwrap();
    assert_eq!(jtis(&entries), BTreeSet::from(["b".to_owned()]));
}

async fn a_cursor_from_another_life_of_the_database_reads_it_all(place: &Place) {
    let store = place.store().await;
    end_token(&store, "a").await;
    let (entries, next) = store.log_since(Cursor(i64::MAX)).await.unwrap();
    assert_eq!(jtis(&entries), BTreeSet::from(["a".to_owned()]));
    assert!(next < Cursor(i64::MAX));
}

async fn a_log_of_many_pages_is_read_whole(place: &Place) {
    let store = place.store().await;
    let rows: Vec<_> =
        (0..12_000).map(|number| format!("('token_ended', '{number}', 1)")).collect();
    let values = rows.join(", ");
    place.execute(&format!("INSERT INTO change_log (kind, jti, at) VALUES {values}")).await;
    let (entries, _) = store.log_since(Cursor::START).await.unwrap();
    assert_eq!((entries.len(), jtis(&entries).len()), (12_000, 12_000));
}

async fn an_entry_of_a_newer_release_is_not_passed_over(place: &Place) {
    let store = place.store().await;
    place.execute("INSERT INTO change_log (kind, at) VALUES ('unheard_of', 1)").await;
    assert!(store.log_since(Cursor::START).await.is_err());
}

/// Two replicas write at once from 24 tasks, some transactions fail, a third replica follows.
async fn a_follower_of_many_writers_misses_nothing(place: &Place) {
    let (one, other, reader) = (place.store().await, place.store().await, place.store().await);
    register(&one, "ada", "").await;
    let bob = register(&one, "bob", "").await.id;
    let writers: Vec<_> = (0..24)
        .map(|writer| {
            let store = if writer % 2 == 0 { one.clone() } else { other.clone() };
            tokio::spawn(async move {
                for number in 0..15 {
                    if number % 5 == 4 {
                        // Writes a name, finds it taken, and is rolled back.
                        let change =
                            ProfileChange { username: Some("ada"), ..ProfileChange::default() };
                        let refused = store.change_profile(bob, change, STRICT, None, second(1));
                        let refused = refused.await;
                        let busy = matches!(refused, Err(StoreError::Unavailable(_)));
                        assert!(busy || taken(&refused).is_some());
                    } else {
                        end_token_at_last(&store, &format!("{writer}-{number}")).await;
                    }
                }
            })
        })
        .collect();
    let follower = tokio::spawn(async move {
        let (mut cursor, mut seen) = (Cursor::START, BTreeSet::new());
        while seen.len() < 24 * 12 {
            let Ok((entries, next)) = reader.log_since(cursor).await else { continue };
            assert!(entries.iter().all(|it| matches!(it.change, Change::TokenEnded { .. })));
            seen.extend(jtis(&entries));
            cursor = next;
            tokio::task::yield_now().await;
        }
    });
    for writer in writers {
        writer.await.unwrap();
    }
    // The last entries are visible now, so a follower that missed none ends with this read.
    tokio::time::timeout(std::time::Duration::from_mins(1), follower).await.unwrap().unwrap();
}

on_each! {
    every_kind_of_entry_is_read_as_it_was_written,
    a_follower_sees_what_came_since,
    a_cursor_survives_compaction_and_the_log_stays_in_step,
    a_cursor_from_another_life_of_the_database_reads_it_all,
    a_log_of_many_pages_is_read_whole,
    an_entry_of_a_newer_release_is_not_passed_over,
    a_follower_of_many_writers_misses_nothing,
}

/// As above, and each writer has transactions whose entry gets its number long before it is
/// committed. SQLite has one writer at a time, so this cannot happen there.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_many_writers_misses_nothing_that_is_committed_late() {
    on_postgres(async |place: &Place| {
        let (store, reader) = (place.store().await, place.store().await);
        let follower = tokio::spawn(async move {
            let (mut cursor, mut seen) = (Cursor::START, BTreeSet::new());
            while seen.len() < 8 * (10 + 10) {
                let Ok((entries, next)) = reader.log_since(cursor).await else { continue };
                seen.extend(jtis(&entries));
                cursor = next;
                tokio::task::yield_now().await;
            }
        });
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (store, url) = (store.clone(), place.options.url.clone());
                tokio::spawn(async move {
                    let mut slow = PgConnection::connect(&url).await.unwrap();
                    for number in 0..10 {
                        let mut tx = slow.begin().await.unwrap();
                        sqlx::query(
                            "INSERT INTO change_log (kind, jti, at) VALUES ('token_ended', $1, 1)",
                        )
                        .bind(format!("slow-{writer}-{number}"))
                        .execute(&mut *tx)
                        .await
                        .unwrap();
                        // Others get later numbers, are committed, and read, before this is.
                        end_token_at_last(&store, &format!("{writer}-{number}")).await;
                        if number % 3 == 0 {
                            store.log_since(Cursor::START).await.unwrap();
                        }
                        tx.commit().await.unwrap();
                    }
                    slow.close().await.unwrap();
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let all = tokio::time::timeout(std::time::Duration::from_mins(1), follower);
        all.await.expect("every entry was seen").unwrap();
    })
    .await;
}

/// SQLite has one writer at a time, so this cannot happen there.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_committed_late_is_not_missed() {
    on_postgres(async |place: &Place| {
        let store = place.store().await;
        let mut slow = PgConnection::connect(&place.options.url).await.unwrap();
        let mut tx = slow.begin().await.unwrap();
        sqlx::query("INSERT INTO change_log (kind, jti, at) VALUES ('token_ended', 'slow', 1)")
            .execute(&mut *tx)
            .await
            .unwrap();
        end_token(&store, "quick").await;
        let (entries, cursor) = store.log_since(Cursor::START).await.unwrap();
        assert_eq!(jtis(&entries), BTreeSet::from(["quick".to_owned()]), "at once");
        tx.commit().await.unwrap();
        let (entries, _) = store.log_since(cursor).await.unwrap();
        assert!(jtis(&entries).contains("slow"));
    })
    .await;
}
