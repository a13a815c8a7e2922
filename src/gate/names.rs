//! Header names that a client may not send, in any spelling.
//!
//! CGI, WSGI, Rack and PHP fold `X-Forwarded-User`, `x_forwarded_user` and, some of them,
//! `X.Forwarded.User` into one variable. So names are compared by their letters and digits
//! alone. It must not know requests, and nothing of values.

use http::HeaderName;

use super::BuildError;
use super::well_known::{FORWARDING, FORWARDING_FAMILIES, IDENTITY, IDENTITY_FAMILIES};
use crate::config::IdentityHeaders;

/// Longest name that can be reserved, folded.
const MAX_FOLDED: usize = 96;

/// What a reserved name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Tells an upstream who asks: nobody may send it.
    Identity,
    /// Tells where a request came from or what it was before a proxy changed it: only
    /// trusted proxies may send it.
    Forwarding,
    /// Frames the message, belongs to one connection or carries a credential: good in its
    /// one spelling, never in another.
    Exact,
}

/// Good in this spelling only; and whether `Connection` may name it.
const EXACT: &[(&str, Nomination)] = &[
    ("Host", Nomination::Refused),
    ("Content-Length", Nomination::Refused),
    ("Transfer-Encoding", Nomination::Refused),
    ("Content-Type", Nomination::Refused),
    ("Content-Encoding", Nomination::Refused),
    ("Authorization", Nomination::Refused),
    ("Cookie", Nomination::Allowed),
    ("Connection", Nomination::Allowed),
    ("Keep-Alive", Nomination::Allowed),
    ("Proxy-Connection", Nomination::Allowed),
    ("Proxy-Authorization", Nomination::Allowed),
    ("Proxy-Authenticate", Nomination::Allowed),
    ("Te", Nomination::Allowed),
    ("Trailer", Nomination::Allowed),
    ("Upgrade", Nomination::Allowed),
    ("Http2-Settings", Nomination::Allowed),
    ("Expect", Nomination::Allowed),
];

/// Whether `Connection` may name a header, and so have the next hop drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nomination {
    Allowed,
    Refused,
}

/// All reserved names. Looking one up allocates nothing.
#[derive(Debug)]
pub(super) struct ReservedNames {
    /// Open addressing by the hash of the folded name; at most a quarter is filled.
    slots: Vec<Option<Entry>>,
    families: Vec<Entry>,
    /// First folded bytes of the families, as bits from `a`.
    family_letters: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    folded: Box<[u8]>,
    /// In small letters.
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
    nomination: Nomination,
}

impl ReservedNames {
    pub(super) fn new(own: &IdentityHeaders) -> Result<Self, BuildError> {
        let own = [&own.user, &own.user_id, &own.email, &own.groups, &own.assertion];
        let own = own.into_iter().filter(|name| !name.is_empty()).map(String::as_str);
        let mut names = Self { slots: vec![None; 512], families: Vec::new(), family_letters: 0 };
        // The first to claim a name keeps it, and our own come first.
        for name in own {
            if fold(name.as_bytes()).is_none() {
                return Err(BuildError::HeaderName(name.to_owned()));
            }
            names.add(name, Kind::Identity, Nomination::Refused);
        }
        for name in IDENTITY {
            names.add(name, Kind::Identity, Nomination::Refused);
        }
        for (name, nomination) in EXACT {
            names.add(name, Kind::Exact, *nomination);
        }
        for name in FORWARDING {
            names.add(name, Kind::Forwarding, Nomination::Refused);
        }
        for name in IDENTITY_FAMILIES {
            names.add_family(name, Kind::Identity);
        }
        for name in FORWARDING_FAMILIES {
            names.add_family(name, Kind::Forwarding);
        }
        Ok(names)
    }

    fn add(&mut self, name: &str, kind: Kind, nomination: Nomination) {
        let Some(folded) = fold(name.as_bytes()) else { return };
        let entry = Entry::new(name, &folded, kind, nomination);
        let at = self.slot(&folded);
        self.slots[at].get_or_insert(entry);
    }

    fn add_family(&mut self, name: &str, kind: Kind) {
        let Some(folded) = fold(name.as_bytes()) else { return };
        self.family_letters |= letter(folded.bytes[0]);
        self.families.push(Entry::new(name, &folded, kind, Nomination::Refused));
    }

    /// The entry that a name folds to, if it is reserved.
    pub(super) fn find(&self, name: &[u8]) -> Option<&Entry> {
        let Some(folded) = fold(name) else { return self.find_family(name) };
        if let Some(entry) = &self.slots[self.slot(&folded)] {
            return Some(entry);
        }
        self.family_of(folded.as_bytes())
    }

    /// An over-long name can still belong to a family.
    fn find_family(&self, name: &[u8]) -> Option<&Entry> {
        let folded: Vec<u8> =
            name.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect();
        self.family_of(&folded)
    }

    fn family_of(&self, folded: &[u8]) -> Option<&Entry> {
        if self.family_letters & letter(*folded.first()?) == 0 {
            return None;
        }
        self.families.iter().find(|family| folded.starts_with(&family.folded))
    }

    /// Where the folded name is, or would be put.
    fn slot(&self, folded: &Folded) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = folded.hash as usize & mask;
        while let Some(entry) = &self.slots[at] {
            if *entry.folded == *folded.as_bytes() {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }

    /// Whether `Connection` must not name this header.
    pub(super) fn refuses_nomination(&self, name: &[u8]) -> bool {
        self.find(name).is_some_and(|entry| entry.nomination == Nomination::Refused)
    }
}

impl Entry {
    fn new(name: &str, folded: &Folded, kind: Kind, nomination: Nomination) -> Self {
        let name = name.to_ascii_lowercase().into();
        Self { folded: folded.as_bytes().into(), name, kind, nomination }
    }

    /// Whether a name (in small letters) is the very one, and no look-alike; of a family:
    /// begins with its very letters and has nothing but letters, digits and dashes.
    pub(super) fn is_spelled_as(&self, name: &HeaderName) -> bool {
        name.as_str() == &*self.name
            || (self.kind == Kind::Forwarding
                && name.as_str().starts_with(&*self.name)
                && name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    }
}

/// The letters and digits of a name.
struct Folded {
    bytes: [u8; MAX_FOLDED],
    length: usize,
    hash: u32,
}

impl Folded {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// `None`: nothing is left, or more than any reserved name has.
fn fold(name: &[u8]) -> Option<Folded> {
    let mut folded = Folded { bytes: [0; MAX_FOLDED], length: 0, hash: 0x811c_9dc5 };
    for byte in name {
        if byte.is_ascii_alphanumeric() {
            let byte = byte.to_ascii_lowercase();
            *folded.bytes.get_mut(folded.length)? = byte;
            folded.length += 1;
            folded.hash = (folded.hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    (folded.length > 0).then_some(folded)
}

/// A bit for each letter; digits share one.
fn letter(byte: u8) -> u32 {
    1 << byte.checked_sub(b'a').unwrap_or(31).min(31)
}

#[cfg(test)]
mod tests {
    use super::super::sample::identity_headers;
    use super::*;

    fn kind(name: &str) -> Option<Kind> {
        ReservedNames::new(&identity_headers()).unwrap().find(name.as_bytes()).map(|e| e.kind)
    }

    #[test]
    fn every_spelling_of_an_identity_header_is_found() {
        for name in [
            "X-Forwarded-User",
            "x-forwarded-user",
            "X_Forwarded_User",
            "x.forwarded-USER",
            "x!forwarded!user",
            "xforwardeduser",
            "X-Corp-Mail",
            "x_corp.mail",
            "Remote-User",
            "X-Portcullis-Anything",
            "x_portcullis_assertion",
            "X-Auth-Request-Access-Token",
            "X-authentik-uid",
            "Cf-Access-Jwt-Assertion",
            "Proxy",
        ] {
            assert_eq!(kind(name), Some(Kind::Identity), "{name}");
        }
        let long = format!("X-Portcullis-{}", "a".repeat(200));
        assert_eq!(kind(&long), Some(Kind::Identity));
    }

    #[test]
    fn the_well_known_identity_names_are_all_reserved() {
        let names = "X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username \
            X-Forwarded-Access-Token X-Auth-Request-User X-Auth-Request-Email X-Auth-Request-Groups X-Auth-User \
            X-Auth-Username X-Auth-User-Id X-Auth-Email X-Auth-Groups X-Auth-Roles X-Auth-Scopes X-Auth-Subject \
            X-Auth-Staff X-Auth-Is-Staff Remote-User Remote-Email Remote-Groups Remote-Name X-Remote-User \
            X-Remote-Email X-Remote-Groups X-User-Id X-User X-Username X-User-Email X-User-Role X-User-Roles \
            X-Authenticated-User X-Authenticated-Userid X-WebAuth-User X-Webauth-Email X-Credential-Username \
            X-Consumer-Username X-Consumer-Id X-Pomerium-Claim-Email X-Pomerium-Jwt-Assertion \
            X-Goog-Authenticated-User-Email X-Amzn-Oidc-Identity X-Amzn-Oidc-Data X-MS-Client-Principal \
            X-MS-Client-Principal-Name X-Userinfo X-Jwt-Payload X-Token-Subject X-Original-User X-Consumer-Groups \
            X-Credential-Identifier X-Anonymous-Consumer X-Authentik-Username X-Authentik-Groups X-Authentik-Email \
            X-Authentik-Name X-Authentik-Uid X-Authentik-Jwt Cf-Access-Jwt-Assertion X-Goog-Iap-Jwt-Assertion";
        for name in names.split_whitespace() {
            assert_eq!(kind(name), Some(Kind::Identity), "{name}");
        }
    }

    #[test]
    fn forwarding_and_framing_headers_are_known() {
        for name in [
            "Forwarded",
            "X-Forwarded-For",
            "X-Forwarded-Prefix",
            "X-Real-IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "X-Forwarded",
        ] {
            assert_eq!(kind(name), Some(Kind::Forwarding), "{name}");
        }
        for name in ["Content-Length", "content_length", "transfer.encoding", "TE", "Authorization"]
        {
            assert_eq!(kind(name), Some(Kind::Exact), "{name}");
        }
    }

    #[test]
    fn everyday_headers_are_not_reserved() {
        for name in [
            "accept",
            "accept-encoding",
            "accept-language",
            "user-agent",
            "referer",
            "origin",
            "range",
            "if-none-match",
            "cache-control",
            "x-requested-with",
            "x-csrftoken",
            "x-request-id",
            "traceparent",
            "sec-fetch-mode",
            "x-user-agent",
            "x-forwar",
            "x",
            "-",
            "x-api-key",
            "idempotency-key",
        ] {
            assert_eq!(kind(name), None, "{name}");
        }
    }

    #[test]
    fn a_header_name_that_cannot_be_kept_is_refused() {
        let mut own = identity_headers();
        own.user = "a".repeat(200);
        assert!(ReservedNames::new(&own).is_err());
    }
}
