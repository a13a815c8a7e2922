//! What was decided, in the words of logs and metrics, and how refusals are answered.
//!
//! The vocabulary is closed: a label of a metric must not grow with what clients send. It
//! must not decide anything.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::failure::Failure;
use super::live::Replies;
use crate::gate::{Judged, Refusal, Verdict};
use crate::telemetry::Decision;

/// A decision and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) decision: Decision,
    pub(super) reason: &'static str,
}

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
        let decision = match &judged.verdict {
            Verdict::Forward(_) => Decision::Allow,
            Verdict::Serve(_) => Decision::Local,
            Verdict::Refuse(Refusal::Unavailable) => Decision::Error,
            Verdict::Refuse(_) => Decision::Deny,
        };
        Self::new(decision, judged.reason())
    }
}

/// How a refusal is answered.
pub(super) fn answer(refusal: &Refusal, replies: &Replies) -> Response<Bytes> {
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
        Refusal::Unavailable => (replies.unavailable)(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        }
    }

    fn answered(refusal: &Refusal) -> (u16, Bytes) {
        let answer = answer(refusal, &replies());
        (answer.status().as_u16(), answer.body().clone())
    }

    #[test]
    fn each_refusal_has_its_status_and_body() {
        for (refusal, status, body) in [
            (Refusal::BadRequest("two slashes"), 400, "bad_request: two slashes"),
            (Refusal::NoRoute, 404, "not_found: Not found."),
            (Refusal::Unauthenticated(Rejection::Missing), 401, "Missing"),
            (Refusal::Unavailable, 503, "later"),
            (
                Refusal::Forbidden,
                403,
                "permission_denied: You do not have permission to perform this action.",
            ),
        ] {
            assert_eq!(answered(&refusal), (status, Bytes::from(body)));
        }
    }
}
