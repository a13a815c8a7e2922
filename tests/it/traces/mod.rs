//! What a collector learns of a request, and what the upstream is told of its trace.

mod delivery;
mod receiver;

use http::{Method, StatusCode};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use portcullis::config::{LogFormat, Settings, UntrustedParent};
use serde_json::{Value, json};

use self::receiver::{Receiver, told};
use crate::raw::Client;
use crate::subject::{Answer, Ask, PASSWORD, Subject};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

async fn traced(receiver: &Receiver, change: impl FnOnce(&mut Settings)) -> Subject {
    Subject::with(|settings| {
        settings.traces.endpoint = receiver.endpoint();
        change(settings);
    })
    .await
}

fn trusting(settings: &mut Settings) {
    settings.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
}

/// A request that names its span, recorded if `flags` is `01`.
fn continuing(path: &str, flags: &str) -> Ask {
    Ask::new(Method::GET, path).header("traceparent", &format!("00-{TRACE}-{PARENT}-{flags}"))
}

/// A header as it reached the upstream.
fn reached(answer: &Answer, name: &str) -> Option<String> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json());
    answer.json()["headers"].get(name).map(|value| value.as_str().unwrap().to_owned())
}

fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == kind).collect()
}

fn only(spans: &[Span], kind: SpanKind) -> &Span {
    let [span] = of_kind(spans, kind)[..] else { panic!("not one {kind:?} in {spans:#?}") };
    span
}

/// Without what differs from run to run.
fn steady(span: &Span) -> Value {
    let mut told = told(&span.attributes);
    let object = told.as_object_mut().unwrap();
    for key in ["server.port", "http.request.id"] {
        object.remove(key);
    }
    told
}

#[tokio::test]
async fn a_request_is_a_trace_of_its_own_span_the_check_and_the_upstreams() {
    let receiver = Receiver::start().await;
    let subject = traced(&receiver, |settings| {
        settings.traces.service_name = "edge".to_owned();
        settings.traces.resource_attributes = "deployment.environment.name=a%20test".to_owned();
    })
    .await;
    subject.register("ada").await;
    let token = subject.opaque("ada").await;
    let ask =
        Ask::new(Method::GET, "/app/x?secret=1").bearer(&token).header("User-Agent", "curl/8");
    let answer = subject.ask(ask).await;
    let spans = receiver.trace("GET /", 3).await;
    let (server, client) = (only(&spans, SpanKind::Server), only(&spans, SpanKind::Client));
    let check = only(&spans, SpanKind::Internal);

    assert_eq!(spans.len(), 3);
    assert_eq!((server.name.as_str(), server.parent_span_id.len()), ("GET /", 0));
    assert_eq!((check.name.as_str(), &check.parent_span_id), ("portcullis.auth", &server.span_id));
    assert_eq!((client.name.as_str(), &client.parent_span_id), ("GET", &server.span_id));
    let carried = reached(&answer, "traceparent").unwrap();
    let (trace, span) = (hex::encode(&client.trace_id), hex::encode(&client.span_id));
    assert_eq!(carried, format!("00-{trace}-{span}-01"));

    let expected = json!({
        "http.request.method": "GET", "url.scheme": "http", "url.path": "/app/x",
        "http.route": "/", "server.address": "127.0.0.1", "http.response.status_code": 200,
        "network.protocol.version": "1.1", "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1", "user_agent.original": "curl/8",
        "portcullis.route": "/", "portcullis.decision": "allow",
        "portcullis.reason": "authenticated", "portcullis.upstream": "app",
    });
    assert_eq!(steady(server), expected);
    let expected = json!({
        "portcullis.credential": "opaque", "portcullis.tier": "db",
        "portcullis.decision": "allow", "portcullis.reason": "authenticated",
    });
    assert_eq!(told(&check.attributes), expected);
    let expected = json!({
        "http.request.method": "GET", "server.address": "127.0.0.1",
        "http.response.status_code": 200, "portcullis.upstream": "app",
    });
    assert_eq!(steady(client), expected);
    assert!(told(&client.attributes)["server.port"].as_i64().unwrap() > 0);
    for inner in [check, client] {
        assert!(inner.start_time_unix_nano >= server.start_time_unix_nano);
        assert!(inner.end_time_unix_nano >= inner.start_time_unix_nano);
        assert!(inner.end_time_unix_nano <= server.end_time_unix_nano);
    }
    let expected = json!({
        "service.name": "edge", "service.version": env!("CARGO_PKG_VERSION"),
        "telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "rust",
        "deployment.environment.name": "a test",
    });
    assert_eq!(receiver.resource(), expected);
}

#[tokio::test]
async fn refusals_have_spans_too_and_go_to_nobody() {
    let receiver = Receiver::start().await;
    let subject = traced(&receiver, |_| {}).await;
    assert_eq!(subject.get("/app/x").await.status, StatusCode::UNAUTHORIZED);
    let spans = receiver.trace("GET /", 2).await;
    assert_eq!(of_kind(&spans, SpanKind::Client).len(), 0);
    let server = told(&only(&spans, SpanKind::Server).attributes);
    assert_eq!(server["http.response.status_code"], 401);
    assert_eq!(server["portcullis.reason"], "no_credential");
    let check = told(&only(&spans, SpanKind::Internal).attributes);
    let expected = json!({
        "portcullis.credential": "none", "portcullis.decision": "deny",
        "portcullis.reason": "no_credential",
    });
    assert_eq!(check, expected);

    // Refused before a route was looked for, and before anything was asked at all.
    for target in ["/pot\\tea", "/\u{1b}[31m"] {
        let receiver = Receiver::start().await;
        let subject = traced(&receiver, |_| {}).await;
        let mut client = Client::connect(subject.address).await;
        client.send(&format!("BREW {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 400);
        subject.stop().await;
        let [span] = &receiver.spans()[..] else { panic!("{:#?}", receiver.spans()) };
        // A method that nobody knows names no span.
        assert_eq!((span.name.as_str(), span.parent_span_id.len()), ("HTTP", 0));
        let server = told(&span.attributes);
        assert_eq!(server["http.request.method"], "_OTHER");
        assert_eq!(server["http.request.method_original"], "BREW");
        assert_eq!(server["http.response.status_code"], 400);
        assert_eq!(server["portcullis.reason"], "bad_request");
    }
}

#[tokio::test]
async fn the_api_has_spans_by_end_point_and_nothing_secret_is_in_any() {
    let receiver = Receiver::start().await;
    let subject = traced(&receiver, |settings| settings.traces.user_id = true).await;
    let id = subject.register("ada").await;
    let token = subject.opaque("ada").await;
    let path = format!("/app/z?token={token}");
    assert_eq!(subject.get_as(&path, &token).await.status, StatusCode::OK);
    let login = receiver.trace("POST /auth/token/login/", 1).await;
    let login = told(&only(&login, SpanKind::Server).attributes);
    assert_eq!(login["http.route"], "/auth/token/login/");
    assert_eq!(login["portcullis.decision"], "local");
    let asked = receiver.trace("GET /", 3).await;
    let asked = told(&only(&asked, SpanKind::Server).attributes);
    assert_eq!(asked["user.id"], id.to_string());

    let all = format!("{:?}", receiver.spans());
    for secret in [token.as_str(), PASSWORD, "ada@example.org", "token="] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test]
async fn a_trusted_proxys_trace_goes_on_with_its_flag_and_state() {
    let receiver = Receiver::start().await;
    let subject = traced(&receiver, trusting).await;
    let ask = continuing("/public/recorded", "01").header("tracestate", "vendor=1,other=2");
    let answer = subject.ask(ask).await;
    let spans = receiver.trace("GET /public/", 3).await;
    let server = only(&spans, SpanKind::Server);
    assert_eq!(hex::encode(&server.trace_id), TRACE);
    assert_eq!(hex::encode(&server.parent_span_id), PARENT);
    assert_eq!((server.trace_state.as_str(), server.links.len()), ("vendor=1,other=2", 0));
    let span = hex::encode(&only(&spans, SpanKind::Client).span_id);
    assert_eq!(reached(&answer, "traceparent").unwrap(), format!("00-{TRACE}-{span}-01"));
    assert_eq!(reached(&answer, "tracestate").unwrap(), "vendor=1,other=2");

    // One that is not recorded goes on without being recorded here.
    let answer = subject.ask(continuing("/public/unrecorded", "00")).await;
    let carried = reached(&answer, "traceparent").unwrap();
    assert!(carried.starts_with(&format!("00-{TRACE}-")) && carried.ends_with("-00"), "{carried}");
    subject.stop().await;
    assert!(!format!("{:?}", receiver.spans()).contains("/public/unrecorded"));
}

#[tokio::test]
async fn a_strangers_trace_is_a_link_or_nothing_and_never_goes_on() {
    for (what, links) in [(UntrustedParent::Link, 1), (UntrustedParent::Drop, 0)] {
        let receiver = Receiver::start().await;
        let subject = traced(&receiver, |settings| settings.traces.untrusted_parent = what).await;
        let ask = continuing("/public/", "00").header("tracestate", "vendor=1");
        let answer = subject.ask(ask).await;
        let spans = receiver.trace("GET /public/", 3).await;
        let server = only(&spans, SpanKind::Server);
        assert_ne!(hex::encode(&server.trace_id), TRACE);
        assert_eq!((server.parent_span_id.len(), server.links.len()), (0, links), "{what:?}");
        for link in &server.links {
            assert_eq!(
                (hex::encode(&link.trace_id), hex::encode(&link.span_id)),
                (TRACE.into(), PARENT.into())
            );
        }
        assert!(!reached(&answer, "traceparent").unwrap().contains(TRACE));
        assert_eq!(reached(&answer, "tracestate"), None);
    }
}

#[tokio::test]
async fn a_malformed_traceparent_is_as_good_as_none() {
    let receiver = Receiver::start().await;
    let subject = traced(&receiver, trusting).await;
    let ask = Ask::new(Method::GET, "/public/").header("traceparent", &format!("00-{TRACE}-0-01"));
    assert_eq!(subject.ask(ask).await.status, StatusCode::OK);
    let spans = receiver.trace("GET /public/", 3).await;
    let server = only(&spans, SpanKind::Server);
    assert_ne!(hex::encode(&server.trace_id), TRACE);
    assert_eq!((server.parent_span_id.len(), server.links.len()), (0, 0));
}

#[tokio::test]
async fn what_is_not_sampled_is_not_sent_but_has_its_names() {
    let receiver = Receiver::start().await;
    let subject = traced(&receiver, |settings| {
        trusting(settings);
        settings.traces.sample_ratio = 0.0;
    })
    .await;
    let answer = subject.get("/public/new").await;
    let carried = reached(&answer, "traceparent").unwrap();
    assert!(carried.ends_with("-00"), "{carried}");
    let line: Value = serde_json::from_str(&subject.logged(&["/public/new"]).await).unwrap();
    assert_eq!(line["trace.id"], carried[3..35]);

    // Unless whoever began it wants it.
    assert_eq!(subject.ask(continuing("/public/wanted", "01")).await.status, StatusCode::OK);
    receiver.trace("GET /public/", 3).await;
    subject.stop().await;
    assert_eq!(receiver.spans().len(), 3);
}

#[tokio::test]
async fn a_proxys_wish_counts_for_nothing_where_that_is_said() {
    let receiver = Receiver::start().await;
    let subject = traced(&receiver, |settings| {
        trusting(settings);
        settings.traces.parent_based = false;
    })
    .await;
    assert_eq!(subject.ask(continuing("/public/", "00")).await.status, StatusCode::OK);
    let spans = receiver.trace("GET /public/", 3).await;
    assert_eq!(hex::encode(&spans[0].trace_id), TRACE);
}

#[tokio::test]
async fn the_line_of_a_request_names_its_span() {
    for format in [LogFormat::Json, LogFormat::Ecs] {
        let receiver = Receiver::start().await;
        let subject = traced(&receiver, |settings| settings.server.log_format = format).await;
        assert_eq!(subject.get("/public/").await.status, StatusCode::OK);
        let spans = receiver.trace("GET /public/", 3).await;
        let server = only(&spans, SpanKind::Server);
        let line: Value = serde_json::from_str(&subject.logged(&["/public/"]).await).unwrap();
        let (trace, span) = match format {
            LogFormat::Ecs => (&line["trace"]["id"], &line["span"]["id"]),
            _ => (&line["trace.id"], &line["span.id"]),
        };
        assert_eq!(
            (trace, span),
            (&json!(hex::encode(&server.trace_id)), &json!(hex::encode(&server.span_id)))
        );
    }
}

#[tokio::test]
async fn without_traces_those_of_others_pass_untouched() {
    let subject = Subject::start().await;
    let answer = subject.ask(continuing("/public/", "01").header("tracestate", "vendor=1")).await;
    assert_eq!(reached(&answer, "traceparent").unwrap(), format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(reached(&answer, "tracestate").unwrap(), "vendor=1");
    assert!(!subject.logged(&["/public/"]).await.contains("trace.id"));
}

#[tokio::test]
async fn a_route_may_keep_its_upstream_out_of_the_trace() {
    let receiver = Receiver::start().await;
    let subject = traced(&receiver, |settings| {
        settings.routes[0].remove_request_headers = vec!["traceparent".to_owned()];
    })
    .await;
    assert_eq!(reached(&subject.get("/public/").await, "traceparent"), None);
    receiver.trace("GET /public/", 3).await;
}

#[tokio::test]
async fn each_attempt_at_the_upstream_is_a_span() {
    let receiver = Receiver::start().await;
    // Nobody listens at the first: it was somebody's, and is free again.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = gone.local_addr().unwrap();
    drop(gone);
    let subject = traced(&receiver, |settings| {
        settings.upstreams[0].servers.insert(0, dead.to_string());
    })
    .await;
    let answer = subject.get("/public/").await;
    let spans = receiver.trace("GET /public/", 3).await;
    let attempts = of_kind(&spans, SpanKind::Client);
    let last = attempts.last().unwrap();
    assert!(reached(&answer, "traceparent").unwrap().contains(&hex::encode(&last.span_id)));
    if let [failed, last] = attempts[..] {
        let failed = told(&failed.attributes);
        assert_eq!(failed["error.type"], "ConnectRefused");
        assert_eq!(failed["server.port"], dead.port());
        assert_eq!(failed.get("http.response.status_code"), None);
        assert_eq!(told(&last.attributes)["http.request.resend_count"], 1);
    } else {
        panic!("not two attempts: {attempts:#?}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_away_is_an_error_in_both_spans() {
    let receiver = Receiver::start().await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = gone.local_addr().unwrap();
    drop(gone);
    let subject = traced(&receiver, |settings| {
        settings.upstreams[0].servers = vec![dead.to_string()];
    })
    .await;
    assert_eq!(subject.get("/public/").await.status, StatusCode::BAD_GATEWAY);
    let spans = receiver.trace("GET /public/", 3).await;
    let server = only(&spans, SpanKind::Server);
    assert_eq!(told(&server.attributes)["error.type"], "upstream_failed");
    for span in [server, of_kind(&spans, SpanKind::Client)[0]] {
        assert_eq!(span.status.as_ref().unwrap().code, 2);
    }
}

#[tokio::test]
async fn a_question_of_another_proxy_is_told_with_its_dialect() {
    let receiver = Receiver::start().await;
    let subject = traced(&receiver, trusting).await;
    let ask = continuing("/_portcullis/forward-auth", "01")
        .header("X-Forwarded-Method", "GET")
        .header("X-Forwarded-Host", "app.example")
        .header("X-Forwarded-Uri", "/public/held?a=b");
    assert_eq!(subject.ask(ask).await.status, StatusCode::OK);
    let spans = receiver.trace("GET /public/", 2).await;
    let server = only(&spans, SpanKind::Server);
    assert_eq!(hex::encode(&server.parent_span_id), PARENT);
    let told = told(&server.attributes);
    assert_eq!(told["portcullis.asked_by"], "forward-auth");
    assert_eq!(told["url.path"], "/public/held");
}
