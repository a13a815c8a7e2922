//! Has a request judged and gathers what there is to tell: one record, for JSON and for text.
//!
//! What it says of rules comes from the gate's verdict and the settings that the gate was made
//! of. It must not show a credential, an assertion, or what a route adds as a secret.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

use super::words;
use crate::app::Onlooker;
use crate::clock::Clock;
use crate::config::{Route, Settings};
use crate::gate::{self, Authority, Local, Miss, Presented, Refusal, Target, Verdict};
use crate::gateway::{Imagined, Rehearsal, SentHead, Stage, rehearse};
use crate::identity::{Examination, Identity, Rejection, claimed_basic};
use crate::model::Timestamp;

/// More routes than these were not missed closely.
const NEAREST: usize = 5;

/// Who writes headers, in the order in which they are told.
const ORDER: [&str; 6] = ["client", "server", "gateway", "route", "identity", "assertion"];

/// What there is to tell.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    pub(super) passes: bool,
    /// What became of it, and why, in a sentence.
    pub(super) summary: String,
    /// The word for it in the request log.
    pub(super) reason: &'static str,
    /// The gateway's own answer; none if it is the upstream's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Answer>,
    pub(super) request: Asked,
    /// None if nothing matched, or nothing was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<RouteTold>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) near: Vec<Near>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) credentials: Vec<Tried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<Who>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upstream: Option<Leads>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sent: Option<Sent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) hints: Vec<String>,
    #[serde(skip)]
    pub(super) now: Timestamp,
}

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) host: String,
    pub(super) target: String,
    /// The one reading of the path that rules and upstreams see; none if it has several.
    pub(super) path: Option<String>,
    pub(super) peer: Option<String>,
    /// The client, as far as proxies are trusted.
    pub(super) client: Option<String>,
}

/// A route as it is configured.
#[derive(Debug, Serialize)]
pub(super) struct RouteTold {
    pub(super) name: String,
    /// File, line and column; empty if it was not read from a file.
    pub(super) at: String,
    pub(super) access: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<String>,
    pub(super) credentials: Value,
    pub(super) mode: Value,
}

#[derive(Debug, Serialize)]
pub(super) struct Near {
    pub(super) route: String,
    pub(super) at: String,
    /// What would have to be different.
    pub(super) differs: String,
}

/// A credential, and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Tried {
    pub(super) kind: &'static str,
    /// Of a token, the first eight hex digits of its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<String>,
    pub(super) good: bool,
    pub(super) result: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) says: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Who {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) staff: bool,
    pub(super) superuser: bool,
    pub(super) groups: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Leads {
    pub(super) name: String,
    pub(super) servers: Vec<String>,
}

/// The head that goes out.
#[derive(Debug, Serialize)]
pub(super) struct Sent {
    pub(super) target: String,
    pub(super) headers: Vec<Written>,
    pub(super) removed: Vec<Removed>,
}

#[derive(Debug, Serialize)]
pub(super) struct Written {
    pub(super) name: String,
    /// None: not to be shown.
    pub(super) value: Option<String>,
    /// `client`, `gateway`, `route`, `server`, `identity` or `assertion`.
    pub(super) by: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Removed {
    pub(super) name: String,
    pub(super) why: &'static str,
}

/// Has it judged.
pub(super) async fn of(onlooker: Onlooker, request: &Imagined, clock: &Clock) -> Account {
    let stage = Stage {
        gate: &onlooker.gate,
        replies: &onlooker.replies,
        limits: &onlooker.settings.limits,
    };
    let rehearsal = rehearse(stage, request).await;
    let settings = Arc::clone(&onlooker.settings);
    let mut told = outline(&onlooker, request, &rehearsal, clock.now());
    told.credentials = tried(&onlooker, request, &rehearsal).await;
    if let Some(Refusal::Unavailable) = refusal(&rehearsal) {
        let away = onlooker.unfetched.iter();
        told.hints.extend(away.map(|(name, error)| {
            format!("the key set of the trusted issuer {name:?} could not be fetched: {error}")
        }));
    }
    // Why a password failed stands where a gateway would have put it: in its audit log.
    let audit = onlooker.close().await;
    let failure = audit.lines().rev().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(line.get("event.reason")?.as_str()?.to_owned())
    });
    if let (Some(failure), Some(tried)) = (failure, told.credentials.last_mut()) {
        words::password(&failure).clone_into(&mut tried.result);
    }
    told.summary = words::summary(&told, &rehearsal, &settings);
    told
}

/// Why it was refused, or would have been.
pub(super) fn refusal(rehearsal: &Rehearsal) -> Option<&Refusal> {
    let judged = rehearsal.judged.as_ref()?;
    match &judged.verdict {
        Verdict::Refuse(refusal) => Some(refusal),
        Verdict::Forward(_) | Verdict::Serve(_) => judged.observed.as_ref(),
    }
}

fn outline(
    onlooker: &Onlooker,
    request: &Imagined,
    rehearsal: &Rehearsal,
    now: Timestamp,
) -> Account {
    let (settings, judged) = (&*onlooker.settings, rehearsal.judged.as_ref());
    let label = judged.and_then(|judged| judged.route());
    let route = label.and_then(|label| Some((label, settings.routes.get(label.index)?)));
    let identity = judged.and_then(|judged| judged.identity());
    let verdict = judged.map(|judged| &judged.verdict);
    let answer = rehearsal.answer.as_ref().map(|answer| Answer {
        status: answer.status().as_u16(),
        body: String::from_utf8_lossy(answer.body()).into_owned(),
    });
    let upstream = match verdict {
        Some(Verdict::Forward(passage)) => passage.upstream(),
        Some(Verdict::Serve(_) | Verdict::Refuse(_)) | None => None,
    };
    let upstream = settings.upstreams.iter().find(|one| Some(&*one.name) == upstream);
    Account {
        passes: matches!(verdict, Some(Verdict::Forward(_) | Verdict::Serve(_))),
        summary: String::new(),
        reason: judged.map_or("bad_request", |judged| judged.reason()),
        answer,
        request: asked(onlooker, request),
        route: route.map(|(label, route)| RouteTold::of(&label.name, route)),
        near: near(onlooker, request, rehearsal),
        credentials: Vec::new(),
        user: identity.map(|identity| who(identity)),
        rule: route.map(|(_, route)| words::rule(route)),
        upstream: upstream
            .map(|one| Leads { name: one.name.clone(), servers: one.servers.clone() }),
        sent: rehearsal
            .sent
            .as_ref()
            .map(|head| sent(head, request, settings, route.map(|(_, route)| route))),
        hints: words::hints(request, rehearsal),
        now,
    }
}

impl RouteTold {
    fn of(name: &str, route: &Route) -> Self {
        Self {
            name: name.to_owned(),
            at: route.origin.clone(),
            access: word(route.access),
            groups: route.groups.clone(),
            credentials: word(&route.credentials),
            mode: word(route.mode),
        }
    }

    /// The first route that logs call so.
    pub(super) fn named(name: &str, settings: &Settings) -> Option<Self> {
        let found = settings.routes.iter().find(|route| gate::label(route) == name);
        found.map(|route| Self::of(name, route))
    }
}

/// A setting in the word that stands in the file.
fn word(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn who(identity: &Identity) -> Who {
    Who {
        id: identity.values.user_id.to_str().unwrap_or_default().to_owned(),
        name: identity.username.clone(),
        staff: identity.is_staff,
        superuser: identity.is_superuser,
        groups: identity.groups.clone(),
    }
}

fn host(request: &Imagined) -> &str {
    request.headers.first().and_then(|(_, host)| host.to_str().ok()).unwrap_or_default()
}

fn asked(onlooker: &Onlooker, request: &Imagined) -> Asked {
    let host = host(request);
    let target = Authority::parse(host)
        .and_then(|host| Target::parse(request.target.as_bytes(), &host).ok());
    let client = onlooker.gate.forwarder().client(request.peer, &header_map(request));
    Asked {
        method: request.method.clone(),
        host: host.to_owned(),
        target: request.target.clone(),
        path: target.map(|target| target.path().as_str().to_owned()),
        peer: request.peer.map(|peer| peer.to_string()),
        client: client.map(|client| client.to_string()),
    }
}

fn header_map(request: &Imagined) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(request.headers.len());
    for (name, value) in &request.headers {
        if let Ok(name) = name.parse::<HeaderName>() {
            map.append(name, value.clone());
        }
    }
    map
}

/// Routes that were just missed; nobody looks for one where the gateway answers itself, or the
/// request has no one reading.
fn near(onlooker: &Onlooker, request: &Imagined, rehearsal: &Rehearsal) -> Vec<Near> {
    let Some(judged) = &rehearsal.judged else { return Vec::new() };
    if matches!(judged.verdict, Verdict::Serve(_)) {
        return Vec::new();
    }
    let Some(host) = Authority::parse(host(request)) else { return Vec::new() };
    let Ok(target) = Target::parse(request.target.as_bytes(), &host) else { return Vec::new() };
    let Ok(method) = Method::from_bytes(request.method.as_bytes()) else { return Vec::new() };
    let routes = &onlooker.settings.routes;
    let missed = onlooker.gate.near(routes, target.path(), &host, &method);
    let told = |(index, miss): (usize, Miss)| {
        let route = routes.get(index)?;
        Some(Near {
            route: gate::label(route),
            at: route.origin.clone(),
            differs: words::miss(miss, route),
        })
    };
    missed.into_iter().take(NEAREST).filter_map(told).collect()
}

/// The credential of the request. There can be only one: two `Authorization` headers are refused.
async fn tried(onlooker: &Onlooker, request: &Imagined, rehearsal: &Rehearsal) -> Vec<Tried> {
    let headers = header_map(request);
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Vec::new() };
    let unseen = |result: &str| Tried {
        kind: "unknown",
        fingerprint: None,
        good: false,
        result: result.to_owned(),
        says: Map::new(),
        key: None,
    };
    let Some(judged) = &rehearsal.judged else { return vec![unseen("not looked at")] };
    let rejection = match refusal(rehearsal) {
        Some(Refusal::Unauthenticated(rejection)) => Some(rejection),
        _ => None,
    };
    let examined = match judged.presented {
        Presented::None => {
            let result = match rejection {
                Some(rejection) if *rejection != Rejection::Missing => words::rejection(rejection),
                _ => words::unseen(value, judged.route()),
            };
            return vec![unseen(&result)];
        }
        Presented::Opaque | Presented::Jwt => match onlooker.authenticator.claimed(&headers) {
            Ok(Some(credential)) => onlooker.authenticator.examine(credential).await.ok(),
            Ok(None) | Err(_) => None,
        },
        Presented::Basic => match claimed_basic(&headers) {
            Ok(Some(basic)) => onlooker.gate.basic().examine(basic).await.ok().flatten(),
            Ok(None) | Err(_) => None,
        },
    };
    let is_known = judged.identity().is_some();
    let result = match (is_known, refusal(rehearsal)) {
        (true, _) => "good".to_owned(),
        (false, Some(Refusal::Unauthenticated(rejection))) => {
            words::flawed(rejection, examined.as_ref())
        }
        (false, Some(Refusal::Unavailable)) => "it cannot be checked at present".to_owned(),
        (false, _) => "not good".to_owned(),
    };
    let kind = match judged.presented {
        Presented::Jwt => "JWT",
        Presented::Opaque => "opaque token",
        Presented::Basic if examined.is_some() => "Basic credential with a token in it",
        Presented::Basic | Presented::None => "Basic credential",
    };
    let Examination { fingerprint, says, key, .. } = examined.unwrap_or_default();
    let fingerprint = Some(fingerprint).filter(|text| !text.is_empty());
    vec![Tried { kind, fingerprint, good: is_known, result, says, key }]
}

fn sent(head: &SentHead, request: &Imagined, settings: &Settings, route: Option<&Route>) -> Sent {
    let own = &settings.identity_headers;
    let is_set_by_route = |name: &str| {
        let lines = route.iter().flat_map(|route| &route.set_request_headers);
        let names = lines.filter_map(|line| line.split_once(':'));
        names.map(|(name, _)| name.trim()).any(|set| set.eq_ignore_ascii_case(name))
    };
    let is_clients = |name: &str, value: &[u8]| {
        let mut all = request.headers.iter();
        all.any(|(own, text)| own.eq_ignore_ascii_case(name) && text.as_bytes() == value)
    };
    let upstream = route.and_then(|route| route.upstream.as_deref());
    let renames_host =
        settings.upstreams.iter().any(|one| Some(&*one.name) == upstream && !one.preserve_host);
    let headers = head.headers.iter().map(|(name, value)| {
        let is = |own: &str| own.eq_ignore_ascii_case(name.as_str());
        let by = if is(&own.assertion) {
            "assertion"
        } else if [&own.user, &own.user_id, &own.email, &own.groups].into_iter().any(|own| is(own))
        {
            "identity"
        } else if is_set_by_route(name.as_str()) {
            "route"
        } else if is_clients(name.as_str(), value.as_bytes()) {
            "client"
        } else {
            "gateway"
        };
        let by = if *name == header::HOST && renames_host { "server" } else { by };
        let is_secret = matches!(by, "assertion" | "route" | "server")
            || matches!(*name, header::AUTHORIZATION | header::COOKIE)
            || (by == "gateway" && *name == gate::X_REQUEST_ID);
        let value = (!is_secret).then(|| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Written { name: name.to_string(), value, by }
    });
    // A map of headers has no order of its own that would mean anything.
    let mut headers: Vec<Written> = headers.collect();
    headers.sort_by(|one, other| {
        let rank = |one: &Written| ORDER.iter().position(|by| *by == one.by);
        (rank(one), &one.name).cmp(&(rank(other), &other.name))
    });
    let removed = head.removed.iter();
    let removed = removed.map(|(name, why)| Removed { name: name.to_string(), why });
    Sent { target: head.target.clone(), headers, removed: removed.collect() }
}

/// What the gateway answers itself.
pub(super) const fn local(local: &Local) -> &'static str {
    match local {
        Local::Api(_) => "the API below server.auth_prefix; it checks credentials by itself",
        Local::KeySet => "the public key set",
        Local::Reserved(_) => "what is below server.reserved_prefix: questions of other proxies",
    }
}

/// A status with its name.
pub(super) fn status(code: u16) -> String {
    StatusCode::from_u16(code).map_or_else(|_| code.to_string(), |status| status.to_string())
}
