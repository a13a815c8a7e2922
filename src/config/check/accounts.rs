//! `[accounts]` and `[mail]`.

use crate::config::endpoint::{host_and_port, is_host_name};
use crate::config::fault::Report;
use crate::config::sections::{Accounts, Argon2, Mail, Registration, Settings};
use crate::config::words::suggest;

pub(super) fn check(settings: &Settings, report: &mut Report) {
    let accounts = &settings.accounts;
    fields(accounts, report);
    links(accounts, report);
    argon2(accounts.argon2, report);
    mail(&settings.mail, report);

    let is_public = settings.server.is_reachable();
    if accounts.registration == Registration::Open && is_public && !accounts.send_activation_email {
        let text = "open on an address that others can reach, without activation: anybody can register under any e-mail address";
        report.warn_because("accounts.registration", "server.listen", text);
    }
}

fn fields(accounts: &Accounts, report: &mut Report) {
    let known = ["username", "email", "either"];
    if !known.contains(&accounts.login_field.as_str()) {
        let text = format!("nobody logs in with `{}`", accounts.login_field);
        report.fault("accounts.login_field", text, suggest(&accounts.login_field, &known));
    }
    let known = ["id", "username"];
    if !known.contains(&accounts.user_id_field.as_str()) {
        let text = format!("accounts are not shown by `{}`", accounts.user_id_field);
        report.fault("accounts.user_id_field", text, suggest(&accounts.user_id_field, &known));
    }
    if !(0.0..=1.0).contains(&accounts.password_similarity) {
        let remedy = "write 0.75, or 1 to refuse only passwords that are the user's data";
        report.fault("accounts.password_similarity", "is not from 0 to 1", remedy);
    }
    if accounts.password_reset_timeout.as_secs() == 0 {
        let text = "links would end before they are mailed";
        report.fault("accounts.password_reset_timeout", text, "write a second or more, such as 3d");
    }
}

fn links(accounts: &Accounts, report: &mut Report) {
    let paths = [
        ("accounts.password_reset_confirm_url", &accounts.password_reset_confirm_url),
        ("accounts.username_reset_confirm_url", &accounts.username_reset_confirm_url),
        ("accounts.activation_url", &accounts.activation_url),
    ];
    for (key, path) in paths {
        let remedy = "write a path such as \"#/password/reset/confirm/{uid}/{token}\"";
        if !path.contains("{uid}") || !path.contains("{token}") {
            report.fault(key, "{uid} or {token} is missing from the link", remedy);
        } else if path.contains("://") {
            let remedy = "write the path alone, and the rest as accounts.site_url";
            report.fault(key, "the link is more than a path", remedy);
        } else if path.chars().any(|char| char.is_whitespace() || char.is_control()) {
            report.fault(key, "the link has a blank in it", remedy);
        }
    }
    // Where it follows from the next two, they are told of.
    let (protocol, domain) = (&accounts.email_frontend_protocol, &accounts.email_frontend_domain);
    let follows = accounts.site_url == format!("{protocol}://{domain}");
    if !accounts.site_url.is_empty() && !follows && !is_base(&accounts.site_url) {
        let remedy = "write it as https://app.example.com or https://example.com/app";
        report.fault("accounts.site_url", "is not the address of a site", remedy);
    }
    if !domain.is_empty() && host_and_port(domain).is_err() {
        let remedy = "write a host such as app.example.com, without scheme and path";
        report.fault("accounts.email_frontend_domain", "is not a host", remedy);
    }
    if !["", "http", "https"].contains(&protocol.as_str()) {
        let remedy = "write \"https\" or \"http\"";
        report.fault("accounts.email_frontend_protocol", "is neither http nor https", remedy);
    }
    if accounts.email_frontend_site_name.chars().any(char::is_control) {
        let remedy = "write a name on one line";
        report.fault("accounts.email_frontend_site_name", "has a control in it", remedy);
    }
}

/// `https://host[:port][/path]`.
fn is_base(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        host_and_port(host).is_ok()
            && !path.contains(['?', '#'])
            && path.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

/// What argon2 allows, what a machine can bear, and what is too little.
fn argon2(argon2: Argon2, report: &mut Report) {
    const MOST_MEMORY: u32 = 4 * 1024 * 1024;
    let Argon2 { memory_kib, iterations, parallelism } = argon2;
    if !(1..=16).contains(&parallelism) {
        report.fault("accounts.argon2.parallelism", "is not from 1 to 16", "write 1");
    }
    if !(1..=100).contains(&iterations) {
        report.fault("accounts.argon2.iterations", "is not from 1 to 100", "write 2 or more");
    }
    let least = 8 * parallelism.clamp(1, 16);
    if !(least..=MOST_MEMORY).contains(&memory_kib) {
        let text = format!("is not from {least} (8 for each lane) to {MOST_MEMORY}");
        report.fault("accounts.argon2.memory_kib", text, "write 19456 or more");
    }
    // Of equal strength by OWASP's password storage cheat sheet.
    let enough = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];
    if !enough.iter().any(|(memory, passes)| memory_kib >= *memory && iterations >= *passes) {
        let text = "cheaper than 19456 KiB and 2 iterations: stolen hashes are guessed faster";
        report.warn("accounts.argon2", text);
    }
}

fn mail(mail: &Mail, report: &mut Report) {
    if !is_mailbox(&mail.from) {
        let remedy = "write it as \"Portcullis <noreply@example.com>\"";
        report.fault("mail.from", "is not a mail address", remedy);
    }
    let url = mail.url.expose();
    let smtp = url.strip_prefix("smtp://").or_else(|| url.strip_prefix("smtps://"));
    let remedy = "write log:, file:FOLDER, smtp://user:password@host:port or smtps://…";
    let fault = match (url, smtp, url.strip_prefix("file:")) {
        ("log:", ..) => None,
        (_, Some(rest), _) => {
            let host = rest.rsplit('@').next().unwrap_or(rest);
            let host = host.split(['/', '?']).next().unwrap_or(host);
            host_and_port(host).is_err().then_some("the address names no mail server")
        }
        (_, _, Some(folder)) => folder.is_empty().then_some("the address names no folder"),
        _ => Some("the address does not tell how to send mail"),
    };
    if let Some(text) = fault {
        report.fault("mail.url", text, remedy);
    }
}

/// `address` or `Name <address>`, on one line.
fn is_mailbox(text: &str) -> bool {
    let address = match text.split_once('<') {
        Some((name, rest)) if !name.contains(['>', '@', ',']) => {
            rest.strip_suffix('>').unwrap_or_default()
        }
        Some(_) => return false,
        None => text,
    };
    let is_address = address.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !local.contains(|char: char| char.is_whitespace() || "<>,;:@\"()[]\\".contains(char))
            && is_host_name(domain)
    });
    is_address && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::testing::{faulty, warned};
    use crate::config::values::Period;

    fn changed(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    }

    #[test]
    fn the_defaults_are_good() {
        assert!(warned(check, &Settings::default()).is_empty());
    }

    #[test]
    fn open_registration_for_everybody_is_warned_of() {
        let public =
            |settings: &mut Settings| settings.server.listen = vec!["0.0.0.0:80".parse().unwrap()];
        assert_eq!(warned(check, &changed(public)), ["accounts.registration"]);
        let closed = |settings: &mut Settings| {
            public(settings);
            settings.accounts.registration = Registration::Closed;
        };
        assert!(warned(check, &changed(closed)).is_empty());
        let activated = |settings: &mut Settings| {
            public(settings);
            settings.accounts.send_activation_email = true;
        };
        assert!(warned(check, &changed(activated)).is_empty());
    }

    #[test]
    fn fields_and_times_are_in_range() {
        let settings = changed(|settings| {
            settings.accounts.login_field = "phone".to_owned();
            settings.accounts.password_similarity = f64::NAN;
            settings.accounts.password_reset_timeout = Period::seconds(0);
        });
        assert_eq!(
            faulty(check, &settings),
            [
                "accounts.login_field",
                "accounts.password_reset_timeout",
                "accounts.password_similarity"
            ]
        );
    }

    #[test]
    fn links_lead_somewhere() {
        let settings = changed(|settings| {
            settings.accounts.password_reset_confirm_url = "reset/{uid}".to_owned();
            settings.accounts.activation_url = "https://evil/{uid}/{token}".to_owned();
            settings.accounts.site_url = "app.example".to_owned();
            settings.accounts.email_frontend_protocol = "ftp".to_owned();
        });
        assert_eq!(
            faulty(check, &settings),
            [
                "accounts.activation_url",
                "accounts.email_frontend_protocol",
                "accounts.password_reset_confirm_url",
                "accounts.site_url",
            ]
        );
        for good in ["https://app.example", "http://localhost:3000/", "https://a.example/app"] {
            assert!(is_base(good), "{good}");
        }
        for wrong in ["https://", "https://a.example/?x", "https://u:p@a.example", "//a"] {
            assert!(!is_base(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_hash_costs_neither_nothing_nor_everything() {
        let with = |memory_kib, iterations, parallelism| {
            changed(|settings| {
                settings.accounts.argon2 = Argon2 { memory_kib, iterations, parallelism };
            })
        };
        assert!(warned(check, &with(65_536, 3, 4)).is_empty());
        assert!(warned(check, &with(47_104, 1, 1)).is_empty());
        assert_eq!(warned(check, &with(8_192, 1, 1)), ["accounts.argon2"]);
        assert_eq!(faulty(check, &with(8, 1, 2)), ["accounts.argon2.memory_kib"]);
        assert_eq!(faulty(check, &with(u32::MAX, 2, 1)), ["accounts.argon2.memory_kib"]);
        assert_eq!(
            faulty(check, &with(19_456, 0, 0)),
            ["accounts.argon2.iterations", "accounts.argon2.parallelism"]
        );
        assert_eq!(faulty(check, &with(19_456, 101, 17)).len(), 2);
    }

    #[test]
    fn mail_has_a_sender_and_a_way() {
        for good in ["a@localhost", "Portcullis <noreply@example.com>", "Ünï <a.b+c@x.example>"] {
            assert!(is_mailbox(good), "{good}");
        }
        for wrong in ["", "a", "@x", "a@", "A <a@b", "a@b, c@d", "A\r\nBcc: x <a@b>", "a b@c"] {
            assert!(!is_mailbox(wrong), "{wrong}");
        }
        let with = |url: &str| changed(|settings| settings.mail.url = url.into());
        for good in ["log:", "file:outbox", "smtp://localhost:25", "smtps://u:p%40@mail.example"] {
            assert!(faulty(check, &with(good)).is_empty(), "{good}");
        }
        for wrong in ["", "log", "file:", "smtp://", "sendmail:/usr/sbin", "smtp://h:0"] {
            assert_eq!(faulty(check, &with(wrong)), ["mail.url"], "{wrong}");
        }
    }
}
