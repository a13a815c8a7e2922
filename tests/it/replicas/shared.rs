//! What replicas tell each other through Redis, and what they do not believe.

use http::{Method, StatusCode};
use portcullis::config::{Period, Rate};
use portcullis::identity::token_digest;
use redis::AsyncTypedCommands as _;
use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::world::{OwnRedis, World, get_opaque, tier, until};
use crate::subject::{Ask, PASSWORD, Subject};

async fn connect(redis: &OwnRedis) -> MultiplexedConnection {
    redis::Client::open(redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn names(redis: &mut MultiplexedConnection, kind: &str) -> Vec<String> {
    redis.keys(format!("portcullis:*:{kind}:*")).await.unwrap()
}

/// A token that one replica has looked up and shared.
async fn shared_token(one: &Subject, redis: &mut MultiplexedConnection, name: &str) -> String {
    one.register(name).await;
    let token = one.opaque(name).await;
    assert_eq!(get_opaque(one, "/", &token).await.status, StatusCode::OK);
    let digest = hex::encode(token_digest(&token).0);
    let suffix = format!(":{digest}");
    until("it is shared", async || {
        names(&mut redis.clone(), "token").await.iter().any(|name| name.ends_with(&suffix))
    })
    .await;
    token
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_one_replica_knows_spares_the_other_a_look_up() {
    let redis = OwnRedis::start().await;
    let world = World { redis: redis.url(), ..World::new().await };
    let (one, other) = (world.replica().await, world.replica().await);
    let mut connection = connect(&redis).await;
    let token = shared_token(&one, &mut connection, "ada").await;
    let answer = get_opaque(&other, "/", &token).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["headers"]["x-forwarded-user"], json!("ada"));
    assert_eq!((tier(&other, "hit").await, tier(&other, "forged").await), (1, 0));

    for name in names(&mut connection, "*").await {
        assert!(!name.contains(&token), "{name}");
        if name.contains(":token:") || name.contains(":user:") {
            let value: Vec<u8> =
                redis::cmd("GET").arg(&name).query_async(&mut connection).await.unwrap();
            let text = String::from_utf8_lossy(&value);
            assert!(!text.contains(&token) && !text.contains("argon2"), "{text}");
            let left: i64 =
                redis::cmd("PTTL").arg(&name).query_async(&mut connection).await.unwrap();
            assert!((1..=60_000).contains(&left), "{left} ms");
        }
    }
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_somebody_else_wrote_is_not_believed() {
    let redis = OwnRedis::start().await;
    let world = World { redis: redis.url(), ..World::new().await };
    let (one, other) = (world.replica().await, world.replica().await);
    let mut connection = connect(&redis).await;
    let ada = shared_token(&one, &mut connection, "ada").await;
    let bob = shared_token(&one, &mut connection, "bob").await;
    let name_of = |names: &[String], token: &str| {
        let digest = hex::encode(token_digest(token).0);
        names.iter().find(|name| name.ends_with(&digest)).unwrap().clone()
    };
    let all = names(&mut connection, "token").await;
    let (adas, bobs) = (name_of(&all, &ada), name_of(&all, &bob));

    // Ada writes that she is staff, and puts her own value in Bob's place.
    let get = async |name: &str, mut connection: MultiplexedConnection| -> Vec<u8> {
        redis::cmd("GET").arg(name).query_async(&mut connection).await.unwrap()
    };
    let value = get(&adas, connection.clone()).await;
    let (tag, text) = value.split_at(32);
    let forged = String::from_utf8(text.to_vec())
        .unwrap()
        .replace("\"is_staff\":false", "\"is_staff\":true");
    assert_ne!(forged.as_bytes(), text);
    connection.set(&adas, [tag, forged.as_bytes()].concat()).await.unwrap();
    connection.set(&bobs, value.clone()).await.unwrap();

    assert_eq!(get_opaque(&other, "/staff/", &ada).await.status, StatusCode::FORBIDDEN);
    assert_eq!(tier(&other, "forged").await, 1);
    let answer = get_opaque(&other, "/", &bob).await;
    assert_eq!(answer.json()["headers"]["x-forwarded-user"], json!("bob"));
    assert_eq!((tier(&other, "hit").await, tier(&other, "forged").await), (0, 2));
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_before_a_logout_revives_nothing() {
    let redis = OwnRedis::start().await;
    let world = World { redis: redis.url(), ..World::new().await };
    let (one, other) = (world.replica().await, world.replica().await);
    let mut connection = connect(&redis).await;
    let token = shared_token(&one, &mut connection, "ada").await;
    let name = names(&mut connection, "token").await.remove(0);
    let value: Vec<u8> = redis::cmd("GET").arg(&name).query_async(&mut connection).await.unwrap();
    super::world::log_out(&one, &token).await;
    super::world::refused(&other, &token).await;
    connection.set(&name, value).await.unwrap();
    let third = world.replica().await;
    for replica in [&one, &other, &third] {
        assert_eq!(get_opaque(replica, "/", &token).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(tier(&third, "hit").await, 1, "it was genuine, and ended all the same");
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_is_not_noticed() {
    let redis = OwnRedis::start().await;
    let world = World { redis: redis.url(), ..World::new().await };
    let (one, other) = (world.replica().await, world.replica().await);
    let mut connection = connect(&redis).await;
    let token = shared_token(&one, &mut connection, "ada").await;
    connection.flushall().await.unwrap();
    for replica in [&one, &other] {
        assert_eq!(get_opaque(replica, "/", &token).await.status, StatusCode::OK);
    }
    super::world::log_out(&one, &token).await;
    super::world::refused(&other, &token).await;
    // Scripts were flushed, too.
    assert_eq!(one.opaque("ada").await.len(), 40);
    world.remove().await;
}

async fn try_login(replica: &Subject, name: &str, password: &str) -> StatusCode {
    let body = json!({"username": name, "password": password});
    let ask = Ask::new(Method::POST, "/auth/token/login/").json(&body);
    replica.ask(ask).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_count_for_all_replicas_together() {
    let world = World::new().await;
    let rate = Rate { count: 4, per: *Period::seconds(600) };
    let limited = |settings: &mut portcullis::config::Settings| {
        settings.limits.login_per_account = rate;
        settings.limits.exempt = Vec::new();
    };
    let (one, other) = (world.replica_with(limited).await, world.replica_with(limited).await);
    one.register("ada").await;
    one.register("bob").await;
    // Spellings count together as well.
    for (replica, name) in [(&one, "ada"), (&other, "ADA"), (&one, "Ada"), (&other, "ada")] {
        assert_eq!(try_login(replica, name, "wrong").await, StatusCode::BAD_REQUEST);
    }
    for replica in [&one, &other] {
        let body = json!({"username": "ada", "password": PASSWORD});
        let answer = replica.post("/auth/jwt/create/", body).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.json());
        let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
        assert!((1..=150).contains(&wait), "{wait}");
    }
    assert_eq!(try_login(&other, "bob", PASSWORD).await, StatusCode::OK, "another account");
    for _ in 0..10 {
        assert_eq!(try_login(&one, "bob", PASSWORD).await, StatusCode::OK, "no failures");
    }
    world.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_logged_in_on_one_replica_is_no_stranger_on_the_other() {
    let redis = OwnRedis::start().await;
    let world = World { redis: redis.url(), ..World::new().await };
    let rate = Rate { count: 3, per: *Period::seconds(600) };
    let limited = |settings: &mut portcullis::config::Settings| {
        settings.limits.login_per_account = rate;
        settings.limits.exempt = Vec::new();
        settings.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    };
    let (one, other) = (world.replica_with(limited).await, world.replica_with(limited).await);
    one.register("ada").await;
    let from = async |replica: &Subject, address: &str, password: &str| {
        let body = json!({"username": "ada", "password": password});
        let ask = Ask::new(Method::POST, "/auth/token/login/")
            .header("X-Forwarded-For", address)
            .json(&body);
        replica.ask(ask).await.status
    };
    assert_eq!(from(&one, "192.0.2.1", PASSWORD).await, StatusCode::OK);
    let mut connection = connect(&redis).await;
    until("the address is known", async || {
        !names(&mut connection.clone(), "known").await.is_empty()
    })
    .await;
    for _ in 0..3 {
        assert_eq!(from(&one, "198.51.100.7", "wrong").await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(from(&other, "198.51.100.7", PASSWORD).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(from(&other, "192.0.2.1", PASSWORD).await, StatusCode::OK);
    for name in names(&mut connection, "*").await {
        assert!(!name.contains("192.0.2.1"), "{name}");
    }
    world.remove().await;
}

/// The connections that Redis has, by number, but for the one that asks.
async fn clients(redis: &mut MultiplexedConnection) -> Vec<u64> {
    let own: u64 = redis::cmd("CLIENT").arg("ID").query_async(redis).await.unwrap();
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(redis).await.unwrap();
    let number = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse().ok();
    list.lines().filter_map(number).filter(|number| *number != own).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_asks_gets_a_connection_of_its_own_and_another_one_if_that_breaks() {
    let redis = OwnRedis::start().await;
    let world = World { redis: redis.url(), ..World::new().await };
    let one = world.replica_with(|settings| settings.server.threads = 1).await;
    let mut connection = connect(&redis).await;
    let shared = clients(&mut connection).await;
    let token = shared_token(&one, &mut connection, "ada").await;
    let own = async |connection: &mut MultiplexedConnection| {
        let mut own = clients(connection).await;
        own.retain(|client| !shared.contains(client));
        own
    };
    until("there is one more", async || own(&mut connection.clone()).await.len() == 1).await;

    let broken = own(&mut connection).await[0];
    let mut kill = redis::cmd("CLIENT");
    let killed: u64 =
        kill.arg("KILL").arg("ID").arg(broken).query_async(&mut connection).await.unwrap();
    assert_eq!(killed, 1);
    // Whoever asks, or the ping, finds out; nobody is refused for it, and all is made anew.
    until("there are others", async || {
        assert_eq!(get_opaque(&one, "/", &token).await.status, StatusCode::OK);
        let unseen = one.opaque("ada").await;
        assert_eq!(get_opaque(&one, "/", &unseen).await.status, StatusCode::OK);
        let all = clients(&mut connection.clone()).await;
        !all.contains(&broken) && all.len() == shared.len() + 1
    })
    .await;
    world.remove().await;
}
