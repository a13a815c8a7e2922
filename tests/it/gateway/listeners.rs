//! Listeners with settings of their own: PROXY headers, unix sockets, h2c, systemd's.

use std::os::fd::AsRawFd;
use std::time::Duration;

use http::{Request, StatusCode};
use portcullis::config::{Listener, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::tls::certificate;
use crate::secure::{H2, exchange};
use crate::subject::Subject;

const GET: &str = "GET /public/a HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn only(settings: &mut Settings, listener: Listener) {
    settings.server.listen = Vec::new();
    settings.server.listeners = vec![listener];
}

fn local() -> Listener {
    Listener { address: "127.0.0.1:0".parse().unwrap(), ..Listener::default() }
}

#[tokio::test]
async fn the_proxy_header_says_who_the_client_is() {
    let subject = Subject::with(|settings| {
        let proxy_protocol_from = vec!["127.0.0.0/8".parse().unwrap()];
        only(settings, Listener { proxy_protocol: true, proxy_protocol_from, ..local() });
        settings.limits.connections_per_address = 1;
    })
    .await;
    let ask = |header: &'static str| async move {
        let mut client = TcpStream::connect(subject.address).await.unwrap();
        exchange(&mut client, &format!("{header}{GET}")).await
    };
    let answer = ask("PROXY TCP4 192.0.2.7 127.0.0.1 4444 80\r\n").await;
    assert!(answer.contains("\"x-forwarded-for\":\"192.0.2.7\""), "{answer}");
    // Nothing that looks like one is believed a second time.
    for header in ["", "PROXY NOTHING\r\n", "GET"] {
        assert_eq!(ask(header).await, "", "{header:?}");
    }
}

#[tokio::test]
async fn a_proxy_header_of_a_stranger_is_not_believed() {
    let subject = Subject::with(|settings| {
        let proxy_protocol_from = vec!["192.0.2.0/24".parse().unwrap()];
        only(settings, Listener { proxy_protocol: true, proxy_protocol_from, ..local() });
    })
    .await;
    let mut client = TcpStream::connect(subject.address).await.unwrap();
    let header = "PROXY TCP4 192.0.2.7 127.0.0.1 4444 80\r\n";
    let _ = client.write_all(format!("{header}{GET}").as_bytes()).await;
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    let metrics = subject.metrics().await;
    assert!(metrics.contains("refused_total{reason=\"not_a_proxy\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_unix_socket_is_served_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.sock");
    let address = format!("unix:{}", path.display());
    let subject = Subject::with(|settings| {
        // With certificates a unix socket still speaks plainly, the address does not.
        settings.server.tls = Some(certificate("localhost"));
        settings.server.listeners = vec![Listener {
            address: address.parse().unwrap(),
            mode: 0o600,
            ..Listener::default()
        }];
    })
    .await;
    let mut client = UnixStream::connect(&path).await.unwrap();
    for _ in 0..2 {
        let answer = exchange(&mut client, GET).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\"x-forwarded-proto\":\"http\""), "{answer}");
        assert!(!answer.contains("x-forwarded-for"), "{answer}");
    }
    drop(client);
    subject.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn http2_without_tls_is_spoken_only_where_it_is_allowed() {
    let subject = Subject::with(|settings| only(settings, Listener { h2c: true, ..local() })).await;
    let client = H2::plain(subject.address).await;
    let request = Request::get("http://localhost/public/a").body(()).unwrap();
    let answer = client.ask(request, b"").await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["headers"]["x-forwarded-proto"], "http");
    let mut plain = TcpStream::connect(subject.address).await.unwrap();
    assert!(exchange(&mut plain, GET).await.starts_with("HTTP/1.1 200"));
    let mut short = TcpStream::connect(subject.address).await.unwrap();
    assert!(exchange(&mut short, "GET / HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.1 401"));

    let without = Subject::start().await;
    let mut client = TcpStream::connect(without.address).await.unwrap();
    let answer = exchange(&mut client, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 505"), "{answer}");
}

#[tokio::test]
async fn a_client_that_has_ended_its_half_still_gets_its_answer() {
    let subject = Subject::start().await;
    let mut client = TcpStream::connect(subject.address).await.unwrap();
    client.write_all(GET.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    let read = client.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// systemd's part is played by a shell: it binds nothing itself, so a listening socket is made
/// here and handed down as the third descriptor.
#[tokio::test]
async fn a_socket_of_systemds_is_served_with_what_was_waiting_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = folder.path().join("p.toml");
    let text = format!(
        "[server]\nlisten = []\ntelemetry_listen = \"\"\n[[server.listeners]]\naddress = \"systemd\"\n\
         [database]\nurl = \"sqlite://{}/p.db\"\n",
        folder.path().display()
    );
    std::fs::write(&config, text).unwrap();
    // The descriptor is duplicated to 3 by the shell; the process id is that of what it becomes.
    let own = format!("/proc/{}/fd/{}", std::process::id(), listener.as_raw_fd());
    assert!(std::path::Path::new(&own).exists());
    let mut waiting = TcpStream::connect(address).await.unwrap();
    waiting.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve --config \"$1\" 3<&0 0</dev/null";
    let mut gateway = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_portcullis"), config.to_str().unwrap()])
        .stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let answer = exchange(&mut waiting, "").await;
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}
