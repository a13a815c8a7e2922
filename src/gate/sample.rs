//! Settings and identities for the tests of this module.

use std::sync::Arc;

use http::HeaderValue;

use crate::config::{IdentityHeaders, Preset};
use crate::identity::{Asserted, CredentialKind, HeaderValues, Identity, Subject};
use crate::model::UserId;

/// The default names, but for one of the operator's own.
pub(super) fn identity_headers() -> IdentityHeaders {
    IdentityHeaders {
        preset: Preset::XForwarded,
        user: "X-Forwarded-User".into(),
        user_id: "X-Forwarded-User-Id".into(),
        email: "X-Corp-Mail".into(),
        unverified_email: false,
        groups: "X-Forwarded-Groups".into(),
        assertion: String::new(),
    }
}

/// Somebody without rank or groups.
pub(super) fn identity(name: &str) -> Arc<Identity> {
    member(name, &[])
}

/// Somebody in these groups.
pub(super) fn member(name: &str, groups: &[&str]) -> Arc<Identity> {
    Arc::new(build(name, groups, Rank::None))
}

/// Somebody of the staff.
pub(super) fn staff(name: &str) -> Arc<Identity> {
    Arc::new(build(name, &[], Rank::Staff))
}

/// A superuser, who need not be staff.
pub(super) fn superuser(name: &str) -> Arc<Identity> {
    Arc::new(build(name, &[], Rank::Superuser))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    None,
    Staff,
    Superuser,
}

fn build(name: &str, groups: &[&str], rank: Rank) -> Identity {
    let value = |text: &str| HeaderValue::from_str(text).unwrap();
    Identity {
        subject: Subject::Local(UserId(7)),
        username: name.into(),
        is_staff: rank == Rank::Staff,
        is_superuser: rank == Rank::Superuser,
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        kind: CredentialKind::Jwt,
        login: None,
        jti: None,
        expires: None,
        values: HeaderValues {
            user: value(name),
            user_id: value("7"),
            email: None,
            groups: (!groups.is_empty()).then(|| value(&groups.join(","))),
        },
        asserted: Asserted::default(),
    }
}
