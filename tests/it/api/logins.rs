//! `users/me/logins/`, `users/me/logins/{sid}/`, `users/me/logout_all/`.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::world::{Answer, Ask, World};

const LOGINS: &str = "/auth/users/me/logins/";

async fn end(world: &World, token: &str, path: &str) -> Answer {
    world.ask(Ask::new(Method::DELETE, path).bearer(token)).await
}

#[tokio::test]
async fn logins_are_listed_the_latest_first_and_the_present_one_is_marked() {
    let world = World::new().await;
    world.register("ada").await;
    let phone = world.log_in("ada").await;
    world.pass(Duration::from_mins(1));
    world.log_in_jwt("ada").await;
    let answer = world.get(&phone, LOGINS).await;
    let ids: Vec<_> =
        answer.json().as_array().unwrap().iter().map(|login| login["id"].clone()).collect();
    assert!(ids.iter().all(|id| id.as_str().is_some_and(|id| id.len() == 32)));
    answer.is(
        200,
        &json!([
            {"id": ids[0], "kind": "jwt", "created": "2027-01-15T08:01:00.000000Z",
             "last_used": "2027-01-15T08:01:00.000000Z",
             "expires": "2027-01-16T08:01:00.000000Z", "current": false},
            {"id": ids[1], "kind": "opaque", "created": "2027-01-15T08:00:00.000000Z",
             "last_used": "2027-01-15T08:00:00.000000Z", "expires": null, "current": true},
        ]),
    );
}

#[tokio::test]
async fn one_login_ends_and_anothers_is_not_found() {
    let world = World::new().await;
    world.register("ada").await;
    world.register("bea").await;
    let (phone, (refresh, access)) = (world.log_in("ada").await, world.log_in_jwt("ada").await);
    let bea = world.log_in("bea").await;
    let listed = world.get(&access, LOGINS).await.json();
    let present = listed.as_array().unwrap().iter().find(|login| login["current"] == true);
    let path = format!("{LOGINS}{}/", present.unwrap()["id"].as_str().unwrap());
    let not_found = json!({"detail": "Not found."});
    for path in [path.as_str(), "/auth/users/me/logins/x/"] {
        end(&world, &bea, path).await.is(404, &not_found);
    }
    assert_eq!(world.me(&access).await.status, 200);
    end(&world, &phone, &path).await.is_empty(204);
    assert_eq!(world.me(&access).await.status, 401);
    let answer = world.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await;
    assert_eq!(answer.status, 401);
    end(&world, &phone, &path).await.is(404, &not_found);
    assert_eq!(world.me(&phone).await.status, 200);
}

#[tokio::test]
async fn all_other_logins_end_and_the_present_one_goes_on() {
    let world = World::new().await;
    world.register("ada").await;
    let (phone, laptop) = (world.log_in("ada").await, world.log_in("ada").await);
    let (_, access) = world.log_in_jwt("ada").await;
    end(&world, &phone, LOGINS).await.is_empty(204);
    assert_eq!(world.me(&phone).await.status, 200);
    for token in [&laptop, &access] {
        assert_eq!(world.me(token).await.status, 401);
    }
}

#[tokio::test]
async fn everything_ends_tokens_without_a_login_too() {
    for world in [World::new().await, World::djoser().await] {
        for name in ["ada", "bea"] {
            let body = json!({
                "username": name, "password": super::world::PASSWORD,
                "re_password": super::world::PASSWORD,
            });
            assert_eq!(world.post("/auth/users/", body).await.status, 201);
        }
        let (opaque, (refresh, access)) =
            (world.log_in("ada").await, world.log_in_jwt("ada").await);
        let other = world.log_in("bea").await;
        world.post_as(&opaque, "/auth/users/me/logout_all/", json!({})).await.is_empty(204);
        for token in [&opaque, &access] {
            assert_eq!(world.me(token).await.status, 401);
        }
        let answer = world.post("/auth/jwt/refresh/", json!({"refresh": refresh})).await;
        assert_eq!(answer.status, 401);
        assert_eq!(world.me(&other).await.status, 200);
        world.pass(Duration::from_secs(1));
        let (_, fresh) = world.log_in_jwt("ada").await;
        assert_eq!(world.me(&fresh).await.status, 200);
    }
}
