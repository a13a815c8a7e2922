//! The sentences: what the gate's closed lists mean to somebody who has to act on them.
//!
//! More than a client is told, and never a credential. It must not know how they are laid out.

use http::HeaderValue;

use super::account::{Account, local, refusal, status};
use crate::config::{Access, Mode, Route, Settings};
use crate::gate::{Accepts, Miss, Presented, Refusal, RouteLabel, Verdict};
use crate::gateway::{Imagined, Rehearsal};
use crate::identity::{BasicFault, Examination, JwtFault, Rejection};

/// What became of the request, and why.
pub(super) fn summary(told: &Account, rehearsal: &Rehearsal, settings: &Settings) -> String {
    let status = told.answer.as_ref().map(|answer| status(answer.status)).unwrap_or_default();
    let why = || because(told, rehearsal, settings);
    let verdict = rehearsal.judged.as_ref().map(|judged| (&judged.verdict, &judged.observed));
    match verdict {
        Some((Verdict::Serve(what), _)) => format!("answered by the gateway: {}", local(what)),
        Some((Verdict::Forward(_), Some(_))) => {
            format!(
                "passes, because its route only observes; enforced, it would be refused{}",
                why()
            )
        }
        Some((Verdict::Forward(_), None)) => match &told.upstream {
            Some(upstream) => format!("passes, to the upstream {:?}", upstream.name),
            None => "passes; the proxy that asks sends it on".to_owned(),
        },
        Some((Verdict::Refuse(_), _)) | None => format!("refused with {status}{}", why()),
    }
}

/// Why it is refused, to stand behind that it is.
fn because(told: &Account, rehearsal: &Rehearsal, settings: &Settings) -> String {
    match (refusal(rehearsal), told.credentials.first()) {
        (Some(Refusal::Unauthenticated(why)), Some(tried)) if *why != Rejection::Missing => {
            let kind = if tried.kind == "unknown" { "Authorization header" } else { tried.kind };
            format!(" because of the {kind}: {}", tried.result)
        }
        _ => format!(": {}", reason_of(told, rehearsal, settings)),
    }
}

fn reason_of(told: &Account, rehearsal: &Rehearsal, settings: &Settings) -> String {
    if let Some(fault) = rehearsal.fault {
        return format!("{fault} (before any rule is asked)");
    }
    let route = told.route.as_ref();
    match refusal(rehearsal) {
        None => "nobody knows why".to_owned(),
        Some(Refusal::BadRequest(detail)) => (*detail).to_owned(),
        Some(Refusal::Method) => "TRACE, TRACK and CONNECT reach no upstream".to_owned(),
        Some(Refusal::NoRoute) if route.is_some() => {
            "the route leads nowhere: no upstream, or another start than strip_prefix".to_owned()
        }
        Some(Refusal::NoRoute) => "no route matches".to_owned(),
        Some(Refusal::Unauthenticated(Rejection::Missing)) => told
            .credentials
            .first()
            .map_or_else(|| "no credential was sent".to_owned(), |tried| tried.result.clone()),
        Some(Refusal::Unauthenticated(other)) => rejection(other),
        Some(Refusal::Forbidden) => {
            let route = rehearsal.judged.as_ref().and_then(|judged| judged.route());
            forbidden(told, route.and_then(|label| settings.routes.get(label.index)))
        }
        Some(Refusal::Throttled(wait)) => {
            format!("too many passwords were tried; the next in {wait:?}")
        }
        Some(Refusal::Unavailable) => {
            "the credential cannot be checked at present, which is never a way in".to_owned()
        }
    }
}

fn forbidden(told: &Account, route: Option<&Route>) -> String {
    let (Some(user), Some(route)) = (&told.user, route) else {
        return "the route lets nobody through (access = \"deny\")".to_owned();
    };
    let name = &user.name;
    let lacks_rank = match route.access {
        Access::Staff => !user.staff && !user.superuser,
        Access::Superuser => !user.superuser,
        Access::Anonymous | Access::Optional | Access::Authenticated | Access::Deny => false,
    };
    match route.access {
        Access::Staff if lacks_rank => format!("{name} is neither staff nor a superuser"),
        Access::Superuser if lacks_rank => format!("{name} is no superuser"),
        _ => format!("{name} is in none of the groups {}", route.groups.join(", ")),
    }
}

/// The rule of a route.
pub(super) fn rule(route: &Route) -> String {
    let who = match route.access {
        Access::Anonymous => "everybody, and credentials are not looked at",
        Access::Optional => "everybody, but a bad credential is refused",
        Access::Authenticated => "who has a good credential",
        Access::Staff => "staff and superusers",
        Access::Superuser => "superusers",
        Access::Deny => "nobody",
    };
    let groups = if route.groups.is_empty() {
        String::new()
    } else {
        format!(", if in one of the groups {}", route.groups.join(", "))
    };
    let mode = if route.mode == Mode::Observe { "; it only observes" } else { "" };
    format!("lets through: {who}{groups}{mode}")
}

/// By what a route was missed.
pub(super) fn miss(miss: Miss, route: &Route) -> String {
    let methods = || format!("the method: it takes {}", route.methods.join(", "));
    let hosts = || format!("the host: it is for {}", route.hosts.join(", "));
    match miss {
        Miss::Method => methods(),
        Miss::Host => hosts(),
        Miss::HostAndMethod => format!("{}; {}", hosts(), methods()),
        Miss::Reading => "the spelling: other servers could read the path as one of its".to_owned(),
        Miss::Path(_) => format!("the path: it begins with {}", route.path),
    }
}

/// Why a credential was not looked at.
pub(super) fn unseen(value: &HeaderValue, route: Option<&RouteLabel>) -> String {
    let Some(route) = route else { return "not looked at: no rule was asked".to_owned() };
    match route.access {
        Access::Anonymous => return "not looked at: the route lets everybody through".to_owned(),
        Access::Deny => return "not looked at: the route lets nobody through".to_owned(),
        Access::Optional | Access::Authenticated | Access::Staff | Access::Superuser => {}
    }
    let takes = match route.accepts {
        Accepts::Bearer => "bearer",
        Accepts::Basic => "basic",
        Accepts::Both => "bearer, basic",
    };
    // The first word is no secret where another follows.
    let scheme = value.to_str().ok().and_then(|text| text.trim().split_once(' '));
    match scheme {
        Some((scheme, _)) => format!(
            "the route does not see what stands after {scheme:?}: it takes credentials = {takes}"
        ),
        None => format!("not seen: no scheme before it; the route takes credentials = {takes}"),
    }
}

/// Why a credential is not good, as closely as it is known.
pub(super) fn flawed(why: &Rejection, examined: Option<&Examination>) -> String {
    let says = |name: &str| examined.and_then(|seen| seen.says.get(name)?.as_str());
    match (why, examined.and_then(|seen| seen.flaw)) {
        (_, Some(flaw)) => flaw.to_string(),
        (Rejection::Jwt(JwtFault::WrongType), None) => match says("token_type") {
            Some(kind) => format!("it is of the type {kind:?}, and no access token"),
            None => rejection(why),
        },
        (Rejection::Basic(BasicFault::Refused), None) if examined.is_some() => {
            "the token is good, but the name beside it is not its user's".to_owned()
        }
        (why, None) => rejection(why),
    }
}

/// Why a credential is not good.
pub(super) fn rejection(why: &Rejection) -> String {
    match why {
        Rejection::Missing => "no credential was sent",
        Rejection::Empty | Rejection::Basic(BasicFault::Empty) => "nothing follows the scheme",
        Rejection::Spaces | Rejection::Basic(BasicFault::Spaces) => {
            "more than one word follows the scheme"
        }
        Rejection::Repeated => "there are several Authorization headers",
        Rejection::UnknownToken => "nobody has it",
        Rejection::InactiveOwner | Rejection::UserInactive => "its user is inactive",
        Rejection::Jwt(JwtFault::Invalid) => "it is not valid",
        Rejection::Jwt(JwtFault::Expired) => "it expired",
        Rejection::Jwt(JwtFault::NoExpiry) => "it has no claim exp",
        Rejection::Jwt(JwtFault::NoId) => "it has no claim jti",
        Rejection::Jwt(JwtFault::NoType) => "it has no claim that names its type",
        Rejection::Jwt(JwtFault::WrongType) => "it is no access token",
        Rejection::Jwt(JwtFault::Blacklisted) => "it was revoked",
        Rejection::NoUserClaim => "it has no claim that names a user",
        Rejection::UserNotFound => "the user that it names does not exist",
        Rejection::PasswordChanged => "its user's password was changed after it was issued",
        Rejection::Basic(BasicFault::Encoding) => "it is no name and password in base64",
        Rejection::Basic(BasicFault::Refused) => "the name or the password is wrong",
    }
    .to_owned()
}

/// Why a password failed, by the audit log's word.
pub(super) fn password(failure: &str) -> &'static str {
    match failure {
        "unknown_user" => "nobody has this name",
        "wrong_password" => "the password is wrong",
        "inactive" => "the password is right, but the account is inactive",
        _ => "the name or the password is wrong",
    }
}

/// What may help.
pub(super) fn hints(request: &Imagined, rehearsal: &Rehearsal) -> Vec<String> {
    let mut hints = Vec::new();
    let refusal = refusal(rehearsal);
    if request.method == "OPTIONS" && matches!(refusal, Some(Refusal::Unauthenticated(_))) {
        hints.push(
            "browsers send no credential with a preflight: give OPTIONS a route of its own with \
             access = \"anonymous\" if the back end answers them"
                .to_owned(),
        );
    }
    let is_basic = rehearsal.judged.as_ref().is_some_and(|it| it.presented == Presented::Basic);
    if is_basic {
        hints.push(
            "the throttle of a running gateway is not asked: it may answer 429 all the same"
                .to_owned(),
        );
    }
    hints
}

/// What the word of the request log means.
pub(super) fn reason(word: &str) -> &'static str {
    match word {
        "authenticated" => "the credential was good and the rule let it through",
        "anonymous" => "the route lets everybody through and looks at no credential",
        "no_credential" => "no credential was sent that the route takes",
        "local" => "the gateway answered it itself",
        "bad_request" => "the request was malformed, or could be read in more than one way",
        "method" | "method_not_allowed" => "TRACE, TRACK and CONNECT reach no upstream",
        "no_route" => "no route matched",
        "malformed" => "the Authorization header was malformed",
        "wrong_password" => "the name or the password was wrong, or the account inactive",
        "unknown_token" => "nobody has the token: logged out, expired, or never issued here",
        "user_inactive" => "the user is inactive",
        "user_not_found" => "the user that the token names does not exist",
        "password_changed" => "the password was changed after the token was issued",
        "expired" => "the token had expired",
        "revoked" => "the token was revoked: logged out, or everything of its user ended",
        "wrong_type" => "the token was no access token",
        "invalid_token" => "the JWT was not valid: key, signature, issuer, audience or claims",
        "forbidden" => "the user was known, but the rule did not let him through",
        "throttled" => "too many passwords were tried",
        "unavailable" => "the credential could not be checked: the database or an issuer was away",
        "body_too_large" => "the body was larger than the route takes",
        "request_timeout" => "the request did not arrive in time",
        "head_too_large" => "the head was too large",
        "version_not_supported" => "a version of HTTP that is not spoken here",
        "expectation_failed" => "an Expect header that cannot be met",
        "misdirected_request" => "the host was another than the TLS connection's",
        "upstream_unavailable" => "no server of the upstream was known",
        "upstream_overloaded" => "the upstream had its max_requests under way",
        "upgrade_not_supported" => "the upstream's protocol knows no upgrades",
        "upstream_failed" => "no server of the upstream could be reached, or gave a valid answer",
        "upstream_timeout" => "the upstream did not answer in time",
        "timeout" => "the gateway's own API took too long",
        "internal_error" => "a fault of the gateway's own: its log on standard error says more",
        "client_closed" => "the client went away before it was answered",
        "credential_ended" => "the stream was ended because its credential was",
        _ => "",
    }
}
