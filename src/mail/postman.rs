//! Empties the outbox: takes what is due, sends it, tries again later what failed.
//!
//! Several replicas may do so at once; a mail that was taken is hidden from the others for a
//! while, and comes back if its taker dies. So a mail is sent at least once, seldom twice,
//! and never not at all. It must not know why a mail was asked for.

use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::Settings;
use crate::identity::Links;
use crate::model::{MailPurpose, Timestamp, User};
use crate::store::{Mail, Store};

use super::MailError;
use super::frontend::Frontend;
use super::letters::{Letters, Occasion, name};
use super::message::message;
use super::templates::Templates;
use super::transport::{SEND_LIMIT, SendError, Transport};

/// Mails taken at once, to be sent one after another.
const BATCH: u32 = 10;
/// How long others leave a taken mail alone: longer than the slowest batch takes.
const LEASE: Duration = SEND_LIMIT.saturating_mul(BATCH + 2);
/// How often to look without being woken: other replicas' mails, and those to be tried again.
const POLL: Duration = Duration::from_secs(5);
/// From the first failure to the next try; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LONGEST_RETRY: Duration = Duration::from_mins(30);
/// A reset link nobody waits for any more.
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);

/// Wakes the postman at once. Cheap to clone; ringing twice wakes once.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// There may be mail.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// Sends what is in the outbox.
pub struct Postman {
    store: Store,
    letters: Letters,
    from: Mailbox,
    transport: Transport,
    clock: Clock,
    bell: Bell,
    seen: Option<Seen>,
}

/// Told of each try whether the mail server took part.
pub(super) type Seen = Arc<dyn Fn(bool) + Send + Sync>;

/// What became of a mail.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Sent,
    /// Nobody to send it to any more.
    Obsolete,
    /// Cannot be sent, now or ever.
    Hopeless(String),
    /// Perhaps later.
    Failed(String),
}

/// What to do with a mail then.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Remove,
    Retry(Timestamp),
}

// === impl Postman ===

impl Postman {
    /// Mails of `store`'s outbox leave by `transport`, with links as `settings` have them.
    pub fn new(
        settings: &Settings,
        store: Store,
        links: Links,
        transport: Transport,
        clock: Clock,
        bell: &Bell,
    ) -> Result<Self, MailError> {
        let bell = bell.clone();
        let from = settings.mail.from.parse().map_err(MailError::From)?;
        let templates = Templates::read(settings.mail.templates.as_deref());
        let templates = templates.map_err(MailError::Templates)?;
        let letters = Letters::new(templates, Frontend::new(settings), links);
        Ok(Self { store, letters, from, transport, clock, bell, seen: None })
    }

    /// Tells whether the mail server answers.
    #[must_use]
    pub fn watched(mut self, seen: Arc<dyn Fn(bool) + Send + Sync>) -> Self {
        self.seen = Some(seen);
        self
    }

    /// Works until `stop` says true or is dropped; the mail in hand is finished first.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            let stopping = stop.clone();
            self.deliver_while(|| !*stopping.borrow()).await;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.bell.0.notified() => {}
                () = sleep(POLL) => {}
            }
        }
    }

    /// Sends everything that is due now; answers how many were sent.
    pub async fn deliver_due(&self) -> usize {
        self.deliver_while(|| true).await
    }

    async fn deliver_while(&self, go_on: impl Fn() -> bool) -> usize {
        let mut sent = 0;
        while go_on() {
            let mails = match self.store.take_mail(BATCH, LEASE, self.clock.now()).await {
                Ok(mails) if mails.is_empty() => break,
                Ok(mails) => mails,
                Err(error) => {
                    warn!(%error, "the outbox cannot be read; mail waits");
                    break;
                }
            };
            for mail in mails {
                if !go_on() {
                    // The rest of the batch comes back when its lease ends.
                    break;
                }
                sent += usize::from(self.deliver(&mail).await);
            }
        }
        sent
    }

    /// Whether it was sent.
    async fn deliver(&self, mail: &Mail) -> bool {
        let user = match self.store.user(mail.user).await {
            Ok(user) => user,
            Err(error) => {
                warn!(%error, mail.id, "the account of a mail cannot be read; it waits");
                return false;
            }
        };
        let outcome = match user.filter(|user| is_wanted(mail, user)) {
            Some(user) => self.send(mail, &user).await,
            None => Outcome::Obsolete,
        };
        let now = self.clock.now();
        let next = next(&outcome, mail, now);
        tell(mail, &outcome, &next);
        let noted = match next {
            Next::Remove => self.store.mail_done(mail.id).await,
            Next::Retry(due) => self.store.mail_retry(mail.id, due).await,
        };
        if let Err(error) = noted {
            warn!(%error, mail.id, "a mail's outcome cannot be noted; it may be sent again");
        }
        outcome == Outcome::Sent
    }

    async fn send(&self, mail: &Mail, user: &User) -> Outcome {
        let (site, at) = (mail.site.as_ref(), self.clock.now());
        let occasion = Occasion { purpose: mail.purpose, user, address: &mail.address, site, at };
        let letter = match self.letters.write(&occasion) {
            Ok(letter) => letter,
            Err(error) => return Outcome::Hopeless(error.to_string()),
        };
        let message = match message(&letter, &self.from, at) {
            Ok(message) => message,
            Err(error) => return Outcome::Hopeless(error.to_string()),
        };
        let sent = self.transport.send(&letter, message).await;
        if let Some(seen) = &self.seen {
            // One that refuses a mail for good is there.
            seen(sent.as_ref().err().is_none_or(SendError::is_permanent));
        }
        match sent {
            Ok(()) => Outcome::Sent,
            Err(error) if error.is_permanent() => Outcome::Hopeless(error.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}

/// A link goes to the account's address only, which may have changed since. A notice goes where
/// the owner was when it happened: whoever takes an account over changes the address next.
fn is_wanted(mail: &Mail, user: &User) -> bool {
    match mail.purpose {
        MailPurpose::PasswordReset | MailPurpose::UsernameReset | MailPurpose::Activation => {
            mail.address == user.email
        }
        MailPurpose::Confirmation | MailPurpose::PasswordChanged | MailPurpose::UsernameChanged => {
            true
        }
    }
}

fn next(outcome: &Outcome, mail: &Mail, now: Timestamp) -> Next {
    match outcome {
        Outcome::Failed(_) if now.since(mail.created) < GIVE_UP_AFTER => {
            // The one that failed is counted.
            let retries = mail.attempts.saturating_sub(1).clamp(0, 16);
            let wait = FIRST_RETRY.saturating_mul(1 << retries).min(LONGEST_RETRY);
            Next::Retry(now.plus(wait))
        }
        Outcome::Sent | Outcome::Obsolete | Outcome::Hopeless(_) | Outcome::Failed(_) => {
            Next::Remove
        }
    }
}

/// Never an address, a name or a link.
fn tell(mail: &Mail, outcome: &Outcome, next: &Next) {
    let (id, kind) = (mail.id, name(mail.purpose));
    match (outcome, next) {
        (Outcome::Sent, _) => info!(mail.id = id, mail.kind = kind, "a mail was sent"),
        (Outcome::Obsolete, _) => {
            info!(mail.id = id, mail.kind = kind, "a mail was dropped: its account has changed");
        }
        (Outcome::Failed(reason), Next::Retry(_)) => {
            warn!(mail.id = id, mail.kind = kind, reason, "a mail failed and is tried again");
        }
        (Outcome::Hopeless(reason) | Outcome::Failed(reason), _) => {
            error!(mail.id = id, mail.kind = kind, reason, "a mail cannot be sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::letters::tests::{NOW, user};
    use super::*;
    use crate::model::UserId;

    fn mail(purpose: MailPurpose, attempts: i64) -> Mail {
        let address = "ada@example.org".to_owned();
        Mail { id: 1, purpose, user: UserId(7), address, site: None, created: NOW, attempts }
    }

    fn reset(attempts: i64) -> Mail {
        mail(MailPurpose::PasswordReset, attempts)
    }

    fn failed() -> Outcome {
        Outcome::Failed("it rains".into())
    }

    #[test]
    fn a_failed_mail_is_tried_again_after_a_growing_while() {
        let waits: Vec<u64> = [1, 2, 3, 4, 8, 9, 1000, i64::MAX, 0, i64::MIN]
            .into_iter()
            .map(|attempts| match next(&failed(), &reset(attempts), NOW) {
                Next::Retry(due) => due.since(NOW).as_secs(),
                Next::Remove => panic!("{attempts}"),
            })
            .collect();
        assert_eq!(waits, [10, 20, 40, 80, 1280, 1800, 1800, 1800, 10, 10]);
    }

    #[test]
    fn a_mail_is_given_up_after_a_day() {
        let day = NOW.plus(GIVE_UP_AFTER);
        assert_eq!(next(&failed(), &reset(50), day), Next::Remove);
        let before = day.minus(Duration::from_secs(1));
        assert_ne!(next(&failed(), &reset(50), before), Next::Remove);
    }

    #[test]
    fn other_outcomes_end_a_mail() {
        for outcome in [Outcome::Sent, Outcome::Obsolete, Outcome::Hopeless(String::new())] {
            assert_eq!(next(&outcome, &reset(0), NOW), Next::Remove, "{outcome:?}");
        }
    }

    #[test]
    fn links_go_to_the_present_address_only_and_notices_to_the_old_one_as_well() {
        let moved = User { email: "eve@example.org".into(), ..user("ada") };
        for (purpose, to_moved) in [
            (MailPurpose::PasswordReset, false),
            (MailPurpose::UsernameReset, false),
            (MailPurpose::Activation, false),
            (MailPurpose::Confirmation, true),
            (MailPurpose::PasswordChanged, true),
            (MailPurpose::UsernameChanged, true),
        ] {
            assert!(is_wanted(&mail(purpose, 0), &user("ada")));
            assert_eq!(is_wanted(&mail(purpose, 0), &moved), to_moved, "{purpose:?}");
        }
    }

    #[tokio::test]
    async fn a_bell_rung_before_anybody_listens_is_heard() {
        let bell = Bell::default();
        bell.ring();
        bell.clone().ring();
        bell.0.notified().await;
    }
}
