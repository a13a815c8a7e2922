//! Logins and the JWTs that end one by one.

use portcullis::model::{Change, Login, LoginId, LoginKind, UserId};
use portcullis::store::Compaction;

use super::place::{Place, jwt_login, log_in, login_ended, register, second, token, whole_log};

async fn a_login_is_stored_as_given(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let login = jwt_login(ada, 1);
    assert!(store.log_in_jwt(&login, true, second(5)).await.unwrap());
    let found = store.login(login.id).await.unwrap().unwrap();
    assert_eq!((found.id, found.user, found.kind), (login.id, ada, LoginKind::Jwt));
    assert_eq!((found.generation, found.expires), (0, login.expires));
    assert_eq!((found.created, found.last_used), (second(0), second(0)));
    assert_eq!(store.user(ada).await.unwrap().unwrap().last_login, Some(second(5)));
    assert!(store.login(LoginId([9; 16])).await.unwrap().is_none());
    assert!(whole_log(&store).await.is_empty());
}

async fn a_login_that_a_cut_overtook_is_not_stored(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let early = jwt_login(ada, 1);
    store.cut_user(ada, second(1)).await.unwrap();
    assert!(!store.log_in_jwt(&early, true, second(2)).await.unwrap());
    let late = Login { generation: 1, ..jwt_login(ada, 2) };
    assert!(store.log_in_jwt(&late, false, second(2)).await.unwrap());

    store.set_active(ada, false, second(3)).await.unwrap();
    let inactive = Login { generation: 2, ..jwt_login(ada, 3) };
    assert!(!store.log_in_jwt(&inactive, true, second(4)).await.unwrap());
    let nobodys = jwt_login(UserId(99), 4);
    assert!(!store.log_in_jwt(&nobodys, true, second(4)).await.unwrap());
    let kept: Vec<_> = store.logins_of(ada).await.unwrap().iter().map(|kept| kept.id).collect();
    assert_eq!(kept, [late.id]);
    assert_eq!(store.user(ada).await.unwrap().unwrap().last_login, None);
}

async fn a_login_and_a_cut_at_once_leave_no_login_of_before(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    let ada = register(&one, "ada", "").await.id;
    for round in 0..20_u8 {
        let generation = one.user(ada).await.unwrap().unwrap().generation;
        let login = Login { generation, ..jwt_login(ada, round) };
        let (logged_in, cut) =
            tokio::join!(one.log_in_jwt(&login, false, second(1)), other.cut_user(ada, second(1)),);
        logged_in.unwrap();
        cut.unwrap().unwrap();
        assert!(one.logins_of(ada).await.unwrap().is_empty(), "round {round}");
    }
}

async fn one_login_ends_and_the_others_stay(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    let (ending, staying) = (log_in(&store, ada, 1).await, log_in(&store, ada, 2).await);
    let entries = store.end_login(ending.login, second(3)).await.unwrap();
    assert_eq!(entries, [login_ended(ending.login, second(3))]);
    assert_eq!(whole_log(&store).await, entries);
    assert!(store.opaque(ending.digest).await.unwrap().is_none());
    assert!(store.opaque(staying.digest).await.unwrap().is_some());
    assert!(store.end_login(ending.login, second(4)).await.unwrap().is_empty());
    assert_eq!(whole_log(&store).await.len(), 1);
}

async fn all_opaque_logins_end_and_families_of_jwts_stay(place: &Place) {
    let store = place.store().await;
    let (ada, bob) = (register(&store, "ada", "").await.id, register(&store, "bob", "").await.id);
    let (first, next) = (log_in(&store, ada, 1).await, log_in(&store, ada, 2).await);
    let family = jwt_login(ada, 3);
    store.log_in_jwt(&family, false, second(0)).await.unwrap();
    log_in(&store, bob, 4).await;
    let entries = store.end_opaque_logins(ada, second(5)).await.unwrap();
    let expected = [login_ended(first.login, second(5)), login_ended(next.login, second(5))];
    assert_eq!(entries, expected);
    let left = store.logins_of(ada).await.unwrap();
    assert_eq!(left.iter().map(|login| login.id).collect::<Vec<_>>(), [family.id]);
    assert_eq!(store.logins_of(bob).await.unwrap().len(), 1);
}

async fn a_users_logins_come_latest_first(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    for number in [2, 3, 1] {
        log_in(&store, ada, number).await;
    }
    let ids: Vec<_> =
        store.logins_of(ada).await.unwrap().iter().map(|login| login.id.0[0]).collect();
    assert_eq!(ids, [3, 2, 1]);
}

async fn use_of_a_login_is_noted_and_never_goes_backwards(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    store.log_in_opaque(token(ada, 1), 0, 9, false, second(0)).await.unwrap();
    let id = LoginId([1; 16]);
    let touched = async |at| {
        store.touch_login(id, second(at)).await.unwrap();
        store.login(id).await.unwrap().unwrap().last_used
    };
    assert_eq!(touched(60).await, second(60));
    assert_eq!(touched(3_600).await, second(3_600));
    assert_eq!(touched(61).await, second(3_600));
    store.touch_login(LoginId([9; 16]), second(9)).await.unwrap();
}

async fn a_token_ends_once(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    assert!(!store.token_ended("jti").await.unwrap());
    let entries = store.end_token("jti", Some(ada), second(90), second(1)).await.unwrap();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(entry.change, Change::TokenEnded { jti: "jti".to_owned() });
    assert!(store.token_ended("jti").await.unwrap());
    assert!(store.end_token("jti", Some(ada), second(90), second(2)).await.unwrap().is_empty());
    assert_eq!(whole_log(&store).await, entries);

    let of_nobody = store.end_token("other", None, second(90), second(3)).await.unwrap();
    let of_the_gone = store.end_token("third", Some(UserId(99)), second(90), second(3)).await;
    assert_eq!((of_nobody.len(), of_the_gone.unwrap().len()), (1, 1));
}

async fn a_token_exchanged_twice_at_once_ends_for_one(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    for round in 0..10 {
        let jti = format!("jti{round}");
        let (first, next) = tokio::join!(
            one.end_token(&jti, None, second(90), second(1)),
            other.end_token(&jti, None, second(90), second(1)),
        );
        assert_eq!(first.unwrap().len() + next.unwrap().len(), 1);
    }
}

async fn a_token_may_end_while_its_user_is_deleted(place: &Place) {
    let (one, other) = (place.store().await, place.store().await);
    for round in 0..10 {
        let name = format!("ada{round}");
        let ada = register(&one, &name, "").await.id;
        let (ended, deleted) = tokio::join!(
            one.end_token(&name, Some(ada), second(90), second(1)),
            other.delete_user(ada, second(1)),
        );
        assert_eq!((ended.unwrap().len(), deleted.unwrap().unwrap().len()), (1, 1));
        assert!(one.token_ended(&name).await.unwrap());
    }
}

async fn what_is_past_is_thrown_away_and_nothing_else(place: &Place) {
    let store = place.store().await;
    let ada = register(&store, "ada", "").await.id;
    for (number, expires) in [(1, None), (2, Some(second(100))), (3, Some(second(300)))] {
        let mut new = token(ada, number);
        new.expires = expires;
        store.log_in_opaque(new, 0, 9, false, second(i64::from(number))).await.unwrap();
    }
    store.log_in_jwt(&jwt_login(ada, 4), false, second(0)).await.unwrap();
    store.end_token("old", Some(ada), second(100), second(10)).await.unwrap();
    store.end_token("new", Some(ada), second(300), second(50)).await.unwrap();

    let (idle_before, audit_before) = (None, None);
    let past = Compaction { log_before: second(50), idle_before, audit_before, now: second(200) };
    assert_eq!(store.compact(past).await.unwrap(), 3, "an entry, a token, a login");
    assert_eq!(whole_log(&store).await.len(), 1);
    assert!(!store.token_ended("old").await.unwrap());
    assert!(store.token_ended("new").await.unwrap());
    assert_eq!(store.logins_of(ada).await.unwrap().len(), 3);
    assert_eq!(store.compact(past).await.unwrap(), 0);

    let idle = Compaction { idle_before: Some(second(2)), ..past };
    assert_eq!(store.compact(idle).await.unwrap(), 1, "families of JWTs are never idle");
    let left: Vec<_> = store.logins_of(ada).await.unwrap().iter().map(|it| it.id.0[0]).collect();
    assert_eq!(left, [3, 4]);
}

async fn more_than_one_batch_is_thrown_away(place: &Place) {
    let store = place.store().await;
    let rows: Vec<_> = (0..2_500).map(|number| format!("('old{number}', 1, 1)")).collect();
    let values = rows.join(", ");
    place.execute(&format!("INSERT INTO ended_tokens (jti, expires, ended) VALUES {values}")).await;
    let (idle_before, audit_before) = (None, None);
    let past = Compaction { log_before: second(0), idle_before, audit_before, now: second(0) };
    assert_eq!(store.compact(past).await.unwrap(), 2_500);
}

on_each! {
    a_login_is_stored_as_given,
    a_login_that_a_cut_overtook_is_not_stored,
    a_login_and_a_cut_at_once_leave_no_login_of_before,
    one_login_ends_and_the_others_stay,
    all_opaque_logins_end_and_families_of_jwts_stay,
    a_users_logins_come_latest_first,
    use_of_a_login_is_noted_and_never_goes_backwards,
    a_token_ends_once,
    a_token_exchanged_twice_at_once_ends_for_one,
    a_token_may_end_while_its_user_is_deleted,
    what_is_past_is_thrown_away_and_nothing_else,
    more_than_one_batch_is_thrown_away,
}
