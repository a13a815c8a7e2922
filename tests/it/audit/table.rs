//! The table itself: what is looked for is found, what is old goes, and without it nothing is
//! kept.

use std::time::Duration;

use clap::Parser;
use portcullis::cli::audit::{AuditArguments, AuditError, run};
use portcullis::model::{Actor, Deed, Person, Target, Timestamp, UserId};
use portcullis::store::{Compaction, NameRules, NewUser, Store};
use portcullis::telemetry::audit_line;

use super::place::{Place, deeds};

const AT: Timestamp = Timestamp::from_seconds(1_700_000_000);

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    wanted: AuditArguments,
}

/// What `portcullis audit` shows an hour later.
async fn shown(store: &Store, flags: &str) -> Result<String, AuditError> {
    let words = format!("audit {flags}");
    let wanted = Cli::try_parse_from(words.split_whitespace()).unwrap().wanted;
    let mut out = Vec::new();
    run(&wanted, store, AT.plus(Duration::from_hours(1)), &mut out).await?;
    Ok(String::from_utf8(out).unwrap())
}

fn person(id: &str, name: &str) -> Person {
    Person { id: id.to_owned(), name: Some(name.to_owned()) }
}

fn ada() -> NewUser<'static> {
    NewUser {
        username: "ada",
        email: "",
        password: "!",
        is_active: true,
        is_staff: false,
        is_superuser: false,
        email_verified: false,
    }
}

const RULES: NameRules = NameRules { unique_email: true, reuse_usernames: false };

async fn a_deed_comes_back_as_it_was_told(place: &Place) {
    let store = place.store().await;
    let whole = Deed {
        failure: Some("database".into()),
        means: Some("link".into()),
        actor: Actor::User(person("https://issuer.test:sub", "odd\u{0}\"\u{1b}")),
        target: Some(Target { id: UserId(8), name: None }),
        key: Some("kid".to_owned()),
        count: Some(u64::MAX),
        client: Some("2001:db8::1".to_owned()),
        request_id: Some("00ff".to_owned()),
        ..Deed::new("user.delete", AT)
    };
    let shell = |person| Deed { actor: Actor::Shell(person), ..Deed::new("key.rotate", AT) };
    let told =
        [whole.clone(), shell(None), shell(Some(person("uid:0", "root"))), Deed::new("x.y", AT)];
    store.write_deeds(&told).await.unwrap();
    let storable = Actor::User(person("https://issuer.test:sub", "odd\u{fffd}\"\u{1b}"));
    let [_, one, two, three] = told;
    let expected = [Deed { actor: storable, ..whole }, one, two, three];
    assert_eq!(deeds(&store).await, expected);
}

async fn what_is_looked_for_is_shown_and_nothing_else(place: &Place) {
    let store = place.store().await;
    let id = store.create_user(ada(), RULES, None, None, AT).await.unwrap().id;
    let by_ada = Deed {
        actor: Actor::User(person(&id.to_string(), "ada")),
        client: Some("203.0.113.9".to_owned()),
        ..Deed::new("identity.login", AT)
    };
    let to_ada = Deed {
        actor: Actor::Shell(Some(person("uid:0", "root"))),
        target: Some(Target { id, name: Some("ada".to_owned()) }),
        ..Deed::new("user.delete", AT.plus(Duration::from_mins(30)))
    };
    let other = Deed { failure: Some("unknown_user".into()), ..Deed::new("identity.login", AT) };
    store.write_deeds(&[by_ada.clone(), other.clone(), to_ada.clone()]).await.unwrap();
    // Who is gone is found by the name that they had.
    store.delete_user(id, AT).await.unwrap();

    let both = audit_line(&by_ada) + &audit_line(&to_ada);
    assert_eq!(shown(&store, "--json --user ada").await.unwrap(), both);
    assert_eq!(shown(&store, &format!("--json --user #{id}")).await.unwrap(), both);
    let logins = audit_line(&by_ada) + &audit_line(&other);
    assert_eq!(shown(&store, "--json --action identity.login").await.unwrap(), logins);
    let lately = audit_line(&to_ada);
    assert_eq!(shown(&store, "--json --since 31m").await.unwrap(), lately);
    assert_eq!(shown(&store, "--json --since 2023-11-14T22:30:00Z").await.unwrap(), lately);
    assert_eq!(shown(&store, "--since 2023-11-15 --user ada").await.unwrap(), "");
    let expected = format!(
        "2023-11-14T22:13:20Z  identity.login           success         \
         ada (#{id})  from 203.0.113.9\n\
         2023-11-14T22:13:20Z  identity.login           unknown_user    anonymous\n\
         2023-11-14T22:43:20Z  user.delete              success         \
         root (uid:0)  to ada (#{id})\n"
    );
    assert_eq!(shown(&store, "").await.unwrap(), expected);
    let unknown = shown(&store, "--user eve").await;
    assert!(matches!(unknown, Err(AuditError::Unknown(name)) if name == "eve"));
}

async fn any_number_is_shown_in_order(place: &Place) {
    let store = place.store().await;
    let deeds: Vec<_> = (0..5_200)
        .map(|number| Deed { count: Some(number), ..Deed::new("user.import", AT) })
        .collect();
    store.write_deeds(&deeds).await.unwrap();
    let expected: String = deeds.iter().map(audit_line).collect();
    assert_eq!(shown(&store, "--json").await.unwrap(), expected);
}

async fn what_is_older_than_it_is_kept_goes(place: &Place) {
    let store = place.store().await;
    let told = [Deed::new("a.b", AT), Deed::new("c.d", AT.plus(Duration::from_secs(1)))];
    store.write_deeds(&told).await.unwrap();
    let past = Compaction { log_before: AT, idle_before: None, audit_before: None, now: AT };
    assert_eq!(store.compact(past).await.unwrap(), 0);
    let audit_before = Some(AT.plus(Duration::from_secs(1)));
    assert_eq!(store.compact(Compaction { audit_before, ..past }).await.unwrap(), 1);
    assert_eq!(deeds(&store).await, told[1..]);
}

async fn a_change_and_its_entry_are_there_together_or_not_at_all(place: &Place) {
    let store = place.store().await;
    let noting = store.noting(&[Deed::new("user.create", AT)]);
    let made = noting.create_user(ada(), RULES, None, None, AT).await.unwrap();
    // Refused, and nothing to delete: neither is written down.
    noting.create_user(ada(), RULES, None, None, AT).await.unwrap_err();
    assert_eq!(noting.delete_user(UserId(made.id.0 + 7), AT).await.unwrap(), None);
    let expected = [Deed::new("user.create", AT).to(&made)];
    assert_eq!(deeds(&store).await, expected);
}

async fn without_it_nothing_is_kept(place: &Place) {
    let store = place.store().await.with_audit_log(false);
    let deed = [Deed::new("user.create", AT)];
    store.noting(&deed).create_user(ada(), RULES, None, None, AT).await.unwrap();
    store.write_deeds(&deed).await.unwrap();
    assert_eq!(deeds(&store).await, []);
}

on_each! {
    a_deed_comes_back_as_it_was_told,
    what_is_looked_for_is_shown_and_nothing_else,
    any_number_is_shown_in_order,
    what_is_older_than_it_is_kept_goes,
    a_change_and_its_entry_are_there_together_or_not_at_all,
    without_it_nothing_is_kept,
}
