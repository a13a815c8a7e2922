//! What `jwt/refresh/` and `jwt/verify/` ask.

use portcullis::config::Settings;
use portcullis::identity::{JwtFault, Rejection};

use super::replica::{Replica, blacklisted, django, rejection};

#[tokio::test]
async fn a_refresh_token_gives_access_until_it_or_its_login_ends() {
    let replica = Replica::alone(&Settings::default()).await;
    let user = replica.user("ada").await;
    let (pair, login) = replica.log_in_jwt(&user).await;
    let refresh = replica.authenticator.refresh_token(&pair.refresh).await.unwrap();
    assert_eq!((refresh.user, refresh.login), (user.id, Some(login)));
    let access = replica.issuer.access(&refresh, replica.clock.now());
    assert_eq!(replica.jwt(&access).await.unwrap().login, Some(login));
    let refused = replica.authenticator.refresh_token(&access).await;
    assert_eq!(rejection(refused), Rejection::Jwt(JwtFault::WrongType));
    let refused = replica.authenticator.refresh_token("garbage").await;
    assert_eq!(rejection(refused), Rejection::Jwt(JwtFault::Invalid));

    let (rotated, next) = replica.issuer.rotated(&refresh, replica.clock.now());
    let now = replica.clock.now();
    let ended =
        replica.store.end_token(&refresh.jti, Some(user.id), refresh.expires, now).await.unwrap();
    replica.announcer.announce(&ended);
    let refused = replica.authenticator.refresh_token(&pair.refresh).await;
    assert_eq!(rejection(refused), blacklisted());
    let taken = replica.authenticator.refresh_token(&rotated).await.unwrap();
    assert_eq!((taken.jti, taken.expires), (next.jti, next.expires));

    replica.end_login(login).await;
    let refused = replica.authenticator.refresh_token(&rotated).await;
    assert_eq!(rejection(refused), blacklisted());
    assert_eq!(rejection(replica.jwt(&access).await), blacklisted());
}

#[tokio::test]
async fn verification_knows_what_ended_only_where_it_is_strict() {
    for (settings, strict) in [(Settings::default(), true), (django(), false)] {
        let replica = Replica::alone(&settings).await;
        let user = replica.user("ada").await;
        let (pair, login) = replica.log_in_jwt(&user).await;
        for token in [&pair.access, &pair.refresh] {
            replica.authenticator.verify_token(token).await.unwrap();
        }
        replica.end_login(login).await;
        let verified = replica.authenticator.verify_token(&pair.access).await;
        if strict {
            assert_eq!(rejection(verified), blacklisted());
        } else {
            verified.unwrap();
        }
        replica.delete(&user).await;
        let verified = replica.authenticator.verify_token(&pair.refresh).await;
        if strict {
            assert_eq!(rejection(verified), Rejection::UserNotFound);
        } else {
            verified.unwrap();
        }
    }
}
