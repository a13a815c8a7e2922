//! The ways a mail can take: to the terminal, into a folder, over SMTP, or to a test.
//!
//! lettre's own time limit covers connecting only, so each sending has a limit here. It
//! must not know what a mail says, nor when it is tried again.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lettre::transport::smtp;
use lettre::transport::smtp::PoolConfig;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::MailError;
use super::letters::Letter;

/// For connecting to a mail server.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// For one mail from beginning to end.
pub(super) const SEND_LIMIT: Duration = Duration::from_secs(30);
/// Mails that a [`Captured`] keeps; older ones give way.
const CAPTURED: usize = 1000;

/// How mails leave.
#[derive(Debug, Clone)]
pub enum Transport {
    /// `log:` prints them on standard error, links included: for development.
    Log,
    /// `file:DIR` writes each into a file of its own, readable by the owner only.
    Folder(PathBuf),
    /// `smtp://` and `smtps://`.
    Smtp(Smtp),
    /// Keeps them in memory.
    Capture(Captured),
}

/// A mail server, and how long one mail to it may take.
#[derive(Debug, Clone)]
pub struct Smtp {
    server: AsyncSmtpTransport<Tokio1Executor>,
    limit: Duration,
}

/// Mails that were "sent" into memory; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Captured(Arc<Mailboxes>);

#[derive(Debug, Default)]
struct Mailboxes {
    letters: Mutex<VecDeque<Letter>>,
    arrived: Notify,
}

/// Why a mail was not sent. Its texts hold no address: server's answers, which quote
/// them, are told by their number only.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The server answered with an error: 5xx for good, 4xx for now.
    #[error("the mail server answered {0}")]
    Answered(u16),
    /// The server could not be talked to.
    #[error("the mail server could not be talked to: {0}")]
    Failed(String),
    /// It took too long.
    #[error("the mail server took too long")]
    TimedOut,
    /// The folder could not be written.
    #[error("the mail could not be written: {0}")]
    Folder(#[source] io::Error),
}

// === impl Transport ===

impl Transport {
    /// From `mail.url`. Must be called within a tokio runtime, for the sake of SMTP's pool.
    pub fn from_url(url: &str) -> Result<Self, MailError> {
        let (scheme, rest) = url.split_once(':').ok_or(MailError::UnknownScheme)?;
        match &*scheme.to_ascii_lowercase() {
            "log" if rest.is_empty() => Ok(Self::Log),
            "file" => match rest.strip_prefix("//").unwrap_or(rest) {
                "" => Err(MailError::NoFolder),
                folder => Ok(Self::Folder(folder.into())),
            },
            "smtp" | "smtps" => {
                let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&with_tls(url))
                    .map_err(MailError::Smtp)?;
                let pool = PoolConfig::new().max_size(2);
                let server = builder.timeout(Some(CONNECT_LIMIT)).pool_config(pool).build();
                Ok(Self::Smtp(Smtp { server, limit: SEND_LIMIT }))
            }
            _ => Err(MailError::UnknownScheme),
        }
    }

    /// One that keeps mails in memory, and what to read them from.
    #[must_use]
    pub fn capture() -> (Self, Captured) {
        let captured = Captured::default();
        (Self::Capture(captured.clone()), captured)
    }

    /// Whether mails could leave now: connects, or makes the folder. For `check --connect`.
    pub async fn test(&self) -> Result<(), SendError> {
        match self {
            Self::Log | Self::Capture(_) => Ok(()),
            Self::Folder(folder) => make_folder(folder).map_err(SendError::Folder),
            Self::Smtp(smtp) => match timeout(smtp.limit, smtp.server.test_connection()).await {
                Ok(Ok(true)) => Ok(()),
                Ok(Ok(false)) => Err(SendError::Failed("it hung up".to_owned())),
                Ok(Err(error)) => Err(told(&error)),
                Err(_) => Err(SendError::TimedOut),
            },
        }
    }

    /// Sends a letter, which `message` is made of.
    pub(super) async fn send(&self, letter: &Letter, message: Message) -> Result<(), SendError> {
        match self {
            Self::Log => print(letter).map_err(SendError::Folder),
            Self::Folder(folder) => {
                let (folder, eml) = (folder.clone(), message.formatted());
                let written = spawn_blocking(move || write_file(&folder, &eml)).await;
                written.map_err(io::Error::other).flatten().map_err(SendError::Folder)
            }
            Self::Smtp(smtp) => match timeout(smtp.limit, smtp.server.send(message)).await {
                Ok(sent) => sent.map(drop).map_err(|error| told(&error)),
                Err(_) => Err(SendError::TimedOut),
            },
            Self::Capture(captured) => {
                captured.keep(letter.clone());
                Ok(())
            }
        }
    }
}

impl SendError {
    /// Whether trying again is of no use. Everything but a plain no of the server may pass:
    /// names that do not resolve, faults of TLS, a full disk.
    pub(super) fn is_permanent(&self) -> bool {
        matches!(self, Self::Answered(500..))
    }
}

fn told(error: &smtp::Error) -> SendError {
    if let Some(code) = error.status() {
        return SendError::Answered(code.into());
    }
    if error.is_response() {
        return SendError::Failed("its answer is not SMTP".to_owned());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            // Writing to a String does not fail.
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    SendError::Failed(text)
}

/// lettre takes `smtp://` for plain text even with a password in it. To a host that is
/// not this one, a password demands TLS unless `?tls=` says otherwise.
fn with_tls(url: &str) -> Cow<'_, str> {
    let url = url.split('#').next().unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or(rest);
    let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let asks = query.split('&').any(|pair| pair.split('=').next() == Some("tls"));
    if !scheme.eq_ignore_ascii_case("smtp") || !login.contains(':') || is_loopback(host) || asks {
        return url.into();
    }
    let separator = if query.is_empty() { "" } else { "&" };
    format!("{scheme}://{rest}?{query}{separator}tls=required").into()
}

fn is_loopback(host_port: &str) -> bool {
    let host = match host_port.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host_port.split(':').next().unwrap_or(host_port),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn print(letter: &Letter) -> io::Result<()> {
    // Names from an import may hold what drives terminals.
    let plain = |text: &str| text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}");
    let Letter { to, subject, text, .. } = letter;
    let page = format!("--- mail ---\nTo: {to}\nSubject: {subject}\n\n{text}--- end of mail ---\n");
    io::stderr().lock().write_all(plain(&page).as_bytes())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Under another name first, so that whoever watches the folder sees whole mails only.
fn write_file(folder: &Path, eml: &[u8]) -> io::Result<()> {
    make_folder(folder)?;
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(io::Error::other)?;
    let name = hex::encode(random);
    let part = folder.join(format!(".{name}.part"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(eml)?;
    fs::rename(part, folder.join(format!("{name}.eml")))
}

// === impl Captured ===

impl Captured {
    /// All mails so far, oldest first; they are gone from here then.
    #[must_use]
    pub fn take(&self) -> Vec<Letter> {
        self.0.letters.lock().drain(..).collect()
    }

    /// The oldest mail, as soon as there is one.
    pub async fn next(&self) -> Letter {
        loop {
            // Asked for before looking, so that no arrival in between is missed.
            let arrived = self.0.arrived.notified();
            if let Some(letter) = self.0.letters.lock().pop_front() {
                return letter;
            }
            arrived.await;
        }
    }

    fn keep(&self, letter: Letter) {
        let mut letters = self.0.letters.lock();
        if letters.len() == CAPTURED {
            letters.pop_front();
        }
        letters.push_back(letter);
        drop(letters);
        self.0.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::super::letters::tests::{NOW, letter};
    use super::super::message::message;
    use super::*;
    use crate::model::MailPurpose;

    fn ours() -> (Letter, Message) {
        let letter = letter(MailPurpose::PasswordReset, "ada", "gate.example");
        let from = "noreply@gate.example".parse().unwrap();
        let message = message(&letter, &from, NOW).unwrap();
        (letter, message)
    }

    #[test]
    fn a_password_demands_tls_to_other_hosts() {
        for (url, read) in [
            ("smtp://u:p@mail.example", "smtp://u:p@mail.example?tls=required"),
            ("smtp://u:p@mail.example:25/ehlo", "smtp://u:p@mail.example:25/ehlo?tls=required"),
            ("SMTP://u:p%40@mail.example?x=y", "SMTP://u:p%40@mail.example?x=y&tls=required"),
            ("smtp://u:a@b@[2001:db8::1]:25", "smtp://u:a@b@[2001:db8::1]:25?tls=required"),
            ("smtp://u:p@localhost.evil", "smtp://u:p@localhost.evil?tls=required"),
            ("smtp://u:p@mail.example?TLS=no", "smtp://u:p@mail.example?TLS=no&tls=required"),
            ("smtp://u:p@mail.example#tls=x", "smtp://u:p@mail.example?tls=required"),
        ] {
            assert_eq!(with_tls(url), read);
        }
        for url in [
            "smtp://mail.example",
            "smtps://u:p@mail.example",
            "smtp://u:p@mail.example?tls=opportunistic",
            "smtp://u:p@localhost:2525",
            "smtp://u:p@127.0.0.1",
            "smtp://u:p@[::1]:25",
        ] {
            assert_eq!(with_tls(url), url);
        }
    }

    #[tokio::test]
    async fn urls_name_transports() {
        assert!(matches!(Transport::from_url("log:"), Ok(Transport::Log)));
        for (url, folder) in [("file:mails", "mails"), ("file:///var/mails", "/var/mails")] {
            let Ok(Transport::Folder(read)) = Transport::from_url(url) else { panic!("{url}") };
            assert_eq!(read, Path::new(folder));
        }
        for url in ["smtp://127.0.0.1:2525", "smtps://u:p@mail.example", "smtp://u:p@mail.example"]
        {
            assert!(matches!(Transport::from_url(url), Ok(Transport::Smtp(_))), "{url}");
        }
        for url in ["", "log", "log:x", "http://x", "mail.example", ":"] {
            assert!(matches!(Transport::from_url(url), Err(MailError::UnknownScheme)), "{url}");
        }
        assert!(matches!(Transport::from_url("file:"), Err(MailError::NoFolder)));
        for url in ["smtp:", "smtp://", "smtp://x:port", "smtp://x?tls=maybe"] {
            assert!(matches!(Transport::from_url(url), Err(MailError::Smtp(_))), "{url}");
        }
    }

    #[tokio::test]
    async fn a_folder_gets_a_private_file_for_each_mail() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        let transport = Transport::from_url(&format!("file:{}", inner.display())).unwrap();
        for _ in 0..2 {
            let (letter, message) = ours();
            transport.send(&letter, message).await.unwrap();
        }
        let files: Vec<_> = fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(files.len(), 2);
        for file in files {
            assert_eq!(file.path().extension().unwrap(), "eml");
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            assert!(fs::read_to_string(file.path()).unwrap().contains("To: ada@example.org\r\n"));
        }
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn captured_mails_can_be_taken_and_waited_for() {
        let (transport, captured) = Transport::capture();
        let waiting = tokio::spawn({
            let captured = captured.clone();
            async move { captured.next().await }
        });
        let (letter, message) = ours();
        transport.send(&letter, message).await.unwrap();
        assert_eq!(waiting.await.unwrap(), letter);
        assert_eq!(captured.take(), []);
        let (letter, message) = ours();
        transport.send(&letter, message).await.unwrap();
        assert_eq!(captured.take(), [letter]);
    }

    /// A mail server that answers each line with the next of `answers` and returns what it read.
    async fn server(answers: &'static [&'static str]) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let talk = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut socket = BufReader::new(socket);
            let mut read = String::new();
            for answer in answers {
                socket.get_mut().write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
                // After DATA's answer the whole mail comes before the next one.
                let in_data = answer.starts_with("354");
                while socket.read_line(&mut read).await.unwrap() > 0 {
                    if !in_data || read.ends_with("\r\n.\r\n") {
                        break;
                    }
                }
            }
            read
        });
        (url, talk)
    }

    #[tokio::test]
    async fn smtp_hands_the_mail_over() {
        let answers = &["220 hi", "250 hi", "250 ok", "250 ok", "354 go", "250 ok", "221 bye"];
        let (url, talk) = server(answers).await;
        let transport = Transport::from_url(&url).unwrap();
        let (letter, message) = ours();
        transport.send(&letter, message).await.unwrap();
        drop(transport);
        let read = talk.await.unwrap();
        assert!(read.contains("MAIL FROM:<noreply@gate.example>"), "{read}");
        assert!(read.contains("RCPT TO:<ada@example.org>"), "{read}");
        assert!(read.contains("Subject: Password reset on gate.example"), "{read}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_by_number_without_the_address() {
        for (answer, code, permanent) in [
            ("550 no such user ada@example.org", 550, true),
            ("451 try later, ada@example.org", 451, false),
        ] {
            let answers: &'static [&'static str] = match code {
                550 => {
                    &["220 hi", "250 hi", "250 ok", "550 no such user ada@example.org", "250 ok"]
                }
                _ => &["220 hi", "250 hi", "250 ok", "451 try later, ada@example.org", "250 ok"],
            };
            assert!(answers.contains(&answer));
            let (url, _talk) = server(answers).await;
            let (letter, message) = ours();
            let transport = Transport::from_url(&url).unwrap();
            let error = transport.send(&letter, message).await.unwrap_err();
            assert_eq!(error.to_string(), format!("the mail server answered {code}"));
            assert_eq!(error.is_permanent(), permanent);
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_may_come_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        drop(listener);
        let (letter, message) = ours();
        let transport = Transport::from_url(&url).unwrap();
        let error = transport.send(&letter, message).await.unwrap_err();
        assert!(matches!(error, SendError::Failed(_)) && !error.is_permanent(), "{error}");
        assert!(transport.test().await.is_err());
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_left_after_a_while() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let _silent = tokio::spawn(async move {
            let socket = listener.accept().await;
            std::future::pending::<()>().await;
            drop(socket);
        });
        let (letter, message) = ours();
        let Transport::Smtp(smtp) = Transport::from_url(&url).unwrap() else { panic!("{url}") };
        let transport = Transport::Smtp(Smtp { limit: Duration::from_millis(50), ..smtp });
        let error = transport.send(&letter, message).await.unwrap_err();
        assert!(matches!(error, SendError::TimedOut) && !error.is_permanent(), "{error}");
    }
}
