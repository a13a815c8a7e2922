//! One request on its way through the phases: what is known of it, and by whom it came.
//!
//! It must not decide or write anything.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, Version, header};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use tokio::time::Instant;

use super::arrival::Arrival;
use super::decision::{CREDENTIAL_ENDED, Outcome};
use super::forward_auth::Asked;
use super::live::Live;
use super::upstreams::{Admitted, Peer, Picked, Upstream, fingerprint};
use crate::api::caller::Caller;
use crate::config::{Balance, Mode};
use crate::gate::{self, Judged, Passage, Presented, Verdict, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::identity::Reach;
use crate::telemetry::{Check, InFlight, RequestHead, RequestRecord, Tier, Trace};

/// One request on its way.
pub(super) struct Request {
    pub(super) live: Arc<Live>,
    pub(super) arrival: Arc<Arrival>,
    pub(super) client: Option<IpAddr>,
    /// The same as it is logged.
    client_text: Option<HeaderValue>,
    pub(super) id: HeaderValue,
    pub(super) judged: Option<Judged>,
    /// What another proxy asks about.
    pub(super) asked: Option<Asked>,
    pub(super) outcome: Outcome,
    /// How long the gate took.
    pub(super) judging: Duration,
    pub(super) upstream: Option<Arc<Upstream>>,
    /// Counts it as one of those that its upstream may have at a time.
    pub(super) admitted: Option<Admitted>,
    pub(super) peer: Option<Picked>,
    /// Gave no answer, or could not be connected to.
    pub(super) tried: Vec<Arc<Peer>>,
    pub(super) sent: Option<Instant>,
    pub(super) informational: u32,
    /// The status that was passed on; 0: none yet.
    pub(super) status: u16,
    /// Its line is written.
    pub(super) is_logged: bool,
    /// Its place in a trace, where traces are wanted.
    pub(super) trace: Option<Box<Trace>>,
    _in_flight: InFlight,
}

impl Drop for Request {
    /// Of a stream that is cut its work is dropped where it stands, without a last phase.
    fn drop(&mut self) {
        let Some(words) = self.arrival.last_words().filter(|_| !self.is_logged) else { return };
        self.outcome = Outcome::new(self.outcome.decision, CREDENTIAL_ENDED);
        let record = self.record_as(&words.method, words.uri.path(), self.status);
        let version = Some("2");
        words.recorder.write(&record, || RequestHead { version, ..RequestHead::default() });
    }
}

impl Request {
    pub(super) fn new(live: Arc<Live>, arrival: Arc<Arrival>, in_flight: InFlight) -> Self {
        Self {
            live,
            arrival,
            client: None,
            client_text: None,
            id: HeaderValue::from_static(""),
            judged: None,
            asked: None,
            outcome: Outcome::UNDECIDED,
            judging: Duration::ZERO,
            upstream: None,
            admitted: None,
            peer: None,
            tried: Vec::new(),
            sent: None,
            informational: 0,
            status: 0,
            is_logged: false,
            trace: None,
            _in_flight: in_flight,
        }
    }

    /// Notes who sent it, as far as proxies are trusted.
    pub(super) fn comes_from(&mut self, client: Option<IpAddr>) {
        self.client = client;
        self.client_text = match (client, self.arrival.peer) {
            (client, peer) if client == peer => self.arrival.peer_text.clone(),
            (client, _) => client.map(gate::address_value),
        };
    }

    /// Whether the gate has been asked.
    pub(super) fn is_judged(&self) -> bool {
        self.judged.is_some()
    }

    /// What the gate said, if it was asked.
    pub(super) fn verdict(&self) -> Option<&Verdict> {
        Some(&self.judged.as_ref()?.verdict)
    }

    /// The permit, if it has one.
    pub(super) fn passage(&self) -> Option<&Passage> {
        match &self.judged.as_ref()?.verdict {
            Verdict::Forward(passage) => Some(passage),
            Verdict::Serve(_) | Verdict::Refuse(_) => None,
        }
    }

    /// What logs and metrics want to know at its end.
    pub(super) fn record<'a>(
        &'a self,
        head: &'a RequestHeader,
        status: Option<StatusCode>,
    ) -> RequestRecord<'a> {
        // 0: the client went away before.
        let status = status.map_or(0, |status| status.as_u16());
        self.record_as(&head.method, head.uri.path(), status)
    }

    fn record_as<'a>(
        &'a self,
        method: &'a Method,
        path: &'a str,
        status: u16,
    ) -> RequestRecord<'a> {
        let (judged, asked) = (self.judged.as_ref(), self.asked.as_ref());
        let identity = judged.and_then(Judged::identity);
        RequestRecord {
            at: self.arrival.at,
            method: asked.map_or(method, |asked| &asked.method).as_str(),
            path: asked.map_or(path, Asked::path),
            status,
            duration: self.arrival.since.elapsed(),
            peer: self.arrival.peer_text.as_ref().and_then(text),
            client: self.client_text.as_ref().and_then(text),
            request_id: self.name(),
            route: judged.and_then(Judged::route).map(|route| route.name.as_str()),
            decision: self.outcome.decision,
            reason: self.outcome.reason,
            is_observed: judged
                .and_then(Judged::route)
                .is_some_and(|route| route.mode == Mode::Observe),
            credential: judged.map_or("none", |judged| judged.presented.as_str()),
            check: judged.and_then(|judged| check(judged, self.judging)),
            user_id: identity.and_then(|identity| text(&identity.values.user_id)),
            user_name: identity.map(|identity| identity.name()),
            asked_by: asked.map(|asked| asked.dialect.as_str()),
            upstream: self.upstream.as_ref().map(|upstream| upstream.name.as_str()),
            span: self.span_name(),
        }
    }

    /// The server that it went to last.
    pub(super) fn server(&self) -> Option<&str> {
        let last = self.peer.as_ref().map(Picked::peer).or(self.tried.last());
        last.map(|peer| &*peer.label)
    }

    /// By what it stays with one server, where its upstream is so configured.
    pub(super) fn affinity(&self) -> Option<u64> {
        let balance = self.upstream.as_ref()?.balance;
        if !matches!(balance, Balance::HashUser | Balance::HashAddress) {
            return None;
        }
        let user = self.passage().and_then(Passage::identity);
        match (balance, user) {
            (Balance::HashUser, Some(user)) => Some(fingerprint(user.values.user_id.as_bytes())),
            _ => {
                self.client.map(|client| fingerprint(client.to_canonical().to_string().as_bytes()))
            }
        }
    }

    /// Bytes that a body may have; 0: any number.
    pub(super) fn body_bytes(&self) -> u64 {
        let own = self.passage().and_then(Passage::body_bytes);
        own.unwrap_or(self.live.settings.limits.body_bytes)
    }

    /// Notes that the peer gave no answer.
    pub(super) fn leave_peer(&mut self) {
        if let (Some(upstream), Some(picked)) = (&self.upstream, self.peer.take()) {
            upstream.failed(picked.peer());
            self.tried.push(Arc::clone(picked.peer()));
        }
    }

    /// The request's name as text; it is ASCII by its making.
    pub(super) fn name(&self) -> &str {
        text(&self.id).unwrap_or_default()
    }
}

/// Values of our own making are ASCII.
fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// What it took to know who asks. Without a credential there was nothing to check.
fn check(judged: &Judged, took: Duration) -> Option<Check> {
    let tier = match judged.reach {
        Reach::Memory => Tier::Memory,
        Reach::Keys => Tier::Keys,
        Reach::Shared => Tier::Shared,
        Reach::Database => Tier::Database,
    };
    (judged.presented != Presented::None).then_some(Check { tier, took })
}

/// Clients of HTTP/1.0 may leave out Host: then it is the address that they came to.
pub(super) fn make_up_for_host(session: &mut ServerSession, arrival: &Arrival) -> Result<()> {
    let head = session.req_header_mut();
    match arrival.local {
        Some(local) if !head.headers.contains_key(header::HOST) => {
            head.insert_header(header::HOST, local.to_string())
        }
        _ => Ok(()),
    }
}

/// What the longer forms of the log tell of its head.
pub(super) fn head_of(head: &RequestHeader, bytes: u64) -> RequestHead<'_> {
    let value = |name| head.headers.get(name).and_then(text);
    RequestHead {
        version: match head.version {
            Version::HTTP_10 => Some("1.0"),
            Version::HTTP_2 => Some("2"),
            _ => Some("1.1"),
        },
        host: host_of(head),
        referrer: value(header::REFERER),
        user_agent: value(header::USER_AGENT),
        bytes: Some(bytes),
    }
}

/// The vetted Host.
pub(super) fn host_of(head: &RequestHeader) -> Option<&str> {
    head.headers.get(header::HOST)?.to_str().ok()
}

pub(super) fn arrival<'a>(request: &'a Request, head: &'a RequestHeader) -> gate::Arrival<'a> {
    let Arrival { peer, ref peer_text, scheme, .. } = *request.arrival;
    let (host, headers) = (host_of(head).unwrap_or_default(), &head.headers);
    gate::Arrival { peer, peer_text: peer_text.as_ref(), scheme, host, headers }
}

/// What the handlers are told: the same that an upstream would be.
pub(super) fn caller(head: &RequestHeader, request: &Request) -> Caller {
    let arrival = arrival(request, head);
    let mut caller = Caller {
        address: request.client,
        request_id: request.name().to_owned(),
        scheme: arrival.scheme,
        host: arrival.host.to_owned(),
    };
    for (name, value) in request.live.gate.forwarder().headers(&arrival) {
        match value.to_str() {
            Ok("https") if name == X_FORWARDED_PROTO => caller.scheme = "https",
            Ok("http") if name == X_FORWARDED_PROTO => caller.scheme = "http",
            Ok(host) if name == X_FORWARDED_HOST => host.clone_into(&mut caller.host),
            _ => {}
        }
    }
    caller
}
