//! Everything that decides, from one snapshot of the settings, without asking anybody.
//!
//! Judging has two halves with one question between them: [`Rules::admit`] settles what can
//! be settled without knowing who asks, [`Pending::settle`] the rest. So both are tested by
//! plain calls. It must not know how identities are proved.

use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Method};

use super::BuildError;
use super::access::{Asking, Denied, Wants};
use super::forwarded::Forwarder;
use super::headers::HeaderRules;
use super::host::Authority;
use super::path::CanonicalPath;
use super::route::Accepts;
use super::routes::{Found, RouteTable};
use super::target::Target;
use super::verdict::{
    Claim, Forwards, Judged, Local, Passage, Presented, Refusal, RouteRef, Verdict,
};
use crate::config::{Mode, Settings};
use crate::identity::Identity;

const KEY_SET: &str = "/.well-known/jwks.json";

/// The rules of one snapshot of the settings.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) routes: RouteTable,
    pub(super) headers: HeaderRules,
    pub(super) forwarder: Forwarder,
    pub(super) auth_prefix: Box<str>,
    pub(super) reserved_prefix: Box<str>,
}

/// A request that is well-formed and has a route.
#[derive(Debug)]
pub(super) enum Admission<'a> {
    /// Nobody needs to be asked.
    Settled(Judged),
    /// Who asks decides.
    Pending(Pending<'a>),
}

/// A request that waits for word of who asks.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    route: RouteRef,
    target: Target<'a>,
    trusted_peer: bool,
    forwards: Forwards,
}

impl Rules {
    pub(super) fn new(settings: &Settings) -> Result<Self, BuildError> {
        Ok(Self {
            routes: RouteTable::new(&settings.routes)?,
            headers: HeaderRules::new(
                &settings.identity_headers,
                settings.limits.underscore_headers,
            )?,
            forwarder: Forwarder::new(&settings.server.trusted_proxies),
            auth_prefix: prefix(&settings.server.auth_prefix)?,
            reserved_prefix: prefix(&settings.server.reserved_prefix)?,
        })
    }

    /// Judges what can be judged from the request alone.
    pub(super) fn admit<'a>(
        self: &Arc<Self>,
        claim: &Claim<'a>,
        forwards: Forwards,
    ) -> Admission<'a> {
        match self.try_admit(claim, forwards) {
            Ok(admission) => admission,
            Err(refusal) => Admission::Settled(Judged::plain(Verdict::Refuse(refusal))),
        }
    }

    fn try_admit<'a>(
        self: &Arc<Self>,
        claim: &Claim<'a>,
        forwards: Forwards,
    ) -> Result<Admission<'a>, Refusal> {
        if is_refused_method(claim.method) {
            return Err(Refusal::Method);
        }
        let host = authority(claim)?;
        let target =
            Target::parse(claim.target, &host).map_err(|e| Refusal::BadRequest(e.reason()))?;
        self.check_headers(claim.headers)?;
        if let Some(local) = self.local(&target) {
            return Ok(Admission::Settled(Judged::plain(Verdict::Serve(local))));
        }
        let index = match self.routes.find(target.path(), &host, claim.method) {
            Found::Route(index) => index,
            Found::Nothing => return Err(Refusal::NoRoute),
            Found::Ambiguous => {
                return Err(Refusal::BadRequest("The path can be read as another one."));
            }
        };
        let pending = Pending {
            route: RouteRef { rules: Arc::clone(self), index },
            target,
            trusted_peer: self.forwarder.trusts(claim.peer),
            forwards,
        };
        Ok(match pending.route.get().rule.wants() {
            Wants::WhoAsks => Admission::Pending(pending),
            Wants::Nothing | Wants::Nobody => {
                Admission::Settled(pending.settle(Presented::None, Asking::Nobody))
            }
        })
    }

    /// What two servers could take differently is refused on every route.
    fn check_headers(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
            return Err(Refusal::BadRequest("The request has several Authorization headers."));
        }
        if self.headers.connection_nominates(headers) {
            return Err(Refusal::BadRequest("The Connection header names a reserved header."));
        }
        Ok(())
    }

    fn local(&self, target: &Target<'_>) -> Option<Local> {
        let path = target.path().as_str();
        if is_below(path, &self.auth_prefix) {
            Some(Local::Api(target.to_text()))
        } else if is_below(path, &self.reserved_prefix) {
            Some(Local::Reserved(target.to_text().split_off(self.reserved_prefix.len())))
        } else {
            (path == KEY_SET).then_some(Local::KeySet)
        }
    }
}

impl Pending<'_> {
    /// Which credentials count here.
    pub(super) fn accepts(&self) -> Accepts {
        self.route.get().label().accepts
    }

    /// Judges with what was found out about who asks.
    pub(super) fn settle(self, presented: Presented, asking: Asking) -> Judged {
        match self.route.get().rule.judge(asking) {
            Ok(identity) => match self.passage(identity) {
                Some(passage) => Judged { presented, ..Judged::plain(Verdict::Forward(passage)) },
                None => self.refuse(presented, Refusal::NoRoute, None),
            },
            Err(Denied { refusal, identity }) if self.only_observes(&refusal) => {
                match self.passage(identity.clone()) {
                    Some(passage) => {
                        let verdict = Verdict::Forward(passage.unjudged());
                        Judged { presented, observed: Some(refusal), ..Judged::plain(verdict) }
                    }
                    None => self.refuse(presented, refusal, identity),
                }
            }
            Err(Denied { refusal, identity }) => self.refuse(presented, refusal, identity),
        }
    }

    fn passage(&self, identity: Option<Arc<Identity>>) -> Option<Passage> {
        let (target, rewritten) = (self.target.to_text(), self.target.is_rewritten());
        let route = self.route.clone();
        Passage::new(route, target, rewritten, identity, self.trusted_peer, self.forwards)
    }

    fn refuse(
        self,
        presented: Presented,
        refusal: Refusal,
        identity: Option<Arc<Identity>>,
    ) -> Judged {
        let refused = Some((self.route, identity));
        Judged { presented, refused, ..Judged::plain(Verdict::Refuse(refusal)) }
    }

    /// What two servers could read differently is refused on every route.
    fn only_observes(&self, refusal: &Refusal) -> bool {
        let is_about_who_asks = matches!(
            refusal,
            Refusal::Unauthenticated(_)
                | Refusal::Forbidden
                | Refusal::Throttled(_)
                | Refusal::Unavailable
        );
        is_about_who_asks && self.route.get().label().mode == Mode::Observe
    }
}

/// TRACE and TRACK echo headers that we wrote; CONNECT makes tunnels past every rule.
fn is_refused_method(method: &Method) -> bool {
    let refused = ["TRACE", "TRACK", "CONNECT"];
    // The common ones are told without comparing text.
    !matches!(*method, Method::GET | Method::POST | Method::HEAD)
        && refused.iter().any(|name| method.as_str().eq_ignore_ascii_case(name))
}

/// The one host of the request.
fn authority<'a>(claim: &Claim<'a>) -> Result<Authority<'a>, Refusal> {
    let bad = Refusal::BadRequest;
    let host = claim.host.ok_or(bad("The request names no host."))?;
    let mut lines = claim.headers.get_all(HOST).iter();
    let same = lines.next().is_none_or(|l| l.as_bytes().eq_ignore_ascii_case(host.as_bytes()));
    if !same || lines.next().is_some() {
        return Err(bad("The request names several hosts."));
    }
    Authority::parse(host).ok_or(bad("The request names a host that cannot be one."))
}

/// Prefixes are kept without their last slash.
fn prefix(text: &str) -> Result<Box<str>, BuildError> {
    let path = CanonicalPath::parse(text.as_bytes())
        .ok()
        .filter(|path| path.as_str() != "/")
        .ok_or_else(|| BuildError::Prefix(text.to_owned()))?;
    Ok(path.as_str().trim_end_matches('/').into())
}

/// On segment borders.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
