//! What is decided about a request, and the permit that lets it on.
//!
//! A [`Passage`] has private fields and is made in this module only, after the rules were
//! asked: without one there is neither an upstream nor identity headers. It must not know
//! how a refusal is written.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::changes::HeaderChanges;
use super::headers::{Circumstances, Strip};
use super::route::{Route, RouteLabel};
use super::rules::Rules;
use crate::config::{Access, Mode};
use crate::identity::{
    Assertions, BasicFault, CredentialKind, Identity, JwtFault, Reach, Rejection,
};

/// A request as it came in, before anything is believed.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The request target byte for byte: origin-form, absolute-form or `*`.
    pub target: &'a [u8],
    /// `Host`, or `:authority`.
    pub host: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The connection's peer, `None` on unix sockets.
    pub peer: Option<IpAddr>,
}

/// Who sends a request on once it may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forwards {
    /// We, to the route's upstream.
    Us,
    /// The proxy that asks about it. It knows where to; the route needs no upstream.
    Another,
}

/// A verdict, and what logs and metrics want to know of it.
#[derive(Debug)]
pub struct Judged {
    /// What becomes of the request.
    pub verdict: Verdict,
    /// What kind of credential was looked at.
    pub presented: Presented,
    /// How far it had to be gone to know whose it is.
    pub reach: Reach,
    /// Why it would have been refused, had its route not been there to observe.
    pub observed: Option<Refusal>,
    /// Where a refused request was going, and who sent it.
    pub(super) refused: Option<(RouteRef, Option<Arc<Identity>>)>,
}

/// What kind of credential was looked at; on anonymous routes none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// None, or nobody looked.
    None,
    /// An opaque token.
    Opaque,
    /// A JWT.
    Jwt,
    /// A name with a password or a token.
    Basic,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// To the upstream, under this permit.
    Forward(Passage),
    /// Answered by the gateway itself.
    Serve(Local),
    /// Refused.
    Refuse(Refusal),
}

/// What the gateway answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    /// `{auth_prefix}/*`, with the canonical path and query.
    Api(String),
    /// `/.well-known/jwks.json`.
    KeySet,
    /// Below the reserved prefix: what follows it, with the query.
    Reserved(String),
}

/// Why a request does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Ambiguous or malformed request: 400, with a reason for the client.
    BadRequest(&'static str),
    /// A method that no upstream gets (TRACE, TRACK, CONNECT): 405.
    Method,
    /// No route matches: 404.
    NoRoute,
    /// 401, in the recorded bodies.
    Unauthenticated(Rejection),
    /// 403: known, but not allowed; or the route denies everybody.
    Forbidden,
    /// 429 + Retry-After: too many names and passwords were tried.
    Throttled(Duration),
    /// 503 + Retry-After: the credential cannot be checked at present.
    Unavailable,
}

/// One route of one snapshot of the rules.
#[derive(Debug, Clone)]
pub(super) struct RouteRef {
    pub(super) rules: Arc<Rules>,
    pub(super) index: usize,
}

/// A permit: only the gate makes it; without it there is neither an upstream nor identity headers.
#[derive(Debug)]
pub struct Passage {
    route: RouteRef,
    upstream: Option<Arc<str>>,
    target: String,
    rewritten: bool,
    identity: Option<Arc<Identity>>,
    /// Signed about the identity, for this upstream.
    assertion: Option<HeaderValue>,
    circumstances: Circumstances,
}

/// What a passage rests on, so that it can be asked for again while the request lasts.
#[derive(Debug, Clone)]
pub struct Grounds {
    pub(super) route: RouteRef,
    pub(super) authorization: HeaderValue,
    pub(super) peer: Option<IpAddr>,
}

// === impl Judged ===

impl Judged {
    pub(super) fn plain(verdict: Verdict) -> Self {
        Self {
            verdict,
            presented: Presented::None,
            reach: Reach::default(),
            observed: None,
            refused: None,
        }
    }

    /// The route that matched, also where the request was refused.
    #[must_use]
    pub fn route(&self) -> Option<&RouteLabel> {
        match &self.verdict {
            Verdict::Forward(passage) => Some(passage.route()),
            Verdict::Serve(_) | Verdict::Refuse(_) => {
                self.refused.as_ref().map(|(route, _)| route.get().label())
            }
        }
    }

    /// Who asked, also where he was refused.
    #[must_use]
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match &self.verdict {
            Verdict::Forward(passage) => passage.identity(),
            Verdict::Serve(_) | Verdict::Refuse(_) => {
                self.refused.as_ref().and_then(|(_, identity)| identity.as_ref())
            }
        }
    }

    /// One word of a closed list for logs and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        if let Some(refusal) = &self.observed {
            return refusal.reason();
        }
        match &self.verdict {
            Verdict::Forward(passage) if passage.identity.is_some() => "authenticated",
            Verdict::Forward(passage) if passage.route().access == Access::Anonymous => "anonymous",
            Verdict::Forward(_) => "no_credential",
            Verdict::Serve(_) => "local",
            Verdict::Refuse(refusal) => refusal.reason(),
        }
    }
}

// === impl Presented ===

impl Presented {
    /// `none`, `opaque`, `jwt` or `basic`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Opaque => "opaque",
            Self::Jwt => "jwt",
            Self::Basic => "basic",
        }
    }
}

impl From<CredentialKind> for Presented {
    fn from(kind: CredentialKind) -> Self {
        match kind {
            CredentialKind::Opaque => Self::Opaque,
            CredentialKind::Jwt => Self::Jwt,
            CredentialKind::Basic => Self::Basic,
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// One word of a closed list for logs and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::Method => "method",
            Self::NoRoute => "no_route",
            Self::Unauthenticated(rejection) => rejection_reason(rejection),
            Self::Forbidden => "forbidden",
            Self::Throttled(_) => "throttled",
            Self::Unavailable => "unavailable",
        }
    }
}

fn rejection_reason(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::Missing => "no_credential",
        Rejection::Empty
        | Rejection::Spaces
        | Rejection::Repeated
        | Rejection::Basic(BasicFault::Empty | BasicFault::Spaces | BasicFault::Encoding) => {
            "malformed"
        }
        Rejection::Basic(BasicFault::Refused) => "wrong_password",
        Rejection::UnknownToken => "unknown_token",
        Rejection::InactiveOwner | Rejection::UserInactive => "user_inactive",
        Rejection::UserNotFound => "user_not_found",
        Rejection::PasswordChanged => "password_changed",
        Rejection::Jwt(JwtFault::Expired) => "expired",
        Rejection::Jwt(JwtFault::Blacklisted) => "revoked",
        Rejection::Jwt(JwtFault::WrongType) => "wrong_type",
        Rejection::Jwt(
            JwtFault::Invalid | JwtFault::NoExpiry | JwtFault::NoId | JwtFault::NoType,
        )
        | Rejection::NoUserClaim => "invalid_token",
    }
}

// === impl RouteRef ===

impl RouteRef {
    pub(super) fn get(&self) -> &Route {
        self.rules.routes.get(self.index)
    }
}

// === impl Passage ===

impl Passage {
    /// `None` if we are to forward it and the route leads nowhere. `target`: what the rules saw.
    pub(super) fn new(
        route: RouteRef,
        target: String,
        rewritten: bool,
        identity: Option<Arc<Identity>>,
        trusted_peer: bool,
        forwards: Forwards,
    ) -> Option<Self> {
        let upstream = route.get().upstream.clone();
        if upstream.is_none() && forwards == Forwards::Us {
            return None;
        }
        let (target, rewritten) = match &route.get().prefix {
            Some(prefix) => (prefix.strip(&target)?, true),
            None => (target, rewritten),
        };
        let label = route.get().label();
        let keeps_authorization =
            label.access == Access::Anonymous || route.get().forward_credential;
        let circumstances = Circumstances { trusted_peer, keeps_authorization };
        Some(Self { route, upstream, target, rewritten, identity, assertion: None, circumstances })
    }

    /// The same for a request that is refused, on a route that only observes. Whatever it came
    /// with may be the back end's own to judge.
    pub(super) fn unjudged(mut self) -> Self {
        self.circumstances.keeps_authorization = true;
        self
    }

    /// Has it signed who asks; for nobody else than the upstream.
    pub(super) fn vouch(&mut self, assertions: &Assertions) {
        let about = self.identity.as_ref().zip(self.upstream.as_ref());
        self.assertion = about.map(|(identity, upstream)| assertions.of(identity, upstream));
    }

    /// The name of the upstream; always there on a request that we forward.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        self.upstream.as_deref()
    }

    /// The one target (path and query) that the rules saw and the upstream will see, but for
    /// the route's `strip_prefix`.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether [`Passage::target`] differs from what the client sent, so that the request
    /// line must be changed.
    #[must_use]
    pub fn is_rewritten(&self) -> bool {
        self.rewritten
    }

    /// Who asks; none on anonymous routes.
    #[must_use]
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// The route.
    #[must_use]
    pub fn route(&self) -> &RouteLabel {
        self.route.get().label()
    }

    /// What was taken off the path (`strip_prefix`).
    #[must_use]
    pub fn prefix(&self) -> Option<&HeaderValue> {
        self.route.get().prefix.as_ref().map(|prefix| &prefix.value)
    }

    /// What the route changes in the request's head.
    #[must_use]
    pub fn request_changes(&self) -> &HeaderChanges {
        &self.route.get().request_changes
    }

    /// What the route changes in the answer's head.
    #[must_use]
    pub fn response_changes(&self) -> &HeaderChanges {
        &self.route.get().response_changes
    }

    /// Bytes of a body, if the route has a bound of its own; 0: none.
    #[must_use]
    pub fn body_bytes(&self) -> Option<u64> {
        self.route.get().body_bytes
    }

    /// How long the upstream may pause, if the route has a bound of its own.
    #[must_use]
    pub fn upstream_read_timeout(&self) -> Option<Duration> {
        self.route.get().upstream_read_timeout
    }

    /// What it rests on; `None` where nobody's credential counted, or it makes no difference.
    /// `claim`: what it was given for.
    #[must_use]
    pub fn grounds(&self, claim: &Claim<'_>) -> Option<Grounds> {
        self.identity.as_ref().filter(|_| self.route().mode == Mode::Enforce)?;
        let authorization = claim.headers.get(AUTHORIZATION)?.clone();
        Some(Grounds { route: self.route.clone(), authorization, peer: claim.peer })
    }

    /// Whether a client's header must not reach the upstream.
    #[must_use]
    pub fn strips(&self, name: &HeaderName) -> bool {
        self.strip(name).is_some()
    }

    /// Likewise, with the reason.
    #[must_use]
    pub fn strip(&self, name: &HeaderName) -> Option<Strip<'_>> {
        self.route.rules.headers.strip(name, self.circumstances)
    }

    /// Whether a header of the upstream's answer stays here: nobody but us speaks in our
    /// names, and who a user is, is no answer to him.
    #[must_use]
    pub fn strips_from_answer(&self, name: &HeaderName) -> bool {
        self.route.rules.headers.is_ours(name)
    }

    /// Every name in which we tell who asks, with its value, or an empty one: for a proxy that
    /// writes them over what the client sent, and must not leave any of that standing.
    pub fn identity_answer(&self) -> impl Iterator<Item = (&HeaderName, HeaderValue)> {
        let headers = &self.route.rules.headers;
        headers.identity_answer(self.identity.as_deref(), self.assertion.as_ref())
    }

    /// The identity headers, to be written last.
    pub fn identity_headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let headers = &self.route.rules.headers;
        let identity = self.identity.iter().flat_map(|identity| headers.identity_headers(identity));
        identity.chain(headers.assertion().zip(self.assertion.as_ref()))
    }
}
