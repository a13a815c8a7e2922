//! Sends the mails that use cases have put into the outbox.
//!
//! The only module that knows lettre and the templates. A use case writes purpose and account
//! in its own transaction and rings the [`Bell`]; the [`Postman`] makes the letter when it
//! sends it, so that no link is ever stored, a slow mail server holds no request and a crash
//! loses no mail. It must not know HTTP, nor decide who gets mail.

mod examine;
mod frontend;
mod letters;
mod message;
mod postman;
mod templates;
mod transport;

pub use examine::offers_starttls;
pub use frontend::Frontend;
pub use letters::Letter;
pub use postman::{Bell, Postman};
pub use templates::TemplateFault;
pub use transport::{Captured, SendError, Smtp, Transport};

use crate::config::Settings;

/// Why mail cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// `mail.url` has no scheme that is known.
    #[error("mail.url must begin with log:, file:, smtp:// or smtps://")]
    UnknownScheme,
    /// `mail.url` names no folder.
    #[error("mail.url names no folder, such as file:mails")]
    NoFolder,
    /// `mail.url` cannot be used.
    #[error("mail.url cannot be used")]
    Smtp(#[source] lettre::transport::smtp::Error),
    /// `mail.from` is not a mailbox.
    #[error("mail.from is not an address such as \"Name <noreply@example.org>\"")]
    From(#[source] lettre::address::AddressError),
    /// A mail cannot be written.
    #[error("a mail template has a fault")]
    Template(#[source] minijinja::Error),
    /// `mail.templates` has faults.
    #[error("mail.templates has faults: {}", list(.0))]
    Templates(Vec<TemplateFault>),
}

/// Reads and tries the templates that the settings name.
///
/// # Errors
/// Everything that is wrong with them.
pub fn proofread(settings: &Settings) -> Result<(), Vec<TemplateFault>> {
    templates::Templates::read(settings.mail.templates.as_deref()).map(drop)
}

fn list(faults: &[TemplateFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
