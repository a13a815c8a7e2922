//! How answers are written: statuses, bodies and headers in Django REST framework's forms.
//!
//! Plain functions over the `http` crate's types, so that the gateway writes its refusals with
//! the very same ones. It must not know which request an answer is for.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, Method, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::identity::{BasicFault, JwtFault, Rejection};

/// A whole answer.
pub type Reply = Response<Bytes>;

/// RFC 6750 section 3; simplejwt's realm.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"api\"");

/// What strangers send by the thousand: the same answer each time, so it is written once.
const OFTEN: [Rejection; 4] = [
    Rejection::Missing,
    Rejection::UnknownToken,
    Rejection::Jwt(JwtFault::Invalid),
    Rejection::Jwt(JwtFault::Expired),
];

/// When to ask again after our own trouble: about as long as a failover takes.
const RETRY_SECONDS: u64 = 5;

/// The methods that some path takes; CONNECT and those that trace are taken by none.
const TAKEN_SOMEWHERE: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// A body of JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut reply = empty(status);
            *reply.body_mut() = bytes.into();
            reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            reply
        }
        // Our types have text keys and finite numbers; still nothing here may panic.
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// No body at all.
#[must_use]
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = status;
    reply
}

/// `{"detail": …}`.
#[must_use]
pub fn detail(status: StatusCode, detail: &str) -> Reply {
    json(status, &json!({ "detail": detail }))
}

/// `{"detail": …, "code": …}`.
#[must_use]
pub fn error(status: StatusCode, detail: &str, code: &str) -> Reply {
    let mut reply = json(status, &json!({ "detail": detail, "code": code }));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110 section 15.5.6 demands it. Where a method is refused before anybody has looked at
        // the path, what the path takes is not known.
        reply.headers_mut().insert(ALLOW, TAKEN_SOMEWHERE);
    }
    reply
}

/// A credential is not good (API and gate alike): 401 with a challenge and the body that
/// clients of djoser and simplejwt read.
#[must_use]
pub fn rejection(rejection: &Rejection) -> Reply {
    static WRITTEN: LazyLock<[Reply; OFTEN.len()]> = LazyLock::new(|| OFTEN.each_ref().map(write));
    match OFTEN.iter().position(|often| often == rejection) {
        Some(index) => WRITTEN[index].clone(),
        None => write(rejection),
    }
}

fn write(rejection: &Rejection) -> Reply {
    match rejection {
        Rejection::Missing => unauthorized("Authentication credentials were not provided."),
        Rejection::Empty => unauthorized("Invalid token header. No credentials provided."),
        Rejection::Spaces => {
            unauthorized("Invalid token header. Token string should not contain spaces.")
        }
        // RFC 6750 section 3.1: malformed, so 400 and no challenge.
        Rejection::Repeated => error(
            StatusCode::BAD_REQUEST,
            "More than one Authorization header was sent.",
            "invalid_request",
        ),
        Rejection::UnknownToken => unauthorized("Invalid token."),
        Rejection::InactiveOwner => unauthorized("User inactive or deleted."),
        Rejection::Jwt(fault) => challenged(&json!({
            "detail": "Given token not valid for any token type",
            "code": "token_not_valid",
            "messages": [{
                "token_class": "AccessToken",
                "token_type": "access",
                "message": jwt_fault(*fault),
            }],
        })),
        Rejection::NoUserClaim => {
            coded("Token contained no recognizable user identification", "token_not_valid")
        }
        Rejection::UserNotFound => coded("User not found", "user_not_found"),
        Rejection::UserInactive => coded("User is inactive", "user_inactive"),
        Rejection::PasswordChanged => {
            coded("The user's password has been changed.", "password_changed")
        }
        Rejection::Basic(fault) => unauthorized(match fault {
            BasicFault::Empty => "Invalid basic header. No credentials provided.",
            BasicFault::Spaces => {
                "Invalid basic header. Credentials string should not contain spaces."
            }
            BasicFault::Encoding => {
                "Invalid basic header. Credentials not correctly base64 encoded."
            }
            BasicFault::Refused => "Invalid username/password.",
        }),
    }
}

/// 401 with `{"detail": …}`.
#[must_use]
pub fn unauthorized(detail: &str) -> Reply {
    challenged(&json!({ "detail": detail }))
}

/// 401 for a token sent in the body: simplejwt names its fault without further wrapping.
#[must_use]
pub fn token_not_valid(fault: JwtFault) -> Reply {
    coded(jwt_fault(fault), "token_not_valid")
}

/// 403 in the words of Django REST framework.
#[must_use]
pub fn forbidden() -> Reply {
    detail(StatusCode::FORBIDDEN, "You do not have permission to perform this action.")
}

/// 404, the same for what is hidden and for what is not there.
#[must_use]
pub fn not_found() -> Reply {
    detail(StatusCode::NOT_FOUND, "Not found.")
}

/// 405. The method is a client's text, also a made-up one.
#[must_use]
pub fn method_not_allowed(method: &Method) -> Reply {
    detail(StatusCode::METHOD_NOT_ALLOWED, &format!("Method \"{method}\" not allowed."))
}

/// 406.
#[must_use]
pub fn not_acceptable() -> Reply {
    detail(StatusCode::NOT_ACCEPTABLE, "Could not satisfy the request Accept header.")
}

/// 429 in DRF's form. Seconds are rounded up, so that who waits them out is let in.
#[must_use]
pub fn throttled(wait: Duration) -> Reply {
    let (seconds, text) = waiting(wait);
    later(detail(StatusCode::TOO_MANY_REQUESTS, &text), seconds)
}

/// The same as the gate says it, with a code as all of its refusals but 401 have.
#[must_use]
pub fn throttled_at_the_gate(wait: Duration) -> Reply {
    let (seconds, text) = waiting(wait);
    later(error(StatusCode::TOO_MANY_REQUESTS, &text, "throttled"), seconds)
}

fn waiting(wait: Duration) -> (u64, String) {
    let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    (seconds, format!("Request was throttled. Expected available in {seconds} {unit}."))
}

/// 503: our own trouble, never the caller's.
#[must_use]
pub fn unavailable() -> Reply {
    let text = "Authentication is temporarily unavailable. Please try again.";
    later(error(StatusCode::SERVICE_UNAVAILABLE, text, "auth_unavailable"), RETRY_SECONDS)
}

/// 503: too many passwords are being checked at once.
#[must_use]
pub fn busy() -> Reply {
    let text = "Too many logins at once. Please try again.";
    later(error(StatusCode::SERVICE_UNAVAILABLE, text, "auth_busy"), 1)
}

/// To another path of ours. The body stays empty.
#[must_use]
pub fn redirect(status: StatusCode, location: &str) -> Reply {
    let mut reply = empty(status);
    if let Ok(value) = HeaderValue::try_from(location) {
        reply.headers_mut().insert(LOCATION, value);
    }
    reply
}

/// The headers that Django's security middleware puts on every answer.
pub fn secure(headers: &mut HeaderMap) {
    const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(OPENER, HeaderValue::from_static("same-origin"));
}

/// What simplejwt says of a token.
#[must_use]
pub fn jwt_fault(fault: JwtFault) -> &'static str {
    match fault {
        JwtFault::Invalid => "Token is invalid",
        JwtFault::Expired => "Token is expired",
        JwtFault::NoExpiry => "Token has no 'exp' claim",
        JwtFault::NoId => "Token has no id",
        JwtFault::NoType => "Token has no type",
        JwtFault::WrongType => "Token has wrong type",
        JwtFault::Blacklisted => "Token is blacklisted",
    }
}

fn coded(detail: &str, code: &str) -> Reply {
    challenged(&json!({ "detail": detail, "code": code }))
}

fn challenged(body: &impl Serialize) -> Reply {
    let mut reply = json(StatusCode::UNAUTHORIZED, body);
    reply.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
    reply
}

fn later(mut reply: Reply, seconds: u64) -> Reply {
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn body(reply: &Reply) -> Value {
        serde_json::from_slice(reply.body()).unwrap()
    }

    fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
        reply.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn each_rejection_has_its_recorded_body_and_a_challenge() {
        let recorded = [
            (
                Rejection::Missing,
                json!({"detail": "Authentication credentials were not provided."}),
            ),
            (Rejection::Empty, json!({"detail": "Invalid token header. No credentials provided."})),
            (
                Rejection::Spaces,
                json!({"detail": "Invalid token header. Token string should not contain spaces."}),
            ),
            (Rejection::UnknownToken, json!({"detail": "Invalid token."})),
            (Rejection::InactiveOwner, json!({"detail": "User inactive or deleted."})),
            (
                Rejection::NoUserClaim,
                json!({
                    "detail": "Token contained no recognizable user identification",
                    "code": "token_not_valid",
                }),
            ),
            (
                Rejection::UserNotFound,
                json!({"detail": "User not found", "code": "user_not_found"}),
            ),
            (
                Rejection::UserInactive,
                json!({"detail": "User is inactive", "code": "user_inactive"}),
            ),
            (
                Rejection::PasswordChanged,
                json!({
                    "detail": "The user's password has been changed.",
                    "code": "password_changed",
                }),
            ),
        ];
        let basic = [
            (BasicFault::Empty, "Invalid basic header. No credentials provided."),
            (
                BasicFault::Spaces,
                "Invalid basic header. Credentials string should not contain spaces.",
            ),
            (
                BasicFault::Encoding,
                "Invalid basic header. Credentials not correctly base64 encoded.",
            ),
            (BasicFault::Refused, "Invalid username/password."),
        ];
        let basic =
            basic.map(|(fault, detail)| (Rejection::Basic(fault), json!({ "detail": detail })));
        for (given, wanted) in recorded.into_iter().chain(basic) {
            let reply = rejection(&given);
            assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(body(&reply), wanted);
            assert_eq!(header(&reply, "www-authenticate"), Some("Bearer realm=\"api\""));
            assert_eq!(header(&reply, "content-type"), Some("application/json"));
        }
    }

    #[test]
    fn a_bad_jwt_is_named_in_simplejwts_words() {
        let recorded = [
            (JwtFault::Invalid, "Token is invalid"),
            (JwtFault::Expired, "Token is expired"),
            (JwtFault::NoExpiry, "Token has no 'exp' claim"),
            (JwtFault::NoId, "Token has no id"),
            (JwtFault::NoType, "Token has no type"),
            (JwtFault::WrongType, "Token has wrong type"),
            (JwtFault::Blacklisted, "Token is blacklisted"),
        ];
        for (fault, message) in recorded {
            let wanted = json!({
                "detail": "Given token not valid for any token type",
                "code": "token_not_valid",
                "messages": [
                    {"token_class": "AccessToken", "token_type": "access", "message": message},
                ],
            });
            assert_eq!(body(&rejection(&Rejection::Jwt(fault))), wanted);
            let bare = token_not_valid(fault);
            assert_eq!(bare.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(body(&bare), json!({"detail": message, "code": "token_not_valid"}));
        }
    }

    #[test]
    fn a_repeated_header_is_a_malformed_request_and_no_challenge() {
        let reply = rejection(&Rejection::Repeated);
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
        assert_eq!(header(&reply, "www-authenticate"), None);
    }

    #[test]
    fn a_throttled_client_is_told_whole_seconds_rounded_up() {
        for (wait, seconds, text) in [
            (Duration::from_millis(29_100), "30", "30 seconds"),
            (Duration::from_secs(30), "30", "30 seconds"),
            (Duration::from_millis(2), "1", "1 second"),
            (Duration::ZERO, "1", "1 second"),
        ] {
            let reply = throttled(wait);
            let wanted = format!("Request was throttled. Expected available in {text}.");
            assert_eq!(reply.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(body(&reply), json!({ "detail": wanted }));
            assert_eq!(header(&reply, "retry-after"), Some(seconds));
        }
    }

    #[test]
    fn our_own_trouble_is_503_with_a_time_to_come_back() {
        for (reply, code) in [(unavailable(), "auth_unavailable"), (busy(), "auth_busy")] {
            assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(header(&reply, "retry-after").is_some());
            assert_eq!(body(&reply)["code"], code);
        }
    }
}
