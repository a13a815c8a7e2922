//! Answers proxies that ask whether a request may pass.
//!
//! The same gate, path and rules as for what we forward ourselves, and the same refusals; what
//! passes is a 200 with the identity in its headers. Only trusted proxies may ask: a stranger
//! who could claim to hold a request would learn from the answers who may do what. It must not
//! decide anything itself.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use pingora::Result;
use pingora::protocols::http::ServerSession;
use tokio::time::Instant;

use super::{Asked, Dialect};
use crate::gate::{Claim, Judged, Local, Refusal, Verdict};
use crate::gateway::decision::{self, Outcome};
use crate::gateway::failure::INTERNAL;
use crate::gateway::live::Live;
use crate::gateway::local::caught;
use crate::gateway::phases::Phases;
use crate::gateway::request::{Request, host_of};
use crate::telemetry::Decision;

/// The status that was meant, where nginx takes no other than 401 and 403.
const X_PORTCULLIS_STATUS: HeaderName = HeaderName::from_static("x-portcullis-status");

impl Phases {
    /// `rest`: what follows the reserved prefix.
    pub(in crate::gateway) async fn answer_asked(
        &self,
        session: &mut ServerSession,
        request: &mut Request,
        rest: &str,
    ) -> Result<()> {
        let is_trusted = request.live.gate.forwarder().trusts(request.arrival.peer);
        let Some((dialect, rest)) = Dialect::of(rest).filter(|_| is_trusted) else {
            return self.refuse_asked(session, request, None, &Refusal::NoRoute).await;
        };
        let head = session.req_header();
        let asked = match dialect.read(rest, &head.method, host_of(head), &head.headers) {
            Ok(asked) => asked,
            Err(detail) => {
                let refusal = Refusal::BadRequest(detail);
                return self.refuse_asked(session, request, Some(dialect), &refusal).await;
            }
        };
        let began = Instant::now();
        let judged = judge(session, request, &asked).await;
        request.judging = began.elapsed();
        request.asked = Some(asked);
        let Ok(judged) = judged else { return self.fail(session, request, INTERNAL).await };
        request.outcome = Outcome::of(&judged);
        let answer = match &judged.verdict {
            Verdict::Forward(passage) => allowed(passage.identity_answer()),
            // Ours to answer when it comes to us, and with checks of its own.
            Verdict::Serve(Local::Api(_) | Local::KeySet) => {
                allowed(request.live.gate.nobody_answer())
            }
            Verdict::Serve(Local::Reserved(_)) => refused(&Refusal::NoRoute, None, &request.live),
            Verdict::Refuse(refusal) => refused(refusal, Some(&judged), &request.live),
        };
        request.judged = Some(judged);
        self.answer(session, request, in_dialect(answer, Some(dialect)), self.after()).await
    }

    async fn refuse_asked(
        &self,
        session: &mut ServerSession,
        request: &mut Request,
        dialect: Option<Dialect>,
        refusal: &Refusal,
    ) -> Result<()> {
        request.outcome = Outcome::new(Decision::Deny, refusal.reason());
        let answer = in_dialect(refused(refusal, None, &request.live), dialect);
        self.answer(session, request, answer, self.after()).await
    }
}

/// Judges the held request by what the other proxy tells of it.
async fn judge(
    session: &ServerSession,
    request: &Request,
    asked: &Asked,
) -> std::result::Result<Judged, ()> {
    let mut headers = session.req_header().headers.clone();
    // The question's own is that of the connection to us.
    headers.remove(header::HOST);
    let claim = Claim {
        method: &asked.method,
        target: asked.target.as_bytes(),
        host: Some(&asked.host),
        headers: &headers,
        peer: request.arrival.peer,
    };
    caught(request.live.gate.judge_for_another(&claim)).await.map_err(|_| ())
}

fn allowed<'a>(identity: impl Iterator<Item = (&'a HeaderName, HeaderValue)>) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    for (name, value) in identity {
        answer.headers_mut().insert(name.clone(), value);
    }
    answer
}

fn refused(refusal: &Refusal, judged: Option<&Judged>, live: &Live) -> Response<Bytes> {
    decision::answer(refusal, judged.and_then(Judged::route), &live.replies)
}

/// As the asking proxy takes it, and never kept: a logout must be heard of at once.
fn in_dialect(mut answer: Response<Bytes>, dialect: Option<Dialect>) -> Response<Bytes> {
    let status = answer.status();
    let is_taken = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if dialect == Some(Dialect::AuthRequest) && !status.is_success() && !is_taken {
        *answer.status_mut() = StatusCode::FORBIDDEN;
        answer.headers_mut().insert(X_PORTCULLIS_STATUS, HeaderValue::from(status.as_u16()));
    }
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.append(header::VARY, HeaderValue::from_static("Authorization, Cookie"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, dialect: Option<Dialect>) -> (u16, Option<String>) {
        let answer = Response::builder().status(status).body(Bytes::new()).unwrap();
        let answer = in_dialect(answer, dialect);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let meant = answer.headers().get(X_PORTCULLIS_STATUS);
        (answer.status().as_u16(), meant.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn nginx_gets_403_for_what_it_does_not_take() {
        let nginx = |status| answered(status, Some(Dialect::AuthRequest));
        for status in [200, 401, 403] {
            assert_eq!(nginx(status), (status, None));
        }
        for status in [400, 404, 405, 429, 500, 503] {
            assert_eq!(nginx(status), (403, Some(status.to_string())));
        }
    }

    #[test]
    fn others_get_what_was_meant() {
        for dialect in [None, Some(Dialect::ForwardAuth), Some(Dialect::ExtAuthz)] {
            for status in [200, 400, 401, 403, 404, 405, 429, 503] {
                assert_eq!(answered(status, dialect), (status, None));
            }
        }
    }
}
