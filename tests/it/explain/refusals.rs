//! Each reason for which a request is refused, and what was missed.

use serde_json::json;

use super::Desk;

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_is_told_in_its_first_line() {
    let desk = Desk::open().await;
    desk.subject.register("ada").await;
    let token = desk.subject.opaque("ada").await;
    let long = format!("X-Long: {}", "a".repeat(40_000));
    for (arguments, expected) in [
        (vec!["/nowhere"], "Refused with 404 Not Found: no route matches"),
        (vec!["/orders//x"], "Refused with 400 Bad Request: The path contains an empty segment."),
        (vec!["/ORDERS/x"], "Refused with 400 Bad Request: The path can be read as another one."),
        (
            vec!["-X", "TRACE", "/orders/"],
            "Refused with 405 Method Not Allowed: This method is not allowed. (before any rule is asked)",
        ),
        (
            vec!["-H", "Content-Length: x", "/orders/"],
            "Refused with 400 Bad Request: the Content-Length is not a number (before any rule is asked)",
        ),
        (
            vec!["-H", &long, "/orders/"],
            "Refused with 431 Request Header Fields Too Large: The request head is too large. \
             (before any rule is asked)",
        ),
        (
            vec!["-H", "Connection: X-Forwarded-User", "/orders/"],
            "Refused with 400 Bad Request: The Connection header names a reserved header.",
        ),
        (vec!["/orders/"], "Refused with 401 Unauthorized: no credential was sent"),
        (
            vec!["--token-stdin", "/orders/all/"],
            "Refused with 403 Forbidden: ada is neither staff nor a superuser",
        ),
        (
            vec!["--token-stdin", "/managers/"],
            "Refused with 403 Forbidden: ada is in none of the groups managers",
        ),
        (
            vec!["/never/"],
            "Refused with 403 Forbidden: the route lets nobody through (access = \"deny\")",
        ),
    ] {
        let told = desk.explain(&arguments, &token).await;
        assert_eq!((told.code, told.summary()), (1, expected), "{}", told.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_without_a_route_names_those_that_it_missed() {
    let desk = Desk::open().await;
    let missed = async |arguments: &[&str]| {
        let told = desk.explain(arguments, "").await;
        let lines: Vec<String> = told.line("missed").into_iter().map(str::to_owned).collect();
        lines
    };
    assert_eq!(
        missed(&["/shop/x"]).await,
        [format!("shop.example/shop/ ({}) by the host: it is for shop.example", desk.at("/shop/"))]
    );
    // A longer one, though another matched.
    assert_eq!(
        missed(&["-X", "POST", "/orders/all/"]).await,
        [format!("GET /orders/all/ ({}) by the method: it takes GET", desk.at("/orders/all/"))]
    );
    assert_eq!(missed(&["/elsewhere/"]).await, Vec::<String>::new());
    assert_eq!(missed(&["/orders/"]).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_only_observes_passes_and_says_what_it_would_do() {
    let desk = Desk::open().await;
    desk.subject.register("ada").await;
    let token = desk.subject.opaque("ada").await;
    let told = desk.with_token("/new/", &token).await;
    assert_eq!(
        (told.code, told.summary()),
        (
            0,
            "Passes, because its route only observes; enforced, it would be refused: ada is no superuser"
        )
    );
    assert_eq!(told.line("rule"), ["lets through: superusers; it only observes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_answers_itself_is_no_route_s() {
    let desk = Desk::open().await;
    for (url, expected) in [
        (
            "/auth/users/",
            "Answered by the gateway: the API below server.auth_prefix; it checks credentials by itself",
        ),
        ("/.well-known/jwks.json", "Answered by the gateway: the public key set"),
    ] {
        let told = desk.explain(&[url], "").await;
        assert_eq!((told.code, told.summary()), (0, expected));
        assert_eq!(told.line("route"), Vec::<&str>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_that_is_refused_is_hinted_at() {
    let told = Desk::open().await.explain(&["-X", "OPTIONS", "/orders/"], "").await;
    assert!(told.line("hint")[0].starts_with("browsers send no credential with a preflight"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_proxy_that_asks_is_told_who_it_is() {
    let desk = Desk::open().await;
    desk.subject.register("ada").await;
    let token = desk.subject.opaque("ada").await;
    let told =
        desk.explain(&["--json", "--forward-auth", "--token-stdin", "/orders/"], &token).await;
    let sent = told.json()["sent"]["headers"].clone();
    let user = json!({"name": "x-forwarded-user", "value": "ada", "by": "identity"});
    assert!(told.code == 0 && sent.as_array().unwrap().contains(&user), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_among_the_arguments_is_refused() {
    let desk = Desk::open().await;
    for arguments in [
        vec!["-H", "Authorization: Bearer abc", "/orders/"],
        vec!["https://ada:secret@shop.example/orders/"],
        vec!["orders"],
        vec!["--request", "00ff"],
        vec![],
    ] {
        let told = desk.explain(&arguments, "").await;
        assert_eq!((told.code, &*told.out), (2, ""), "{arguments:?}");
        assert!(!told.errors.is_empty() && !told.errors.contains("abc"), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_header_that_is_taken_off_says_why() {
    let desk = Desk::with("[server]\ntrusted_proxies = [\"192.0.2.0/24\"]", |_| {}).await;
    let told = async |peer: &str| {
        let arguments = [
            "--json",
            "--peer",
            peer,
            "-H",
            "X-Forwarded-For: 203.0.113.9",
            "-H",
            "X_Custom: 1",
            "-H",
            "Transfer.Encoding: x",
            "-H",
            "X-Forwarded-Proto: https",
            "http://shop.example/shop/",
        ];
        let told = desk.explain(&arguments, "").await.json();
        let mut removed = told["sent"]["removed"].as_array().unwrap().clone();
        removed.sort_by_key(|one| one["name"].to_string());
        let removed = removed.iter().map(|one| format!("{} {}", one["name"], one["why"]));
        (removed.collect::<Vec<_>>(), told["request"]["client"].clone())
    };
    assert_eq!(
        told("198.51.100.7").await,
        (
            vec![
                "\"transfer.encoding\" \"look_alike\"".to_owned(),
                "\"x-forwarded-for\" \"forwarding\"".to_owned(),
                "\"x-forwarded-proto\" \"forwarding\"".to_owned(),
                "\"x_custom\" \"underscore\"".to_owned(),
            ],
            json!("198.51.100.7")
        )
    );
    assert_eq!(
        told("192.0.2.7").await,
        (
            vec![
                "\"transfer.encoding\" \"look_alike\"".to_owned(),
                "\"x_custom\" \"underscore\"".to_owned(),
            ],
            json!("203.0.113.9")
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_cannot_be_asked_is_named() {
    let issuer = "[[tokens.jwt.trusted]]\nname = \"other\"\nissuer = \"https://other.example\"\n\
                  algorithm = \"RS256\"\njwks_url = \"http://127.0.0.1:1/keys\"\naudience = [\"gate\"]\nusers = \"claims\"";
    let desk = Desk::with(issuer, |_| {}).await;
    // Nothing of it is read before there is a key: {"alg":"RS256","kid":"k"}, {"iss":"https://other.example"}.
    let token =
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovL290aGVyLmV4YW1wbGUifQ.c2ln";
    let told = desk.with_token("/tokens/", token).await;
    assert_eq!(
        (told.code, told.summary()),
        (
            1,
            "Refused with 503 Service Unavailable: the credential cannot be checked at present, \
             which is never a way in"
        )
    );
    assert!(told.line("hint")[0].starts_with("the key set of the trusted issuer \"other\" could"));
}
