//! Maps what goes wrong underneath us to what the client is told.
//!
//! The one place that reads Pingora's errors. It must not write answers.

use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType};

/// What the client is told of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) detail: &'static str,
    pub(super) code: &'static str,
}

impl Failure {
    pub(super) const fn new(status: StatusCode, detail: &'static str, code: &'static str) -> Self {
        Self { status, detail, code }
    }
}

pub(super) const BODY_TOO_LARGE: Failure =
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large.", "body_too_large");
pub(super) const BODY_TOO_SLOW: Failure = Failure::new(
    StatusCode::REQUEST_TIMEOUT,
    "The request body did not arrive in time.",
    "request_timeout",
);
pub(super) const BAD_REQUEST: Failure =
    Failure::new(StatusCode::BAD_REQUEST, "The request is malformed.", "bad_request");
pub(super) const INTERNAL: Failure = Failure::new(
    StatusCode::INTERNAL_SERVER_ERROR,
    "An internal error occurred.",
    "internal_error",
);
pub(super) const LOCAL_TIMEOUT: Failure =
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "The request took too long.", "timeout");
pub(super) const NO_UPSTREAM: Failure = Failure::new(
    StatusCode::BAD_GATEWAY,
    "No server of the application is known at present.",
    "upstream_unavailable",
);
pub(super) const UPSTREAM_FULL: Failure = Failure::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "The application has as many requests as it may have at a time.",
    "upstream_overloaded",
);
pub(super) const NO_UPGRADE: Failure = Failure::new(
    StatusCode::NOT_IMPLEMENTED,
    "The application does not speak the protocol that was asked for.",
    "upgrade_not_supported",
);
const UPSTREAM_FAILED: Failure = Failure::new(
    StatusCode::BAD_GATEWAY,
    "The application could not be reached or gave no valid answer.",
    "upstream_failed",
);
const UPSTREAM_SLOW: Failure = Failure::new(
    StatusCode::GATEWAY_TIMEOUT,
    "The application did not answer in time.",
    "upstream_timeout",
);

/// Errors of our own that travel through Pingora, so that they come back as what they are.
pub(super) const OWN_TOO_LARGE: ErrorType = ErrorType::Custom("BodyTooLarge");
pub(super) const OWN_TOO_SLOW: ErrorType = ErrorType::Custom("BodyTooSlow");
pub(super) const OWN_NO_UPSTREAM: ErrorType = ErrorType::Custom("NoUpstream");

/// What the client is told; `None` if it is gone.
pub(super) fn failure_of(error: &Error) -> Option<Failure> {
    use ErrorType as E;
    match error.etype() {
        kind if *kind == OWN_TOO_LARGE => return Some(BODY_TOO_LARGE),
        kind if *kind == OWN_TOO_SLOW => return Some(BODY_TOO_SLOW),
        kind if *kind == OWN_NO_UPSTREAM => return Some(NO_UPSTREAM),
        _ => {}
    }
    match (error.esource(), error.etype()) {
        (
            ErrorSource::Upstream,
            E::ConnectTimedout | E::TLSHandshakeTimedout | E::ReadTimedout | E::WriteTimedout,
        ) => Some(UPSTREAM_SLOW),
        (ErrorSource::Upstream, _) => Some(UPSTREAM_FAILED),
        (
            ErrorSource::Downstream,
            E::WriteError
            | E::ReadError
            | E::ConnectionClosed
            | E::WriteTimedout
            // Its stream was reset.
            | E::H2Error,
        ) => None,
        (ErrorSource::Downstream, E::ReadTimedout) => Some(BODY_TOO_SLOW),
        // Malformed chunks, bytes behind the body, nominations that Pingora refuses.
        (ErrorSource::Downstream, _) => Some(BAD_REQUEST),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(INTERNAL),
    }
}

/// Whether an upstream's connection was lost under a request, so that nobody knows how far it
/// got. A server that is only slow is not asked again, nor is another one.
pub(super) fn is_lost(error: &Error) -> bool {
    use ErrorType as E;
    *error.esource() == ErrorSource::Upstream
        && matches!(
            error.etype(),
            E::ConnectionClosed | E::ReadError | E::WriteError | E::H2Error | E::InvalidH2
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(kind: ErrorType, source: ErrorSource) -> Option<u16> {
        let mut error = Error::new(kind);
        error.esource = source;
        failure_of(&error).map(|failure| failure.status.as_u16())
    }

    #[test]
    fn upstream_trouble_is_502_and_its_silence_504() {
        assert_eq!(status(ErrorType::ConnectRefused, ErrorSource::Upstream), Some(502));
        assert_eq!(status(ErrorType::InvalidHTTPHeader, ErrorSource::Upstream), Some(502));
        assert_eq!(status(ErrorType::ReadTimedout, ErrorSource::Upstream), Some(504));
        assert_eq!(status(ErrorType::ConnectTimedout, ErrorSource::Upstream), Some(504));
    }

    #[test]
    fn a_bad_client_is_told_and_a_gone_one_is_not() {
        assert_eq!(status(ErrorType::InvalidHTTPHeader, ErrorSource::Downstream), Some(400));
        assert_eq!(status(ErrorType::ReadTimedout, ErrorSource::Downstream), Some(408));
        assert_eq!(status(ErrorType::ConnectionClosed, ErrorSource::Downstream), None);
    }

    #[test]
    fn our_own_limits_keep_their_status_whoever_is_blamed() {
        assert_eq!(status(OWN_TOO_LARGE, ErrorSource::Downstream), Some(413));
        assert_eq!(status(OWN_TOO_SLOW, ErrorSource::Unset), Some(408));
        assert_eq!(status(OWN_NO_UPSTREAM, ErrorSource::Unset), Some(502));
        assert_eq!(status(ErrorType::InternalError, ErrorSource::Internal), Some(500));
    }
}
