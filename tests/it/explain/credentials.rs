//! Each kind of credential, good and bad in each way.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

use super::Desk;
use crate::subject::PASSWORD;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const HS256: &str =
    "[tokens.jwt]\nalgorithm = \"HS256\"\nsigning_key = \"0123456789abcdef0123456789abcdef\"";

fn forge(claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// What is said of a credential at `/tokens/`: exit code, result.
async fn result(desk: &Desk, token: &str) -> (i32, String) {
    let told = desk.with_token("/tokens/", token).await;
    assert!(!told.out.contains(token), "the token is not shown");
    let line = told.line("credential");
    let line = line.first().unwrap_or_else(|| panic!("{told:?}"));
    (told.code, line.split_once(": ").unwrap().1.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_told_whole() {
    let desk = Desk::open().await;
    desk.subject.register("ada").await;
    let token = desk.subject.opaque("ada").await;
    let arguments = [
        "--token-stdin",
        "--scheme",
        "Token",
        "-H",
        "X-Forwarded-User: root",
        "-H",
        "X-Debug: 1",
        "-H",
        "Cookie: a=b",
        "--peer",
        "192.0.2.7",
        "https://shop.example:8443/orders/7?x=1",
    ];
    let told = desk.explain(&arguments, &token).await;
    let at = desk.at("/orders/");
    let said = told.line("credential")[1].to_owned();
    let fingerprint = told.line("credential")[0].split(' ').nth(2).unwrap().to_owned();
    assert!(fingerprint.len() == 9 && said.contains("user ada"), "{told:?}");
    let expected = format!(
        "\
Passes, to the upstream \"app\"

request     GET /orders/7?x=1
            host shop.example:8443, from 192.0.2.7
route       /orders/ ({at})
            access = \"authenticated\", credentials = [\"bearer\", \"basic\"]
credential  opaque token {fingerprint} good
            {said}
user        ada (1)
rule        lets through: who has a good credential
upstream    app: 127.0.0.1:3000, 127.0.0.1:3001
removed     x-forwarded-user: who asks is the gateway's to say
            x-debug: the route removes it
            authorization: the credential that was checked stays here (forward_credential)
sent        /orders/7?x=1
            cookie: (the client's, not shown)
            host: shop.example:8443
            x-forwarded-for: 192.0.2.7
            x-forwarded-host: shop.example:8443
            x-forwarded-port: 8443
            x-forwarded-proto: https
            x-real-ip: 192.0.2.7
            x-request-id: (new for each request)
            x-environment: (as the route sets it)
            x-forwarded-user: ada
            x-forwarded-user-id: 1
            x-portcullis-assertion: (signed, not shown)
"
    );
    assert_eq!((told.code, told.out, told.errors), (0, expected, String::new()));
    assert!(!said.contains(&token));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_is_good_until_it_is_logged_out() {
    let desk = Desk::open().await;
    desk.subject.register("ada").await;
    let token = desk.subject.opaque("ada").await;
    assert_eq!(result(&desk, &token).await, (0, "good".to_owned()));
    let logged_out = crate::subject::Ask::new(http::Method::POST, "/auth/token/logout/");
    assert_eq!(desk.subject.ask(logged_out.bearer(&token)).await.status, 204);
    assert_eq!(
        result(&desk, &token).await,
        (
            1,
            "nobody has it; it was logged out, ended by an operator, or never issued here"
                .to_owned()
        )
    );
    let mistyped = format!("{}0", &token[..39]);
    let mistyped = if mistyped == token { format!("{}1", &token[..39]) } else { mistyped };
    assert!(result(&desk, &mistyped).await.1.starts_with("its check sum is not ours"));
    assert!(result(&desk, "nonsense").await.1.starts_with("it has not the form of a token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flaw_of_a_jwt_is_told_apart() {
    let required = format!("{HS256}\nissuer = \"gate\"\naudience = [\"us\"]");
    let desk = Desk::with(&required, |_| {}).await;
    let id = desk.subject.register("ada").await;
    let now = desk.subject.clock.now().seconds();
    let good = json!({"token_type": "access", "exp": now + 300, "iat": now, "jti": "ab",
                      "user_id": id.to_string(), "iss": "gate", "aud": "us"});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        forge(&claims, SECRET)
    };
    assert_eq!(result(&desk, &forge(&good, SECRET)).await, (0, "good".to_owned()));
    for (token, expected) in [
        (with("exp", json!(now - 3600)), "it expired"),
        (with("iat", json!(now + 3600)), "its claim iat is in the future: is a clock wrong?"),
        (with("iss", json!("other")), "no key is known for its algorithm, kid and issuer"),
        (with("aud", json!("them")), "it is for another audience: aud has none that is required"),
        (
            with("token_type", json!("refresh")),
            "it is of the type \"refresh\", and no access token",
        ),
        (with("user_id", json!("4711")), "the user that it names does not exist"),
        (
            forge(&good, "another-secret-of-32-bytes-or-more"),
            "its signature does not fit the key: forged, changed on its way, or another secret",
        ),
        (with("sub", json!(5)), "its claim sub has a value that cannot be"),
    ] {
        assert_eq!(result(&desk, &token).await, (1, expected.to_owned()));
    }
    let told = desk.explain(&["--token-stdin", "--json", "/tokens/"], &with("exp", json!(1))).await;
    let tried = &told.json()["credentials"][0];
    assert_eq!(
        (&tried["kind"], &tried["says"]["alg"], &tried["says"]["exp"], &tried["key"]),
        (&json!("JWT"), &json!("HS256"), &json!(1), &json!("tokens.jwt.signing_key"))
    );
    assert_eq!(told.json()["reason"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_that_ended_before_its_time_says_why() {
    let desk = Desk::open().await;
    desk.subject.register("ada").await;
    let (access, _) = desk.subject.jwt("ada").await;
    let word = ["--token-stdin", "--scheme", "Token", "/tokens/"];
    assert!(
        desk.explain(&word, &access)
            .await
            .summary()
            .ends_with("a JWT counts only after a word of tokens.jwt.auth_header_types")
    );
    let logout = crate::subject::Ask::new(http::Method::POST, "/auth/token/logout/");
    assert_eq!(desk.subject.ask(logout.bearer(&access)).await.status, 204);
    assert_eq!(
        result(&desk, &access).await,
        (1, "it was revoked: the token or its login was ended".to_owned())
    );
    let (access, _) = desk.subject.jwt("ada").await;
    desk.subject.advance(Duration::from_secs(1)).await;
    let change = crate::subject::Ask::new(http::Method::POST, "/auth/users/set_password/")
        .bearer(&access)
        .json(&json!({"current_password": PASSWORD, "new_password": "Lantern-Orbit-7-Quill",
                      "re_new_password": "Lantern-Orbit-7-Quill"}));
    assert_eq!(desk.subject.ask(change).await.status, 204);
    let (code, why) = result(&desk, &access).await;
    assert_eq!(code, 1);
    assert!(why.ends_with("(the password was changed)"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_and_a_password_say_which_of_them_is_wrong() {
    let desk = Desk::open().await;
    desk.subject.register("ada").await;
    let token = desk.subject.opaque("ada").await;
    for (input, code, expected) in [
        (format!("ada:{PASSWORD}"), 0, "Basic credential: good"),
        ("ada:wrong".to_owned(), 1, "Basic credential: the password is wrong"),
        ("bob:wrong".to_owned(), 1, "Basic credential: nobody has this name"),
    ] {
        let arguments = ["--token-stdin", "--scheme", "Basic", "/orders/"];
        let told = desk.explain(&arguments, &input).await;
        assert_eq!((told.code, told.line("credential")), (code, vec![expected]));
        assert!(!told.out.contains("wrong:") && !told.out.contains(PASSWORD));
        assert!(told.line("hint")[0].contains("throttle"));
    }
    let arguments = ["--token-stdin", "--scheme", "Basic", "/orders/"];
    let told = desk.explain(&arguments, &format!("bob:{token}")).await;
    assert_eq!(
        told.summary(),
        "Refused with 401 Unauthorized because of the Basic credential with a token in it: the token is good, \
         but the name beside it is not its user's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_not_looked_at_says_so() {
    let desk = Desk::open().await;
    for (scheme, url, expected) in [
        (
            "Basic",
            "/tokens/",
            "the route does not see what stands after \"Basic\": it takes credentials = bearer",
        ),
        ("Bearer", "http://shop.example/shop/", "not looked at: the route lets everybody through"),
        ("Bearer", "/never/", "not looked at: the route lets nobody through"),
        ("Bearer", "/nowhere/", "not looked at: no rule was asked"),
    ] {
        let told = desk.explain(&["--token-stdin", "--scheme", scheme, url], "a:b").await;
        assert_eq!(told.line("credential")[0], format!("Authorization: {expected}"));
    }
}
