//! What would be done with a request, told instead of done: for `portcullis explain`.
//!
//! Every step is the one that a real request takes: the head is vetted, the gate judges, the
//! refusal is written, the upstream's head is written. Nothing is sent, counted or logged. It
//! must not know how a request came about.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header};
use pingora::http::RequestHeader;

use super::decision;
use super::forward::{self, Written};
use super::live::Replies;
use super::vet::{Fault, VetLimits, vet};
use crate::config::Limits;
use crate::gate::{Arrival, Claim, Gate, Judged, Passage, Strip, Verdict, address_value};

/// What judges.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    /// The gate.
    pub gate: &'a Gate,
    /// How refusals are written.
    pub replies: &'a Replies,
    /// How large a head may be.
    pub limits: &'a Limits,
}

/// A request that nobody sent.
#[derive(Debug, Clone)]
pub struct Imagined {
    /// Its method.
    pub method: String,
    /// Its target, as it would stand in the request line.
    pub target: String,
    /// Its headers in order, `Host` among them.
    pub headers: Vec<(String, HeaderValue)>,
    /// Who would be connected.
    pub peer: Option<IpAddr>,
    /// `http` or `https`, by the listener.
    pub scheme: &'static str,
    /// Whether another proxy has it and asks: then the route needs no upstream.
    pub is_asked_about: bool,
}

/// What would become of it.
#[derive(Debug)]
pub struct Rehearsal {
    /// What the gate said; none if the request would not have come that far.
    pub judged: Option<Judged>,
    /// How it would be answered; none if the answer is the upstream's, or the API's.
    pub answer: Option<Response<Bytes>>,
    /// Why it is refused before the gate.
    pub fault: Option<&'static str>,
    /// What would be sent to the upstream, or told to the proxy that asks.
    pub sent: Option<SentHead>,
}

/// The head that an upstream would get.
#[derive(Debug)]
pub struct SentHead {
    /// Path and query.
    pub target: String,
    /// Its headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The client's headers that are not among them, and why.
    pub removed: Vec<(HeaderName, &'static str)>,
}

/// Goes through the phases of a request without sending anything.
pub async fn rehearse(stage: Stage<'_>, request: &Imagined) -> Rehearsal {
    let head = match head_of(stage.limits, request) {
        Ok(head) => head,
        Err(Fault { status, detail, code }) => {
            let answer = Some((stage.replies.error)(status, detail, code));
            return Rehearsal { judged: None, answer, fault: Some(detail), sent: None };
        }
    };
    let claim = Claim {
        method: &head.method,
        target: request.target.as_bytes(),
        host: head.headers.get(header::HOST).and_then(|host| host.to_str().ok()),
        headers: &head.headers,
        peer: request.peer,
    };
    let judged = if request.is_asked_about {
        stage.gate.judge_for_another(&claim).await
    } else {
        stage.gate.judge(&claim).await
    };
    let (answer, sent) = match &judged.verdict {
        Verdict::Forward(passage) if request.is_asked_about => (None, Some(told(passage))),
        Verdict::Forward(passage) => (None, sent(stage.gate, request, &head, passage)),
        Verdict::Serve(_) => (None, None),
        Verdict::Refuse(refusal) => {
            (Some(decision::answer(refusal, judged.route(), stage.replies)), None)
        }
    };
    Rehearsal { judged: Some(judged), answer, fault: None, sent }
}

/// The head as Pingora would hand it over, after it was vetted in the form in which it arrives.
fn head_of(limits: &Limits, request: &Imagined) -> Result<RequestHeader, Fault> {
    let Imagined { method, target, headers, .. } = request;
    let mut bytes = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    for (name, value) in headers {
        for piece in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(piece);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    if bytes.len() > limits.head_bytes {
        return Err(super::http1::LARGE);
    }
    vet(&bytes, VetLimits { lines: limits.head_count })?;
    let malformed = |_| super::vet::bad("the request is malformed");
    let mut head =
        RequestHeader::build_no_case(method.as_str(), target.as_bytes(), Some(headers.len()))
            .map_err(malformed)?;
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| super::vet::bad("a header name is not a token"))?;
        head.append_header(name, value.clone()).map_err(malformed)?;
    }
    Ok(head)
}

/// What a proxy that asks is told.
fn told(passage: &Passage) -> SentHead {
    let headers = passage.identity_answer().map(|(name, value)| (name.clone(), value)).collect();
    SentHead { target: passage.target().to_owned(), headers, removed: Vec::new() }
}

fn sent(
    gate: &Gate,
    request: &Imagined,
    head: &RequestHeader,
    passage: &Passage,
) -> Option<SentHead> {
    let forwarder = gate.forwarder();
    let peer_text = request.peer.map(address_value);
    let arrival = Arrival {
        peer: request.peer,
        peer_text: peer_text.as_ref(),
        scheme: request.scheme,
        host: head.headers.get(header::HOST)?.to_str().ok()?,
        headers: &head.headers,
    };
    let id = forwarder.request_id(request.peer, &head.headers);
    let written = Written {
        passage,
        forwarder,
        arrival: &arrival,
        request_id: &id,
        host: None,
        trace: None,
        is_raw: true,
    };
    let written = forward::write(head, &written, |_| {}).ok()?;
    let mut removed = Vec::new();
    for name in head.headers.keys() {
        let why = passage.strip(name).map(why);
        let by_route = || passage.request_changes().removed.contains(name).then_some("route");
        if let Some(why) = why.or_else(by_route) {
            removed.push((name.clone(), why));
        }
    }
    Some(SentHead { target: passage.target().to_owned(), headers: written.into_lines(), removed })
}

const fn why(strip: Strip<'_>) -> &'static str {
    match strip {
        Strip::Identity(_) => "identity",
        Strip::Forwarding => "forwarding",
        Strip::LookAlike => "look_alike",
        Strip::Underscore => "underscore",
        Strip::Credential => "credential",
    }
}
