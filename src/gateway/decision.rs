//! What was decided, in the words of logs and metrics, and how refusals are answered.
//!
//! The vocabulary is closed: a label of a metric must not grow with what clients send. It
//! must not decide anything.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::failure::Failure;
use super::live::Replies;
use crate::gate::{Accepts, Judged, Refusal, RouteLabel, Verdict};
use crate::telemetry::Decision;

/// A decision and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) decision: Decision,
    pub(super) reason: &'static str,
}

/// What lasted was ended because its credential was.
pub(super) const CREDENTIAL_ENDED: &str = "credential_ended";

impl Outcome {
    pub(super) const UNDECIDED: Self = Self::new(Decision::Error, "undecided");

    pub(super) const fn new(decision: Decision, reason: &'static str) -> Self {
        Self { decision, reason }
    }

    pub(super) const fn failed(failure: Failure) -> Self {
        let is_ours = failure.status.as_u16() >= 500;
        Self::new(if is_ours { Decision::Error } else { Decision::Deny }, failure.code)
    }

    pub(super) fn of(judged: &Judged) -> Self {
        let refused = match (&judged.verdict, &judged.observed) {
            // What it would have come to.
            (_, Some(refusal)) | (Verdict::Refuse(refusal), None) => Some(refusal),
            (Verdict::Forward(_) | Verdict::Serve(_), None) => None,
        };
        let decision = match (&judged.verdict, refused) {
            (_, Some(Refusal::Unavailable)) => Decision::Error,
            (_, Some(_)) => Decision::Deny,
            (Verdict::Serve(_), None) => Decision::Local,
            (Verdict::Forward(_) | Verdict::Refuse(_), None) => Decision::Allow,
        };
        Self::new(decision, judged.reason())
    }
}

/// RFC 7617; the realm is that of the other challenge.
const BASIC_CHALLENGE: HeaderValue =
    HeaderValue::from_static("Basic realm=\"api\", charset=\"UTF-8\"");

/// How a refusal is answered. `route`: the one that was asked for, as far as that is known.
pub(super) fn answer(
    refusal: &Refusal,
    route: Option<&RouteLabel>,
    replies: &Replies,
) -> Response<Bytes> {
    let mut answer = written(refusal, replies);
    if answer.status() == StatusCode::UNAUTHORIZED {
        let headers = answer.headers_mut();
        match route.map_or(Accepts::Bearer, |route| route.accepts) {
            // Written with the body: the API's refusals have it, too.
            Accepts::Bearer => {}
            Accepts::Basic => drop(headers.insert(header::WWW_AUTHENTICATE, BASIC_CHALLENGE)),
            Accepts::Both => drop(headers.append(header::WWW_AUTHENTICATE, BASIC_CHALLENGE)),
        }
    }
    answer
}

fn written(refusal: &Refusal, replies: &Replies) -> Response<Bytes> {
    match refusal {
        Refusal::BadRequest(detail) => {
            (replies.error)(StatusCode::BAD_REQUEST, detail, "bad_request")
        }
        Refusal::Method => (replies.error)(
            StatusCode::METHOD_NOT_ALLOWED,
            "This method is not allowed.",
            "method_not_allowed",
        ),
        Refusal::NoRoute => (replies.error)(StatusCode::NOT_FOUND, "Not found.", "not_found"),
        Refusal::Unauthenticated(rejection) => (replies.rejection)(rejection),
        Refusal::Forbidden => (replies.error)(
            StatusCode::FORBIDDEN,
            "You do not have permission to perform this action.",
            "permission_denied",
        ),
        Refusal::Throttled(wait) => (replies.throttled)(*wait),
        Refusal::Unavailable => (replies.unavailable)(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Access, Mode};
    use crate::identity::Rejection;

    fn replies() -> Replies {
        Replies {
            rejection: |rejection| {
                let mut answer = Response::new(Bytes::from(format!("{rejection:?}")));
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
                answer
            },
            error: |status, detail, code| {
                let mut answer = Response::new(Bytes::from(format!("{code}: {detail}")));
                *answer.status_mut() = status;
                answer
            },
            unavailable: || {
                let mut answer = Response::new(Bytes::from_static(b"later"));
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                answer
            },
            throttled: |wait| {
                let mut answer = Response::new(Bytes::from(format!("{wait:?}")));
                *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                answer
            },
        }
    }

    fn answered(refusal: &Refusal) -> (u16, Bytes) {
        let answer = answer(refusal, None, &replies());
        (answer.status().as_u16(), answer.body().clone())
    }

    #[test]
    fn each_refusal_has_its_status_and_body() {
        for (refusal, status, body) in [
            (Refusal::BadRequest("two slashes"), 400, "bad_request: two slashes"),
            (Refusal::NoRoute, 404, "not_found: Not found."),
            (Refusal::Unauthenticated(Rejection::Missing), 401, "Missing"),
            (Refusal::Unavailable, 503, "later"),
            (Refusal::Throttled(Duration::from_secs(2)), 429, "2s"),
            (
                Refusal::Forbidden,
                403,
                "permission_denied: You do not have permission to perform this action.",
            ),
        ] {
            assert_eq!(answered(&refusal), (status, Bytes::from(body)));
        }
    }

    #[test]
    fn a_challenge_names_what_the_route_takes() {
        let challenges = |refusal: &Refusal, accepts| {
            let access = Access::Authenticated;
            let mode = Mode::Enforce;
            let route = RouteLabel { name: "/".to_owned(), index: 0, access, accepts, mode };
            let replies = Replies {
                rejection: |_| {
                    let answer = Response::builder().status(401);
                    answer.header("www-authenticate", "Bearer").body(Bytes::new()).unwrap()
                },
                ..replies()
            };
            let answer = answer(refusal, Some(&route), &replies);
            let all = answer.headers().get_all("www-authenticate").iter();
            all.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let missing = Refusal::Unauthenticated(Rejection::Missing);
        let basic = "Basic realm=\"api\", charset=\"UTF-8\"";
        assert_eq!(challenges(&missing, Accepts::Bearer), ["Bearer"]);
        assert_eq!(challenges(&missing, Accepts::Both), ["Bearer", basic]);
        assert_eq!(challenges(&missing, Accepts::Basic), [basic]);
        assert_eq!(challenges(&Refusal::Forbidden, Accepts::Both), [""; 0]);
    }
}
