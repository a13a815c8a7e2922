//! Where mailed links lead, and what the site is called.
//!
//! A link whose host the sender of a request may choose gives the victim's token away, so
//! settings win over the request, and the request's host was checked against
//! `server.allowed_hosts` before it got here. It must not know tokens or templates.

use crate::config::{LinkPage, Settings};
use crate::model::{MailPurpose, Site};

/// The front end that mails point to, as the settings have it.
#[derive(Debug, Clone)]
pub struct Frontend {
    /// `accounts.site_url`: wins over everything. Empty: not set.
    pub site_url: String,
    /// `accounts.email_frontend_protocol`. Empty: the request's.
    pub protocol: String,
    /// `accounts.email_frontend_domain`. Empty: the request's.
    pub domain: String,
    /// `accounts.email_frontend_site_name`. Empty: the host.
    pub site_name: String,
    /// `accounts.password_reset_confirm_url`, with `{uid}` and `{token}`.
    pub password_reset: String,
    /// `accounts.username_reset_confirm_url`.
    pub username_reset: String,
    /// `accounts.activation_url`.
    pub activation: String,
    /// For mails that no request caused: the first address we listen on.
    pub fallback: Site,
}

impl Frontend {
    /// As the settings have it.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let accounts = &settings.accounts;
        let scheme = if settings.server.tls.is_some() { "https" } else { "http" };
        let listen = settings.server.addresses().next();
        let host = listen.map_or("localhost".to_owned(), |address| address.to_string());
        Self {
            site_url: accounts.site_url.clone(),
            protocol: accounts.email_frontend_protocol.clone(),
            domain: accounts.email_frontend_domain.clone(),
            site_name: accounts.email_frontend_site_name.clone(),
            password_reset: settings.link_path(LinkPage::Password),
            username_reset: settings.link_path(LinkPage::Username),
            activation: settings.link_path(LinkPage::Activation),
            fallback: Site { scheme: scheme.to_owned(), host },
        }
    }

    /// What the site is called in subjects and texts.
    pub(super) fn name(&self, site: Option<&Site>) -> String {
        if !self.site_name.is_empty() {
            return self.site_name.clone();
        }
        let base = self.base(site);
        let host = base.split_once("://").map_or(&*base, |(_, rest)| rest);
        host.split('/').next().unwrap_or(host).to_owned()
    }

    /// The link of a mail, if its purpose has one.
    pub(super) fn link(
        &self,
        purpose: MailPurpose,
        site: Option<&Site>,
        uid: &str,
        token: &str,
    ) -> Option<String> {
        let path = match purpose {
            MailPurpose::PasswordReset => &self.password_reset,
            MailPurpose::UsernameReset => &self.username_reset,
            MailPurpose::Activation => &self.activation,
            MailPurpose::Confirmation
            | MailPurpose::PasswordChanged
            | MailPurpose::UsernameChanged => return None,
        };
        let path = path.replace("{uid}", uid).replace("{token}", token);
        if path.starts_with("https://") || path.starts_with("http://") {
            return Some(path);
        }
        let base = self.base(site);
        Some(format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/')))
    }

    pub(super) fn base(&self, site: Option<&Site>) -> String {
        if !self.site_url.is_empty() {
            return self.site_url.clone();
        }
        let site = site.unwrap_or(&self.fallback);
        let set = |setting: &str, request: &str| {
            if setting.is_empty() { request.to_owned() } else { setting.to_owned() }
        };
        format!("{}://{}", set(&self.protocol, &site.scheme), set(&self.domain, &site.host))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn frontend() -> Frontend {
        Frontend {
            site_url: String::new(),
            protocol: String::new(),
            domain: String::new(),
            site_name: String::new(),
            password_reset: "password/reset/confirm/{uid}/{token}".into(),
            username_reset: "username/reset/confirm/{uid}/{token}".into(),
            activation: "#/activate/{uid}/{token}".into(),
            fallback: Site { scheme: "http".into(), host: "127.0.0.1:8000".into() },
        }
    }

    fn site() -> Site {
        Site { scheme: "https".into(), host: "gate.example:8443".into() }
    }

    fn reset_link(frontend: &Frontend, site: Option<&Site>) -> String {
        frontend.link(MailPurpose::PasswordReset, site, "Nw", "t-1").unwrap()
    }

    #[test]
    fn links_lead_to_the_host_of_the_request_unless_one_is_set() {
        let path = "password/reset/confirm/Nw/t-1";
        let request = reset_link(&frontend(), Some(&site()));
        assert_eq!(request, format!("https://gate.example:8443/{path}"));
        assert_eq!(frontend().name(Some(&site())), "gate.example:8443");

        let nobody = reset_link(&frontend(), None);
        assert_eq!(nobody, format!("http://127.0.0.1:8000/{path}"));

        let domain = Frontend { domain: "app.example".into(), ..frontend() };
        assert_eq!(reset_link(&domain, Some(&site())), format!("https://app.example/{path}"));
        let protocol = Frontend { protocol: "http".into(), ..domain };
        assert_eq!(reset_link(&protocol, Some(&site())), format!("http://app.example/{path}"));

        let url = Frontend { site_url: "https://www.example/app/".into(), ..protocol };
        assert_eq!(reset_link(&url, Some(&site())), format!("https://www.example/app/{path}"));
        assert_eq!(url.name(Some(&site())), "www.example");
        let named = Frontend { site_name: "Example".into(), ..url };
        assert_eq!(named.name(Some(&site())), "Example");
    }

    #[test]
    fn a_path_may_be_a_fragment_rooted_or_a_whole_url() {
        let with = |path: &str| Frontend { password_reset: path.into(), ..frontend() };
        let link = |path: &str| reset_link(&with(path), Some(&site()));
        assert_eq!(link("#/r/{uid}/{token}"), "https://gate.example:8443/#/r/Nw/t-1");
        assert_eq!(link("/r/{uid}/{token}"), "https://gate.example:8443/r/Nw/t-1");
        assert_eq!(link("https://x.example/{uid}?t={token}"), "https://x.example/Nw?t=t-1");
    }

    #[test]
    fn notices_have_no_link() {
        let purposes =
            [MailPurpose::Confirmation, MailPurpose::PasswordChanged, MailPurpose::UsernameChanged];
        for purpose in purposes {
            assert_eq!(frontend().link(purpose, Some(&site()), "Nw", "t-1"), None);
        }
    }
}
