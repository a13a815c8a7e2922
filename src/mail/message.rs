//! Makes a mail message (RFC 5322) of a letter.
//!
//! Whatever ends up in a header is refused if it has control characters: nobody adds
//! headers or recipients of his own. It must not know how messages travel.

use std::time::{Duration, UNIX_EPOCH};

use lettre::Message;
use lettre::address::{Address, AddressError};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use crate::model::Timestamp;

use super::letters::Letter;

/// 9999-12-31: later times cannot be written.
const LAST_SECOND: u64 = 253_402_300_799;

/// Why a letter can never be sent. Says nothing about to whom.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    #[error("the subject or the address has control characters")]
    Forged,
    #[error("the address cannot be mailed to")]
    Address(#[source] AddressError),
    #[error("the message cannot be made")]
    Message(#[source] lettre::error::Error),
}

/// The message, ready to be sent.
pub(super) fn message(
    letter: &Letter,
    from: &Mailbox,
    at: Timestamp,
) -> Result<Message, MessageError> {
    if letter.subject.contains(char::is_control) || letter.to.contains(char::is_control) {
        return Err(MessageError::Forged);
    }
    let to: Address = letter.to.parse().map_err(MessageError::Address)?;
    let seconds = u64::try_from(at.seconds()).unwrap_or(0).min(LAST_SECOND);
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(&letter.subject)
        .date(UNIX_EPOCH + Duration::from_secs(seconds))
        .message_id(Some(message_id(from)))
        // Keeps holiday replies away (RFC 3834).
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .multipart(MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone()))
        .map_err(MessageError::Message)
}

/// Named after the sender's domain: lettre's own would tell the machine's name.
fn message_id(from: &Mailbox) -> String {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).expect("the system gives random numbers");
    format!("<{}@{}>", hex::encode(random), from.email.domain())
}

#[cfg(test)]
mod tests {
    use super::super::letters::tests::{NOW, letter};
    use super::*;
    use crate::model::MailPurpose;

    fn from() -> Mailbox {
        "Portcullis <noreply@gate.example>".parse().unwrap()
    }

    fn ours() -> Letter {
        letter(MailPurpose::PasswordReset, "ada", "gate.example")
    }

    #[test]
    fn a_message_has_the_headers_that_it_needs() {
        let formatted = message(&ours(), &from(), NOW).unwrap().formatted();
        let text = String::from_utf8(formatted).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        for line in [
            "From: Portcullis <noreply@gate.example>",
            "To: ada@example.org",
            "Subject: Password reset on gate.example",
            "Date: Tue, 14 Nov 2023 22:13:20 +0000",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
        ] {
            assert!(head.lines().any(|sent| sent == line), "{line} in\n{head}");
        }
        let id = head.lines().find_map(|line| line.strip_prefix("Message-ID: <")).unwrap();
        let (random, domain) = id.split_once('@').unwrap();
        assert_eq!((random.len(), domain), (32, "gate.example>"));
        assert!(head.contains("Content-Type: multipart/alternative;"), "{head}");
        assert!(text.contains("text/plain; charset=utf-8") && text.contains("text/html"));
    }

    #[test]
    fn nobody_adds_headers() {
        for to in ["a@b.co\r\nBcc: x@y.zz", "a@b.co\n", "a\0@b.co"] {
            let letter = Letter { to: to.into(), ..ours() };
            assert!(matches!(message(&letter, &from(), NOW), Err(MessageError::Forged)), "{to:?}");
        }
        let letter = Letter { subject: "x\r\nBcc: x@y.zz".into(), ..ours() };
        assert!(matches!(message(&letter, &from(), NOW), Err(MessageError::Forged)));
        for to in ["", "ada", "ada@", "a@b.co, x@y.zz", "<a@b.co>, x"] {
            let letter = Letter { to: to.into(), ..ours() };
            let refused = message(&letter, &from(), NOW);
            assert!(matches!(refused, Err(MessageError::Address(_))), "{to:?}");
        }
    }

    #[test]
    fn odd_times_do_no_harm() {
        for at in [i64::MIN, -1, 0, i64::MAX] {
            assert!(message(&ours(), &from(), Timestamp::from_micros(at)).is_ok());
        }
    }
}
