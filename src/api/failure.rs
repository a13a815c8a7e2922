//! Which answer each error of a use case gets: the one exhaustive mapping.
//!
//! No arm matches "everything else", so that a new error asks for its answer here. Trouble of
//! our own is logged here, once, and told the client without its cause.

use std::error::Error;

use http::StatusCode;
use serde_json::json;

use crate::accounts::names::NameFault;
use crate::accounts::passwords::Busy;
use crate::accounts::strength::{Attribute, Weakness};
use crate::accounts::throttle::Throttled;
use crate::accounts::{
    ActivationError, Field, LinkError, LogOutError, LoginError, PasswordError, ProfileError,
    ProofError, RefreshError, RegisterError, RenameError, ResetError, ResetRequestError, Trouble,
};
use crate::identity::{BasicFault, CredentialKind, IdentifyError, JwtFault, Rejection};

use super::fields::{Faults, email_text, username_text};
use super::reply::{self, Reply};

/// An answer that ends a request early.
///
/// Boxed: answers are large, and nearly every function of a handler may fail with one.
#[derive(Debug)]
pub(super) struct Failure(Box<Reply>);

impl Failure {
    pub(super) fn into_reply(self) -> Reply {
        *self.0
    }
}

impl From<Reply> for Failure {
    fn from(reply: Reply) -> Self {
        Self(Box::new(reply))
    }
}

/// A wrong `current_password`.
pub(super) const WRONG_PASSWORD: &str = "Invalid password.";

/// A name that somebody has.
pub(super) const NAME_TAKEN: &str = "A user with that username already exists.";

/// Both registration and reset say it so.
const MISMATCH: &str = "The two password fields didn't match.";

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::from(reply::json(StatusCode::BAD_REQUEST, &faults))
    }
}

impl From<IdentifyError> for Failure {
    fn from(error: IdentifyError) -> Self {
        match error {
            IdentifyError::Rejected(rejection) => Self::from(reply::rejection(&rejection)),
            IdentifyError::Unavailable => Trouble::Unavailable.into(),
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match &trouble {
            Trouble::Store(error) => {
                tracing::error!(error = error as &dyn Error, "the store failed");
                Self::from(reply::unavailable())
            }
            Trouble::Busy(Busy) => {
                tracing::warn!("password hashing is overloaded");
                Self::from(reply::busy())
            }
            // Whoever found it out has logged why.
            Trouble::Unavailable => Self::from(reply::unavailable()),
        }
    }
}

impl From<Throttled> for Failure {
    fn from(throttled: Throttled) -> Self {
        tracing::debug!(policy = throttled.policy, "throttled");
        Self::from(reply::throttled(throttled.retry_after))
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Closed => Self::from(reply::error(
                StatusCode::FORBIDDEN,
                "Registration is closed.",
                "registration_closed",
            )),
            RegisterError::InvalidUsername(faults) => bad_username(faults),
            RegisterError::InvalidEmail(faults) => bad_email(faults),
            RegisterError::Weak(weak) => weak_password("password", &weak),
            RegisterError::Mismatch => non_field(MISMATCH),
            RegisterError::EmailTaken => taken(Field::Email).into(),
            // djoser does not say more than this once the form was found good.
            RegisterError::NameTaken => bare_list("Unable to create account."),
            RegisterError::Throttled(throttled) => throttled.into(),
            RegisterError::Trouble(trouble) => trouble.into(),
        }
    }
}

impl From<LogOutError> for Failure {
    fn from(error: LogOutError) -> Self {
        match error {
            LogOutError::Trouble(trouble) => trouble.into(),
        }
    }
}

impl From<ResetRequestError> for Failure {
    fn from(error: ResetRequestError) -> Self {
        match error {
            ResetRequestError::UnknownEmail => bare_list("User with given email does not exist."),
            ResetRequestError::Throttled(throttled) => throttled.into(),
            ResetRequestError::Trouble(trouble) => trouble.into(),
        }
    }
}

impl From<ResetError> for Failure {
    fn from(error: ResetError) -> Self {
        match error {
            ResetError::Weak(weak) => weak_password("new_password", &weak),
            ResetError::Mismatch => non_field(MISMATCH),
            ResetError::Link(link) => link.into(),
            ResetError::Trouble(trouble) => trouble.into(),
        }
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Uid => Faults::one("uid", "Invalid user id or user doesn't exist.").into(),
            LinkError::Token => Faults::one("token", "Invalid token for given user.").into(),
            LinkError::Trouble(trouble) => trouble.into(),
        }
    }
}

impl From<ActivationError> for Failure {
    fn from(error: ActivationError) -> Self {
        match error {
            ActivationError::Link(link) => link.into(),
            ActivationError::Stale => {
                let text = "Stale token for given user.";
                Self::from(reply::detail(StatusCode::FORBIDDEN, text))
            }
            ActivationError::Trouble(trouble) => trouble.into(),
        }
    }
}

/// `token/login/`: a failed login is a fault of the form.
pub(super) fn of_token_login(error: LoginError) -> Failure {
    match error {
        LoginError::Refused => non_field("Unable to log in with provided credentials."),
        LoginError::Throttled(throttled) => throttled.into(),
        LoginError::Trouble(trouble) => trouble.into(),
    }
}

/// `jwt/create/`: a failed login is a 401.
pub(super) fn of_jwt_login(error: LoginError) -> Failure {
    match error {
        LoginError::Refused => {
            Failure::from(reply::unauthorized("No active account found with the given credentials"))
        }
        LoginError::Throttled(throttled) => throttled.into(),
        LoginError::Trouble(trouble) => trouble.into(),
    }
}

/// `jwt/refresh/`.
pub(super) fn of_refresh(error: RefreshError) -> Failure {
    match error {
        RefreshError::Rejected(rejection) => Failure::from(match rejection {
            Rejection::Jwt(fault) => reply::token_not_valid(fault),
            Rejection::UserInactive | Rejection::UserNotFound | Rejection::InactiveOwner => {
                reply::unauthorized("No active account found for the given token.")
            }
            Rejection::NoUserClaim | Rejection::PasswordChanged => reply::rejection(&rejection),
            // These speak of a header; in a body they come to the same as no JWT.
            Rejection::Missing
            | Rejection::Empty
            | Rejection::Spaces
            | Rejection::Repeated
            | Rejection::Basic(_)
            | Rejection::UnknownToken => reply::token_not_valid(JwtFault::Invalid),
        }),
        RefreshError::Trouble(trouble) => trouble.into(),
    }
}

/// `jwt/verify/`: an ended token is a fault of the form, as simplejwt has it.
pub(super) fn of_verify(error: RefreshError) -> Failure {
    match error {
        RefreshError::Rejected(Rejection::Jwt(JwtFault::Blacklisted)) => {
            non_field(reply::jwt_fault(JwtFault::Blacklisted))
        }
        RefreshError::Rejected(rejection) => Failure::from(match rejection {
            Rejection::Jwt(fault) => reply::token_not_valid(fault),
            Rejection::UserInactive
            | Rejection::UserNotFound
            | Rejection::NoUserClaim
            | Rejection::PasswordChanged => reply::rejection(&rejection),
            Rejection::Missing
            | Rejection::Empty
            | Rejection::Spaces
            | Rejection::Repeated
            | Rejection::Basic(_)
            | Rejection::UnknownToken
            | Rejection::InactiveOwner => reply::token_not_valid(JwtFault::Invalid),
        }),
        RefreshError::Trouble(trouble) => trouble.into(),
    }
}

/// `users/me/`. The account may be gone between the proof and the look-up: then the credential
/// is told what it would have been told a moment later.
pub(super) fn of_profile(error: ProfileError, kind: CredentialKind) -> Failure {
    match error {
        ProfileError::Gone => gone(kind),
        ProfileError::InvalidUsername(faults) => bad_username(faults),
        ProfileError::InvalidEmail(faults) => bad_email(faults),
        ProfileError::Taken(field) => taken(field).into(),
        ProfileError::Trouble(trouble) => trouble.into(),
    }
}

/// The present password of the caller.
pub(super) fn of_proof(error: ProofError, kind: CredentialKind) -> Failure {
    match error {
        ProofError::Gone => gone(kind),
        ProofError::WrongPassword => Faults::one("current_password", WRONG_PASSWORD).into(),
        ProofError::Throttled(throttled) => throttled.into(),
        ProofError::Trouble(trouble) => trouble.into(),
    }
}

/// `users/set_password/`.
pub(super) fn of_password(error: PasswordError) -> Failure {
    match error {
        PasswordError::Weak(weak) => weak_password("new_password", &weak),
        PasswordError::Mismatch => non_field(MISMATCH),
        // The password that proved the caller is the wrong one by now.
        PasswordError::Overtaken => Faults::one("current_password", WRONG_PASSWORD).into(),
        PasswordError::Trouble(trouble) => trouble.into(),
    }
}

/// `users/set_username/` and `users/reset_username_confirm/`.
pub(super) fn of_rename(error: RenameError, kind: CredentialKind) -> Failure {
    match error {
        RenameError::Invalid(faults) => {
            Faults::several("new_username", faults.into_iter().map(username_text)).into()
        }
        RenameError::Taken => Faults::one("new_username", NAME_TAKEN).into(),
        RenameError::Mismatch => non_field("The two username fields didn't match."),
        RenameError::Gone => gone(kind),
        RenameError::Link(link) => link.into(),
        RenameError::Trouble(trouble) => trouble.into(),
    }
}

/// The field and the words for a name or an address that is taken.
pub(super) fn taken(field: Field) -> Faults {
    match field {
        Field::Username => Faults::one("username", NAME_TAKEN),
        Field::Email => Faults::one("email", "A user with that email already exists."),
    }
}

fn bad_username(faults: Vec<NameFault>) -> Failure {
    Faults::several("username", faults.into_iter().map(username_text)).into()
}

fn bad_email(faults: Vec<NameFault>) -> Failure {
    Faults::several("email", faults.into_iter().map(email_text)).into()
}

fn gone(kind: CredentialKind) -> Failure {
    Failure::from(reply::rejection(&match kind {
        CredentialKind::Opaque => Rejection::UnknownToken,
        CredentialKind::Jwt => Rejection::UserNotFound,
        CredentialKind::Basic => Rejection::Basic(BasicFault::Refused),
    }))
}

fn weak_password(field: &'static str, weak: &[Weakness]) -> Failure {
    Faults::several(field, weak.iter().map(|weakness| weakness_text(*weakness).into())).into()
}

/// The words of Django's four validators.
fn weakness_text(weakness: Weakness) -> &'static str {
    match weakness {
        Weakness::TooSimilar(Attribute::Username) => "The password is too similar to the username.",
        Weakness::TooSimilar(Attribute::FirstName) => {
            "The password is too similar to the first name."
        }
        Weakness::TooSimilar(Attribute::LastName) => {
            "The password is too similar to the last name."
        }
        Weakness::TooSimilar(Attribute::Email) => {
            "The password is too similar to the email address."
        }
        Weakness::TooShort => "This password is too short. It must contain at least 8 characters.",
        Weakness::TooCommon => "This password is too common.",
        Weakness::Numeric => "This password is entirely numeric.",
    }
}

fn non_field(message: &'static str) -> Failure {
    Faults::one("non_field_errors", message).into()
}

fn bare_list(message: &str) -> Failure {
    Failure::from(reply::json(StatusCode::BAD_REQUEST, &json!([message])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::time::Duration;

    fn shown(failure: Failure) -> (u16, Value) {
        let reply = failure.into_reply();
        (reply.status().as_u16(), serde_json::from_slice(reply.body()).unwrap())
    }

    #[test]
    fn weak_passwords_are_told_every_weakness_in_order() {
        let weak = vec![
            Weakness::TooSimilar(Attribute::LastName),
            Weakness::TooShort,
            Weakness::TooCommon,
            Weakness::Numeric,
        ];
        let wanted = json!({"password": [
            "The password is too similar to the last name.",
            "This password is too short. It must contain at least 8 characters.",
            "This password is too common.",
            "This password is entirely numeric.",
        ]});
        assert_eq!(shown(RegisterError::Weak(weak.clone()).into()), (400, wanted.clone()));
        let again = json!({"new_password": wanted["password"]});
        assert_eq!(shown(ResetError::Weak(weak).into()), (400, again));
    }

    #[test]
    fn a_failed_login_reads_differently_on_its_two_endpoints() {
        let form = json!({"non_field_errors": ["Unable to log in with provided credentials."]});
        assert_eq!(shown(of_token_login(LoginError::Refused)), (400, form));
        let detail = json!({"detail": "No active account found with the given credentials"});
        assert_eq!(shown(of_jwt_login(LoginError::Refused)), (401, detail));
    }

    #[test]
    fn djosers_bare_lists_stay_bare() {
        let create = json!(["Unable to create account."]);
        assert_eq!(shown(RegisterError::NameTaken.into()), (400, create));
        let unknown = json!(["User with given email does not exist."]);
        assert_eq!(shown(ResetRequestError::UnknownEmail.into()), (400, unknown));
    }

    #[test]
    fn a_blacklisted_token_is_a_401_at_refresh_and_a_400_at_verify() {
        let ended = || RefreshError::Rejected(Rejection::Jwt(JwtFault::Blacklisted));
        let refused = json!({"detail": "Token is blacklisted", "code": "token_not_valid"});
        assert_eq!(shown(of_refresh(ended())), (401, refused));
        let form = json!({"non_field_errors": ["Token is blacklisted"]});
        assert_eq!(shown(of_verify(ended())), (400, form));
    }

    #[test]
    fn inactive_and_deleted_accounts_refresh_alike() {
        let wanted = json!({"detail": "No active account found for the given token."});
        for rejection in [Rejection::UserInactive, Rejection::UserNotFound] {
            let error = RefreshError::Rejected(rejection);
            assert_eq!(shown(of_refresh(error)), (401, wanted.clone()));
        }
    }

    #[test]
    fn our_own_trouble_is_never_a_401() {
        for trouble in [Trouble::Unavailable, Trouble::Busy(Busy)] {
            assert_eq!(shown(trouble.into()).0, 503);
        }
        assert_eq!(shown(IdentifyError::Unavailable.into()).0, 503);
    }

    #[test]
    fn a_throttled_login_reads_as_drf_writes_it() {
        let throttled =
            Throttled { retry_after: Duration::from_secs(30), policy: "login_per_account" };
        let wanted = json!({"detail": "Request was throttled. Expected available in 30 seconds."});
        assert_eq!(shown(of_token_login(LoginError::Throttled(throttled))), (429, wanted));
    }
}
