//! May this request pass? The one place that decides.
//!
//! Pure but for asking [`crate::identity`] who is asking: canonical path, routes, access
//! rules, identity headers. It must not know Pingora, sockets or how refusals are written.
//!
//! In reading order: [`Claim`] comes in, [`Target`] and [`Authority`] say what it asks for,
//! [`RouteTable`] where that leads, the route's rule who may, and [`Judged`] goes out.

mod verdict;

mod escapes;
mod path;
mod target;

mod host;

mod choice;
mod hosts;
mod near;
mod reading;
mod route;
mod routes;

mod access;

mod changes;
mod headers;
mod names;
mod well_known;

mod rules;

mod cors;
mod forwarded;
mod request_id;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

pub use self::changes::HeaderChanges;
pub use self::cors::CorsPolicy;
pub use self::forwarded::{
    Arrival, Forwarder, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PREFIX,
    X_FORWARDED_PROTO, X_REAL_IP, X_REQUEST_ID, address_value, client_address,
};
pub use self::headers::Strip;
pub use self::host::Authority;
pub use self::near::Miss;
pub use self::path::{CanonicalPath, PathFault};
pub use self::route::{Accepts, Route, RouteLabel, label};
pub use self::routes::{Found, RouteTable};
pub use self::target::{Target, TargetFault};
pub use self::verdict::{Claim, Grounds, Judged, Local, Passage, Presented, Refusal, Verdict};

use self::access::Asking;
use self::rules::{Admission, Rules};
use self::verdict::Forwards;
use crate::config::Settings;
use crate::identity::{
    self, Assertions, Authenticator, BasicAuthenticator, BasicCredential, BasicError, Credential,
    IdentifyError, Reach,
};

/// Why no gate can be built from the settings. `config` finds these first and says more.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A route that cannot be.
    #[error("{origin}: {what}")]
    Route {
        /// Where it was written.
        origin: String,
        /// What is wrong with it.
        what: String,
    },
    /// A name of `identity_headers` that is no header name, or too long.
    #[error("{0:?} cannot be an identity header")]
    HeaderName(String),
    /// `server.auth_prefix` or `server.reserved_prefix` is no path below the root.
    #[error("{0:?} cannot be a prefix of our own paths")]
    Prefix(String),
}

/// Decides. Built from one snapshot of the settings.
pub struct Gate {
    rules: Arc<Rules>,
    authenticator: Arc<Authenticator>,
    basic: Arc<BasicAuthenticator>,
    /// `None`: nobody asks for proof.
    assertions: Option<Assertions>,
}

impl Gate {
    /// Builds the gate.
    pub fn new(
        settings: &Settings,
        authenticator: Arc<Authenticator>,
        basic: Arc<BasicAuthenticator>,
    ) -> Result<Self, BuildError> {
        let assertions = (!settings.identity_headers.assertion.is_empty())
            .then(|| authenticator.assertions(&settings.tokens.jwt));
        Ok(Self { rules: Arc::new(Rules::new(settings)?), authenticator, basic, assertions })
    }

    /// What it has names and passwords proved by, for the next gate to go on with.
    #[must_use]
    pub fn basic(&self) -> &Arc<BasicAuthenticator> {
        &self.basic
    }

    /// Judges a request. No I/O unless a credential is seen for the first time.
    pub async fn judge(&self, claim: &Claim<'_>) -> Judged {
        self.decide(claim, Forwards::Us).await
    }

    /// Judges a request that another proxy has, and will send on itself: by the same rules, but
    /// the route needs no upstream.
    pub async fn judge_for_another(&self, claim: &Claim<'_>) -> Judged {
        self.decide(claim, Forwards::Another).await
    }

    /// Our names with empty values, for what passes without an identity.
    pub fn nobody_answer(&self) -> impl Iterator<Item = (&HeaderName, HeaderValue)> {
        self.rules.headers.identity_answer(None, None)
    }

    async fn decide(&self, claim: &Claim<'_>, forwards: Forwards) -> Judged {
        let pending = match self.rules.admit(claim, forwards) {
            Admission::Settled(judged) => return judged,
            Admission::Pending(pending) => pending,
        };
        let mut reach = Reach::default();
        let (presented, asking) =
            self.who_asks(pending.accepts(), claim.headers, claim.peer, &mut reach).await;
        let mut judged = Judged { reach, ..pending.settle(presented, asking) };
        if let (Some(assertions), Verdict::Forward(passage)) =
            (&self.assertions, &mut judged.verdict)
        {
            passage.vouch(assertions);
        }
        judged
    }

    /// Whether a passage that was given would be given again: its credential is still good, and
    /// its user still allowed. What cannot be known does not hold.
    pub async fn still_holds(&self, grounds: &Grounds) -> bool {
        let (route, mut headers) = (grounds.route.get(), HeaderMap::with_capacity(1));
        headers.insert(AUTHORIZATION, grounds.authorization.clone());
        let (accepts, reach) = (route.label().accepts, &mut Reach::default());
        let asking = self.who_asks(accepts, &headers, grounds.peer, reach).await.1;
        route.rule.judge(asking).is_ok()
    }

    async fn who_asks(
        &self,
        accepts: Accepts,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        reach: &mut Reach,
    ) -> (Presented, Asking) {
        match accepts {
            Accepts::Bearer => self.ask_for_token(headers, reach).await,
            Accepts::Basic => match self.ask_for_name(headers, peer, reach).await {
                Some(asking) => (Presented::Basic, asking),
                None => (Presented::None, Asking::Nobody),
            },
            Accepts::Both => match self.ask_for_name(headers, peer, reach).await {
                Some(asking) => (Presented::Basic, asking),
                None => self.ask_for_token(headers, reach).await,
            },
        }
    }

    async fn ask_for_token(&self, headers: &HeaderMap, reach: &mut Reach) -> (Presented, Asking) {
        match self.authenticator.claimed(headers) {
            Err(rejection) => (Presented::None, Asking::Rejected(rejection)),
            Ok(None) => (Presented::None, Asking::Nobody),
            Ok(Some(credential)) => (presented(credential), self.ask(credential, reach).await),
        }
    }

    /// `None`: the request says nothing after `Basic`.
    async fn ask_for_name(
        &self,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        reach: &mut Reach,
    ) -> Option<Asking> {
        match identity::claimed_basic(headers) {
            Err(rejection) => Some(Asking::Rejected(rejection)),
            Ok(None) => None,
            Ok(Some(credential)) => Some(
                self.ask_basic(credential, self.rules.forwarder.client(peer, headers), reach).await,
            ),
        }
    }

    async fn ask_basic(
        &self,
        credential: BasicCredential<'_>,
        client: Option<IpAddr>,
        reach: &mut Reach,
    ) -> Asking {
        match self.basic.identify(credential, client, reach).await {
            Ok(identity) => Asking::Proved(identity),
            Err(BasicError::Rejected(rejection)) => Asking::Rejected(rejection),
            Err(BasicError::Throttled(wait)) => Asking::Throttled(wait),
            Err(BasicError::Unavailable) => Asking::Unknowable,
        }
    }

    async fn ask(&self, credential: Credential<'_>, reach: &mut Reach) -> Asking {
        match self.authenticator.identify_noting(credential, reach).await {
            Ok(identity) => Asking::Proved(identity),
            Err(IdentifyError::Rejected(rejection)) => Asking::Rejected(rejection),
            Err(IdentifyError::Unavailable) => Asking::Unknowable,
        }
    }

    /// Writes the forwarding headers of whatever passes, and knows clients' addresses.
    #[must_use]
    pub fn forwarder(&self) -> &Forwarder {
        &self.rules.forwarder
    }

    /// All routes, in the order of the configuration.
    pub fn routes(&self) -> impl Iterator<Item = &RouteLabel> {
        self.rules.routes.routes().map(Route::label)
    }
}

fn presented(credential: Credential<'_>) -> Presented {
    match credential {
        Credential::Opaque(_) => Presented::Opaque,
        Credential::Jwt(_) => Presented::Jwt,
    }
}
