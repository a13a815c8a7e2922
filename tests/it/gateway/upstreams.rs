//! Several servers behind one name: whose turn it is, and what happens when one is in trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{Gateway, get, post};
use crate::raw::{Act, App, Client};
use crate::subject::{Ask, exchange};

/// A file that says more about the one upstream.
fn upstream(servers: &[&App], more: &str) -> String {
    let servers: Vec<_> = servers.iter().map(|app| app.address.to_string()).collect();
    format!("[[upstreams]]\nname = \"app\"\nservers = {servers:?}\n{more}")
}

async fn metric(gateway: &Gateway, line: &str) -> bool {
    let ask = Ask::new(http::Method::GET, "/metrics");
    let answer = exchange(gateway.running.telemetry.unwrap(), ask).await;
    String::from_utf8_lossy(&answer.body).lines().any(|found| found == line)
}

async fn until(happened: impl AsyncFn() -> bool) {
    timeout(Duration::from_secs(20), async {
        while !happened().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it happens");
}

/// A server that loses the connection under every request, or answers its name.
async fn moody(name: &'static str) -> (App, Arc<AtomicBool>) {
    let is_bad = Arc::new(AtomicBool::new(true));
    let mood = Arc::clone(&is_bad);
    let app =
        App::start(
            move |_| {
                if mood.load(Ordering::SeqCst) { Act::Last(Vec::new()) } else { Act::ok(name) }
            },
        )
        .await;
    (app, is_bad)
}

#[tokio::test]
async fn a_larger_weight_gets_more_requests() {
    let (one, two) = (App::plain().await, App::plain().await);
    let servers = [format!("{} weight=3", one.address), two.address.to_string()];
    let gateway = Gateway::with(&servers, "").await;
    let mut client = gateway.client().await;
    for _ in 0..8 {
        assert_eq!(client.ask(get("/public/a", "")).await.status, 200);
    }
    assert_eq!((one.received().len(), two.received().len()), (6, 2));
}

#[tokio::test]
async fn a_user_stays_with_one_server_whatever_connection_she_comes_by() {
    let (one, two) = (App::plain().await, App::plain().await);
    let more = upstream(&[&one, &two], "balance = \"hash-user\"");
    let gateway = Gateway::with(&[], &more).await;
    let bearer = format!("Authorization: Bearer {}\r\n", gateway.token().await);
    for _ in 0..6 {
        let answer = gateway.client().await.ask(get("/api/a", &bearer)).await;
        assert_eq!(answer.status, 200);
    }
    let mut counts = [one.received().len(), two.received().len()];
    counts.sort_unstable();
    assert_eq!(counts, [0, 6]);
}

#[tokio::test]
async fn the_server_with_fewer_requests_under_way_is_next() {
    let slow =
        App::start(
            |received| {
                if received.line.contains("/slow") { Act::Hang } else { Act::ok("slow") }
            },
        )
        .await;
    let other = App::plain().await;
    let more = upstream(&[&slow, &other], "balance = \"least-connections\"");
    let gateway = Gateway::with(&[], &more).await;
    let mut waiting = Vec::new();
    while slow.received().is_empty() {
        let mut client = gateway.client().await;
        client.send(get("/public/slow", "")).await;
        waiting.push(client);
        until(async || slow.received().len() + other.received().len() == waiting.len()).await;
    }
    let before = other.received().len();
    let mut client = gateway.client().await;
    for _ in 0..4 {
        assert_eq!(client.ask(get("/public/a", "")).await.text(), "ok");
    }
    assert_eq!(other.received().len(), before + 4);
}

#[tokio::test]
async fn what_was_lost_under_way_is_sent_to_another_server_if_it_may_be_repeated() {
    let (bad, _) = moody("bad").await;
    let good = App::plain().await;
    let gateway = Gateway::with(&[], &upstream(&[&bad, &good], "ejection.failures = 0")).await;
    let mut client = gateway.client().await;
    for _ in 0..4 {
        assert_eq!(client.ask(get("/public/a", "")).await.text(), "ok");
    }
    assert!(!bad.received().is_empty());
    // What may have been acted upon is not.
    let mut answers: Vec<u16> = Vec::new();
    for _ in 0..4 {
        answers.push(gateway.client().await.ask(post("/public/a", "{}")).await.status);
    }
    answers.sort_unstable();
    assert_eq!(answers, [200, 200, 502, 502]);
}

#[tokio::test]
async fn a_server_that_fails_is_left_out_and_comes_back() {
    let (bad, is_bad) = moody("back").await;
    let good = App::plain().await;
    let more = upstream(&[&bad, &good], "ejection = { failures = 2, time = \"300ms\" }");
    let gateway = Gateway::with(&[], &more).await;
    let mut client = gateway.client().await;
    for _ in 0..20 {
        assert_eq!(client.ask(get("/public/a", "")).await.status, 200);
    }
    assert!(bad.received().len() < 10, "{}", bad.received().len());
    assert!(
        metric(&gateway, "portcullis_upstream_servers{state=\"out\",upstream=\"app\"} 1").await
    );
    is_bad.store(false, Ordering::SeqCst);
    until(async || gateway.client().await.ask(get("/public/a", "")).await.text() == "back").await;
    assert!(
        metric(&gateway, "portcullis_upstream_servers{state=\"out\",upstream=\"app\"} 0").await
    );
}

#[tokio::test]
async fn a_server_that_says_it_is_not_well_gets_no_requests_until_it_is() {
    let is_well = Arc::new(AtomicBool::new(false));
    let says = Arc::clone(&is_well);
    let one = App::start(move |received| match received.line.as_str() {
        "GET /healthz?deep HTTP/1.1" if says.load(Ordering::SeqCst) => Act::ok("well"),
        "GET /healthz?deep HTTP/1.1" => {
            Act::Say(b"HTTP/1.1 503 Not Now\r\nContent-Length: 0\r\n\r\n".to_vec())
        }
        _ => Act::ok("one"),
    })
    .await;
    let two = App::start(|_| Act::ok("two")).await;
    let more = upstream(
        &[&one, &two],
        "[upstreams.health_check]\npath = \"/healthz?deep\"\nhost = \"app.internal\"\n\
         interval = \"100ms\"\n",
    );
    let gateway = Gateway::with(&[], &more).await;
    let out =
        |count| format!("portcullis_upstream_servers{{state=\"out\",upstream=\"app\"}} {count}");
    until(async || metric(&gateway, &out(1)).await).await;
    let mut client = gateway.client().await;
    for _ in 0..6 {
        assert_eq!(client.ask(get("/public/a", "")).await.text(), "two");
    }
    assert_eq!(one.received()[0].header("host"), Some("app.internal"));
    assert_eq!(one.received()[0].header("user-agent"), Some("portcullis-health-check"));
    is_well.store(true, Ordering::SeqCst);
    until(async || metric(&gateway, &out(0)).await).await;
    let mut texts = Vec::new();
    for _ in 0..2 {
        texts.push(client.ask(get("/public/a", "")).await.text());
    }
    texts.sort();
    assert_eq!(texts, ["one", "two"]);
}

#[tokio::test]
async fn one_request_more_than_the_upstream_may_have_is_503() {
    let app = App::start(
        |received| {
            if received.line.contains("/slow") { Act::Hang } else { Act::ok("ok") }
        },
    )
    .await;
    let gateway = Gateway::with(&[], &upstream(&[&app], "max_requests = 2")).await;
    let mut waiting: Vec<Client> = Vec::new();
    for count in 1..=2 {
        let mut client = gateway.client().await;
        client.send(get("/public/slow", "")).await;
        app.until_received(count).await;
        waiting.push(client);
    }
    let answer = gateway.client().await.ask(get("/public/a", "")).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str(), answer.header("retry-after")),
        (503, Some("upstream_overloaded"), Some("1"))
    );
    waiting.pop();
    until(async || gateway.client().await.ask(get("/public/a", "")).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_pause_lose_none_while_servers_are_killed_in_turn() {
    let mut apps = [App::plain().await, App::plain().await];
    let gateway = Gateway::with(&[], &upstream(&[&apps[0], &apps[1]], "")).await;
    let (address, over) = (gateway.address(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                while !over.load(Ordering::SeqCst) {
                    let answer = client.ask(get("/public/a", "")).await;
                    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
                }
            })
        })
        .collect();
    for turn in 0..6 {
        let place = apps[turn % 2].address;
        apps[turn % 2].kill().await;
        // The other one has it all for a while.
        apps[(turn + 1) % 2].until_more(50).await;
        apps[turn % 2] = App::at(place, |_| Act::ok("ok")).await;
    }
    over.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_starts_late_is_reached_without_a_reload() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gateway = Gateway::with(&[address.to_string()], "").await;
    assert_eq!(gateway.client().await.ask(get("/public/a", "")).await.status, 502);
    assert!(metric(&gateway, "portcullis_upstream_up{upstream=\"app\"} 0").await);
    let app = App::at(address, |_| Act::ok("ok")).await;
    assert_eq!(gateway.client().await.ask(get("/public/a", "")).await.status, 200);
    assert_eq!(app.received().len(), 1);
    assert!(metric(&gateway, "portcullis_upstream_up{upstream=\"app\"} 1").await);
}
