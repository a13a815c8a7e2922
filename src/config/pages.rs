//! Where the built-in pages are, and whether mailed links lead there.
//!
//! Known to whoever serves the pages and to whoever writes the links; neither need know the
//! other.

use super::sections::{Accounts, Settings};

/// What a mailed link, and the page that it leads to, is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPage {
    /// A new password.
    Password,
    /// A new username.
    Username,
    /// The activation of an account.
    Activation,
}

impl LinkPage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Password, Self::Username, Self::Activation];

    /// Where such a link can be asked for, below `server.auth_prefix`. The link's own page is
    /// below that: `{uid}/{token}/`.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Password => "/pages/password/",
            Self::Username => "/pages/username/",
            Self::Activation => "/pages/activation/",
        }
    }

    fn setting(self, accounts: &Accounts) -> &String {
        match self {
            Self::Password => &accounts.password_reset_confirm_url,
            Self::Username => &accounts.username_reset_confirm_url,
            Self::Activation => &accounts.activation_url,
        }
    }
}

impl Settings {
    /// The path or URL of a mailed link, with `{uid}` and `{token}`: what is written out, else
    /// the built-in page if there are pages, else djoser's default.
    #[must_use]
    pub fn link_path(&self, page: LinkPage) -> String {
        let written = page.setting(&self.accounts);
        if self.accounts.pages && written == page.setting(&Accounts::default()) {
            let prefix = self.server.auth_prefix.trim_end_matches('/');
            return format!("{prefix}{}{{uid}}/{{token}}/", page.path());
        }
        written.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pages: bool) -> Settings {
        let mut settings = Settings::default();
        settings.accounts.pages = pages;
        settings
    }

    #[test]
    fn links_lead_to_the_pages_if_there_are_any() {
        let paths = |pages| LinkPage::ALL.map(|page| settings(pages).link_path(page));
        assert_eq!(
            paths(true),
            [
                "/auth/pages/password/{uid}/{token}/",
                "/auth/pages/username/{uid}/{token}/",
                "/auth/pages/activation/{uid}/{token}/",
            ]
        );
        assert_eq!(
            paths(false),
            [
                "#/password/reset/confirm/{uid}/{token}",
                "#/username/reset/confirm/{uid}/{token}",
                "#/activate/{uid}/{token}",
            ]
        );
    }

    #[test]
    fn a_url_that_is_written_out_wins() {
        let mut settings = settings(true);
        settings.accounts.activation_url = "hello/{uid}/{token}".into();
        assert_eq!(settings.link_path(LinkPage::Activation), "hello/{uid}/{token}");
        assert!(settings.link_path(LinkPage::Password).starts_with("/auth/pages/"));
    }
}
