//! Makes identities out of what was proved.
//!
//! It must not know how it was proved.

use super::assertion::Asserted;
use super::jwt::Proof;
use super::proved::{CredentialKind, Identity, Subject};
use super::records::Record;
use super::ties::Ties;
use super::values::HeaderValues;
use crate::model::Timestamp;

/// One of our users, as the record has him.
pub(super) fn local(
    record: &Record,
    kind: CredentialKind,
    ties: &Ties,
    expires: Option<Timestamp>,
) -> Identity {
    Identity {
        subject: Subject::Local(record.stamp.user),
        username: record.username.clone(),
        is_staff: record.is_staff,
        is_superuser: record.is_superuser,
        groups: record.groups.clone(),
        kind,
        login: ties.login,
        jti: ties.jti.clone(),
        expires,
        values: record.values.clone(),
        asserted: Asserted::default(),
    }
}

/// A user of a trusted issuer.
pub(super) fn foreign(name: &str, proof: &Proof) -> Identity {
    Identity {
        subject: Subject::Foreign(name.to_owned()),
        username: name.to_owned(),
        is_staff: false,
        is_superuser: false,
        groups: Vec::new(),
        kind: CredentialKind::Jwt,
        login: None,
        jti: proof.ties.jti.clone(),
        expires: Some(proof.expires),
        values: HeaderValues::of_foreigner(name),
        asserted: Asserted::default(),
    }
}
