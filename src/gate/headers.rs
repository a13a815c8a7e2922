//! What becomes of a request's headers: which are taken off, which are written.
//!
//! Joins the reserved names with the settings. It must not know routes; values that are
//! written come ready-made from the identity.

use http::header::{AUTHORIZATION, CONNECTION, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::BuildError;
use super::names::{Kind, ReservedNames};
use crate::config::{IdentityHeaders, UnderscoreHeaders};
use crate::identity::Identity;

/// Why a header of the client does not reach the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strip<'a> {
    /// An identity header, in whatever spelling; the name (or family) it was taken for, of
    /// which there is a bounded number.
    Identity(&'a str),
    /// A proxy's word from somebody who is no trusted proxy.
    Forwarding,
    /// Looks like a framing or connection header, and is none.
    LookAlike,
    /// Has an underscore (`limits.underscore_headers`).
    Underscore,
    /// The credential that was checked stays with the gateway.
    Credential,
}

/// What decides for one request, besides the names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    pub(super) trusted_peer: bool,
    pub(super) keeps_authorization: bool,
}

/// The header rules of one configuration.
#[derive(Debug)]
pub(super) struct HeaderRules {
    reserved: ReservedNames,
    drop_underscores: bool,
    user: Option<HeaderName>,
    user_id: Option<HeaderName>,
    email: Option<HeaderName>,
    groups: Option<HeaderName>,
    assertion: Option<HeaderName>,
}

impl HeaderRules {
    pub(super) fn new(
        own: &IdentityHeaders,
        underscores: UnderscoreHeaders,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            reserved: ReservedNames::new(own)?,
            drop_underscores: underscores == UnderscoreHeaders::Drop,
            user: header_name(&own.user)?,
            user_id: header_name(&own.user_id)?,
            email: header_name(&own.email)?,
            groups: header_name(&own.groups)?,
            assertion: header_name(&own.assertion)?,
        })
    }

    /// Whether and why a client's header is taken off.
    pub(super) fn strip(&self, name: &HeaderName, given: Circumstances) -> Option<Strip<'_>> {
        if *name == AUTHORIZATION {
            return (!given.keeps_authorization).then_some(Strip::Credential);
        }
        if *name == PROXY_AUTHORIZATION {
            return Some(Strip::Credential);
        }
        if let Some(entry) = self.reserved.find(name.as_str().as_bytes()) {
            match entry.kind {
                Kind::Identity => return Some(Strip::Identity(&entry.name)),
                Kind::Forwarding if given.trusted_peer && entry.is_spelled_as(name) => {}
                Kind::Forwarding => return Some(Strip::Forwarding),
                Kind::Exact if entry.is_spelled_as(name) => {}
                Kind::Exact => return Some(Strip::LookAlike),
            }
        }
        let underscore = self.drop_underscores && name.as_str().contains('_');
        underscore.then_some(Strip::Underscore)
    }

    /// Whether `Connection` names a header that the next hop must not be made to drop.
    pub(super) fn connection_nominates(&self, headers: &HeaderMap) -> bool {
        headers.get_all(CONNECTION).iter().any(|value| {
            let value = value.as_bytes();
            let common =
                value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close");
            !common
                && value.split(|b| *b == b',').any(|word| self.reserved.refuses_nomination(word))
        })
    }

    /// One of the names in which we tell who asks.
    pub(super) fn is_ours(&self, name: &HeaderName) -> bool {
        let own = [&self.user, &self.user_id, &self.email, &self.groups, &self.assertion];
        own.into_iter().any(|own| own.as_ref() == Some(name))
            || name.as_str().starts_with("x-portcullis-")
    }

    /// All of our names, with an empty value where there is nothing to tell.
    pub(super) fn identity_answer<'a>(
        &'a self,
        identity: Option<&Identity>,
        assertion: Option<&HeaderValue>,
    ) -> impl Iterator<Item = (&'a HeaderName, HeaderValue)> {
        let values = identity.map(|identity| &identity.values);
        [
            (self.user.as_ref(), values.map(|values| values.user.clone())),
            (self.user_id.as_ref(), values.map(|values| values.user_id.clone())),
            (self.email.as_ref(), values.and_then(|values| values.email.clone())),
            (self.groups.as_ref(), values.and_then(|values| values.groups.clone())),
            (self.assertion.as_ref(), assertion.cloned()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name?, value.unwrap_or(HeaderValue::from_static("")))))
    }

    /// The name in which a signed word is sent.
    pub(super) fn assertion(&self) -> Option<&HeaderName> {
        self.assertion.as_ref()
    }

    /// The headers that tell an upstream who asks.
    pub(super) fn identity_headers<'a>(
        &'a self,
        identity: &'a Identity,
    ) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        let values = &identity.values;
        let pairs = [
            self.user.as_ref().zip(Some(&values.user)),
            self.user_id.as_ref().zip(Some(&values.user_id)),
            self.email.as_ref().zip(values.email.as_ref()),
            self.groups.as_ref().zip(values.groups.as_ref()),
        ];
        pairs.into_iter().flatten()
    }
}

fn header_name(name: &str) -> Result<Option<HeaderName>, BuildError> {
    if name.is_empty() {
        return Ok(None);
    }
    let parsed = HeaderName::from_bytes(name.as_bytes());
    parsed.map(Some).map_err(|_| BuildError::HeaderName(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{identity_headers, member};
    use super::*;

    const STRANGER: Circumstances =
        Circumstances { trusted_peer: false, keeps_authorization: false };
    const PROXY: Circumstances = Circumstances { trusted_peer: true, keeps_authorization: false };
    const ANONYMOUS: Circumstances =
        Circumstances { trusted_peer: false, keeps_authorization: true };

    fn rules() -> HeaderRules {
        HeaderRules::new(&identity_headers(), UnderscoreHeaders::Drop).unwrap()
    }

    fn strip(name: &str, given: Circumstances) -> Option<String> {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        rules().strip(&name, given).map(|strip| format!("{strip:?}"))
    }

    #[test]
    fn identity_headers_are_stripped_from_everybody() {
        for given in [STRANGER, PROXY, ANONYMOUS] {
            for name in [
                "x-forwarded-user",
                "x_forwarded_user",
                "X.Forwarded.User",
                "x-forwarded-user-email",
            ] {
                assert_eq!(
                    strip(name, given).as_deref(),
                    Some("Identity(\"x-forwarded-user\")"),
                    "{name}"
                );
            }
            assert_eq!(strip("Remote-User", given).as_deref(), Some("Identity(\"remote-\")"));
            assert_eq!(strip("x-corp-mail", given).as_deref(), Some("Identity(\"x-corp-mail\")"));
        }
    }

    #[test]
    fn forwarding_headers_are_believed_from_trusted_proxies_in_their_one_spelling() {
        for name in
            ["x-forwarded-for", "x-forwarded-prefix", "forwarded", "x-real-ip", "x-original-url"]
        {
            assert_eq!(strip(name, STRANGER).as_deref(), Some("Forwarding"), "{name}");
            assert_eq!(strip(name, PROXY), None, "{name}");
        }
        for name in
            ["x.forwarded.for", "x_forwarded_for", "x-real.ip", "x-original-url.", "xforwardedfor"]
        {
            assert_eq!(strip(name, PROXY).as_deref(), Some("Forwarding"), "{name}");
        }
    }

    #[test]
    fn look_alikes_of_framing_headers_are_stripped_and_the_true_ones_are_not() {
        for name in [
            "content_length",
            "transfer.encoding",
            "transfer-encoding_",
            "con-nection",
            "ho-st",
            "t_e",
        ] {
            assert_eq!(strip(name, PROXY).as_deref(), Some("LookAlike"), "{name}");
        }
        for name in
            ["content-length", "transfer-encoding", "connection", "host", "te", "upgrade", "cookie"]
        {
            assert_eq!(strip(name, STRANGER), None, "{name}");
        }
    }

    #[test]
    fn the_checked_credential_stays_here() {
        assert_eq!(strip("authorization", STRANGER).as_deref(), Some("Credential"));
        assert_eq!(strip("authorization", ANONYMOUS), None);
        assert_eq!(strip("author_ization", ANONYMOUS).as_deref(), Some("LookAlike"));
        assert_eq!(strip("proxy-authorization", ANONYMOUS).as_deref(), Some("Credential"));
    }

    #[test]
    fn underscores_are_dropped_unless_allowed() {
        assert_eq!(strip("my_header", STRANGER).as_deref(), Some("Underscore"));
        assert_eq!(strip("my-header", STRANGER), None);
        let rules = HeaderRules::new(&identity_headers(), UnderscoreHeaders::Allow).unwrap();
        assert_eq!(rules.strip(&HeaderName::from_static("my_header"), STRANGER), None);
        let spoofed = rules.strip(&HeaderName::from_static("x_forwarded_user"), STRANGER);
        assert_eq!(spoofed, Some(Strip::Identity("x-forwarded-user")));
    }

    #[test]
    fn connection_may_name_what_belongs_to_the_connection_only() {
        let nominates = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(CONNECTION, HeaderValue::from_static("close"));
            headers.append(CONNECTION, HeaderValue::from_str(value).unwrap());
            rules().connection_nominates(&headers)
        };
        for value in [
            "keep-alive",
            "Close",
            "Upgrade",
            "TE, close",
            "Upgrade, HTTP2-Settings",
            "",
            ",",
            "foo",
        ] {
            assert!(!nominates(value), "{value}");
        }
        for value in [
            "close, X-Forwarded-User",
            "x_forwarded_user",
            "Authorization",
            "keep-alive,AUTHORIZATION",
            "close,\tx-corp-mail ",
            "X-Portcullis-Foo",
            "Content-Length",
            "Host",
            "X-Forwarded-For",
        ] {
            assert!(nominates(value), "{value}");
        }
    }

    #[test]
    fn our_own_names_are_known_in_answers_and_others_are_the_upstreams_business() {
        let is_ours = |name| rules().is_ours(&HeaderName::from_static(name));
        for name in ["x-forwarded-user", "x-corp-mail", "x-portcullis-anything"] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["remote-user", "x-forwarded-email", "content-type", "set-cookie"] {
            assert!(!is_ours(name), "{name}");
        }
    }

    #[test]
    fn identity_is_told_in_the_configured_names() {
        let rules = rules();
        let ada = member("ada", &["editors"]);
        let told: Vec<_> =
            rules.identity_headers(&ada).map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(
            told,
            [
                ("x-forwarded-user", "ada"),
                ("x-forwarded-user-id", "7"),
                ("x-forwarded-groups", "editors")
            ]
        );
    }
}
