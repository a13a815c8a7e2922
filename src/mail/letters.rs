//! Writes letters: who gets which words; the words themselves come from templates.
//!
//! It must not know how letters travel.

use std::fmt;

use secrecy::ExposeSecret;

use crate::identity::Links;
use crate::model::{MailPurpose, Site, Timestamp, User};

use super::MailError;
use super::frontend::Frontend;
use super::templates::{Templates, Words, Written};

/// A letter to one person, in two forms. It may hold a link that opens the account.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// The recipient's address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// The plain form.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Letter(…)")
    }
}

/// What a letter is written from.
pub(super) struct Occasion<'a> {
    pub(super) purpose: MailPurpose,
    pub(super) user: &'a User,
    pub(super) address: &'a str,
    pub(super) site: Option<&'a Site>,
    pub(super) at: Timestamp,
}

/// The writer, with its templates read.
pub(super) struct Letters {
    templates: Templates,
    frontend: Frontend,
    links: Links,
}

impl Letters {
    pub(super) fn new(templates: Templates, frontend: Frontend, links: Links) -> Self {
        Self { templates, frontend, links }
    }

    /// Writes one. The token in its link is made here and kept nowhere else.
    pub(super) fn write(&self, occasion: &Occasion<'_>) -> Result<Letter, MailError> {
        let Occasion { purpose, user, address, site, at } = *occasion;
        let site_name = self.frontend.name(site);
        let base = self.frontend.base(site);
        let (protocol, domain) = base.split_once("://").unwrap_or(("", &base));
        let token = self.links.token(purpose, user, at);
        let uid = Links::uid(user.id);
        let url = self.frontend.link(purpose, site, &uid, token.expose_secret());
        let linked = url.is_some();
        let words = Words {
            site_name: &site_name,
            protocol,
            domain,
            username: &user.username,
            first_name: &user.first_name,
            last_name: &user.last_name,
            email: address,
            url: url.as_deref().unwrap_or_default(),
            uid: if linked { &uid } else { "" },
            token: if linked { token.expose_secret() } else { "" },
        };
        let Written { subject, text, html } =
            self.templates.write(name(purpose), &words).map_err(MailError::Template)?;
        Ok(Letter { to: address.to_owned(), subject, text, html })
    }
}

/// The names of all mails.
pub(super) const PURPOSES: [&str; 6] = [
    name(MailPurpose::PasswordReset),
    name(MailPurpose::UsernameReset),
    name(MailPurpose::Activation),
    name(MailPurpose::Confirmation),
    name(MailPurpose::PasswordChanged),
    name(MailPurpose::UsernameChanged),
];

/// What templates are called by, and what logs call a mail.
pub(super) const fn name(purpose: MailPurpose) -> &'static str {
    match purpose {
        MailPurpose::PasswordReset => "password_reset",
        MailPurpose::UsernameReset => "username_reset",
        MailPurpose::Activation => "activation",
        MailPurpose::Confirmation => "confirmation",
        MailPurpose::PasswordChanged => "password_changed",
        MailPurpose::UsernameChanged => "username_changed",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::frontend::tests::frontend;
    use super::*;
    use crate::model::UserId;

    pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    const PURPOSES: [MailPurpose; 6] = [
        MailPurpose::PasswordReset,
        MailPurpose::UsernameReset,
        MailPurpose::Activation,
        MailPurpose::Confirmation,
        MailPurpose::PasswordChanged,
        MailPurpose::UsernameChanged,
    ];

    pub(crate) fn user(username: &str) -> User {
        User {
            id: UserId(7),
            username: username.into(),
            email: "ada@example.org".into(),
            email_verified: false,
            password: "hash".into(),
            first_name: String::new(),
            last_name: String::new(),
            is_active: true,
            is_staff: false,
            is_superuser: false,
            groups: Vec::new(),
            generation: 0,
            cut_at: None,
            version: 0,
            last_login: None,
            date_joined: NOW,
        }
    }

    fn links() -> Links {
        Links::new([7; 32], Duration::from_mins(1))
    }

    pub(crate) fn letter(purpose: MailPurpose, username: &str, site: &str) -> Letter {
        let letters = Letters::new(Templates::read(None).unwrap(), frontend(), links());
        let site = Site { scheme: "https".into(), host: site.into() };
        let user = user(username);
        let address = &*user.email;
        letters
            .write(&Occasion { purpose, user: &user, address, site: Some(&site), at: NOW })
            .unwrap()
    }

    #[test]
    fn subjects_are_djoser_s() {
        let subjects = PURPOSES.map(|purpose| letter(purpose, "ada", "gate.example").subject);
        assert_eq!(
            subjects,
            [
                "Password reset on gate.example",
                "Username reset on gate.example",
                "Account activation on gate.example",
                "gate.example - Your account has been successfully created and activated!",
                "gate.example - Your password has been successfully changed!",
                "gate.example - Your username has been successfully changed!",
            ]
        );
    }

    #[test]
    fn the_link_stands_on_a_line_of_its_own_and_opens_the_account() {
        let letter = letter(MailPurpose::PasswordReset, "ada", "gate.example");
        let start = "https://gate.example/password/reset/confirm/Nw/";
        let link = letter.text.lines().find(|line| line.starts_with(start)).unwrap();
        let token = &link[start.len()..];
        assert!(links().check(MailPurpose::PasswordReset, &user("ada"), token, NOW));
        assert!(!links().check(MailPurpose::Activation, &user("ada"), token, NOW));
        assert!(letter.html.contains(&format!("<a href=\"{link}\">{link}</a>")), "{}", letter.html);
    }

    #[test]
    fn every_letter_is_whole_in_both_forms() {
        for purpose in PURPOSES {
            let letter = letter(purpose, "ada", "gate.example");
            for form in [&letter.text, &letter.html] {
                assert!(form.contains("gate.example") && form.ends_with('\n'), "{form}");
                assert!(form.contains("ada"), "{form}");
                assert!(!form.contains("{{") && !form.contains("{%"), "{form}");
            }
            assert!(letter.html.starts_with("<!DOCTYPE html>"));
        }
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let letter = letter(MailPurpose::PasswordReset, "<b>&\"", "x\"><script>");
        assert!(letter.text.contains("<b>&\""));
        assert!(!letter.html.contains("<b>") && !letter.html.contains("<script>"));
        assert!(letter.html.contains("&lt;b&gt;&amp;&quot;"), "{}", letter.html);
    }

    #[test]
    fn debug_shows_no_link() {
        let letter = letter(MailPurpose::PasswordReset, "ada", "gate.example");
        assert_eq!(format!("{letter:?}"), "Letter(…)");
    }
}
