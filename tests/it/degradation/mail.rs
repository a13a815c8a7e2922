//! The mail server down: mail waits, and nobody waits for it.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use portcullis::config::SecretText;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::replicas::world::wait_for;
use crate::subject::Subject;

/// How long a mail waits that has failed once, and a little more.
const RETRY: Duration = Duration::from_secs(11);

/// Takes mails, as little of a mail server as will do.
async fn serve(stream: TcpStream, received: mpsc::Sender<String>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test\r\n").await?;
    let (mut mail, mut in_mail, mut line) = (String::new(), false, String::new());
    while stream.read_line(&mut line).await? > 0 {
        let answer: &[u8] = match line.trim_end() {
            "." if in_mail => {
                in_mail = false;
                let _ = received.send(std::mem::take(&mut mail)).await;
                b"250 ok\r\n"
            }
            text if in_mail => {
                mail.push_str(text);
                mail.push('\n');
                b""
            }
            "DATA" => {
                in_mail = true;
                b"354 go on\r\n"
            }
            text if text.starts_with("EHLO") => b"250-test\r\n250 AUTH PLAIN\r\n",
            text if text.starts_with("AUTH") => b"235 welcome\r\n",
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).await?;
        line.clear();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_down() {
    // Bound and not listening: the port is ours, and connections are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    let url = SecretText::from(&*format!("smtp://postman:a-password-of-the-post@{address}"));
    let subject = Subject::with_real_mail(|settings| settings.mail.url = url).await;
    subject.register("ada").await;
    let ask = json!({"email": "ada@example.org"});
    let answer = subject.post("/auth/users/reset_password/", ask).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.json());
    wait_for(&subject, "mail", 0).await;
    assert!(subject.metrics().await.contains("portcullis_degraded{dependency=\"mail\"} 1"));
    assert_eq!(subject.probe("/readyz").await.status, StatusCode::OK);
    assert_eq!(subject.opaque("ada").await.len(), 40, "all else works");

    let server = socket.listen(16).unwrap();
    let (received, mut mails) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Ok((stream, _)) = server.accept().await {
            tokio::spawn(serve(stream, received.clone()));
        }
    });
    subject.advance(RETRY).await;
    let mail = tokio::time::timeout(Duration::from_secs(30), mails.recv()).await.unwrap().unwrap();
    assert!(mail.contains("To: ada@example.org"), "{mail}");
    wait_for(&subject, "mail", 1).await;
}
