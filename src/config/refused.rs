//! Settings of djoser, simplejwt and Django that cannot exist here, and what to use instead.
//!
//! Whoever moves over writes them, so they deserve better than "unknown key".

use super::fault::Report;
use super::tree::{Table, table_at};

/// Section, name in lower case (`*` at the end: anything more), and what to use instead.
const REFUSED: &[(&str, &str, &str)] = &[
    ("", "djoser", "write djoser's settings in lower case under [accounts]"),
    ("", "simple_jwt", "write simplejwt's settings in lower case under [tokens.jwt]"),
    (
        "",
        "rest_framework",
        "who may call what is said by `access` of [[routes]], how often under [limits]",
    ),
    (
        "",
        "auth_password_validators",
        "Django's four are always on; accounts.password_similarity tunes the first",
    ),
    ("", "password_reset_timeout", "write it under [accounts]"),
    (
        "accounts",
        "serializers",
        "the bodies are djoser's; keep other fields in your own application, under the id it is sent",
    ),
    (
        "accounts",
        "permissions",
        "the API has djoser's permissions; for everything else use `access` and `groups` of [[routes]]",
    ),
    (
        "accounts",
        "email",
        "choose mails by the send_… and …_email_confirmation switches, and texts by mail.templates",
    ),
    ("accounts", "constants", "messages are djoser's own in English"),
    (
        "accounts",
        "create_session_on_login",
        "there are no Django sessions; back ends get identity headers: [identity_headers]",
    ),
    ("accounts", "token_model", "tokens are kept by the gateway, set up under [tokens.opaque]"),
    (
        "accounts",
        "social_auth_*",
        "there is no social login; believe the provider's tokens by [[tokens.jwt.trusted]]",
    ),
    (
        "accounts",
        "webauthn*",
        "there is no WebAuthn; believe another issuer's tokens by [[tokens.jwt.trusted]]",
    ),
    (
        "accounts",
        "password_validators",
        "Django's four are always on; password_similarity tunes the first",
    ),
    (
        "accounts",
        "auth_password_validators",
        "Django's four are always on; password_similarity tunes the first",
    ),
    ("tokens.jwt", "access_token_lifetime", "write access_lifetime"),
    ("tokens.jwt", "refresh_token_lifetime", "write refresh_lifetime"),
    (
        "tokens.jwt",
        "auth_header_name",
        "credentials come in `Authorization`, as the specification says",
    ),
    ("tokens.jwt", "auth_token_classes", "access tokens are accepted and no others"),
    (
        "tokens.jwt",
        "token_user_class",
        "users come from the database; for identities out of claims write users = \"claims\" under [[tokens.jwt.trusted]]",
    ),
    (
        "tokens.jwt",
        "user_authentication_rule",
        "inactive users are refused; write check_user_is_active",
    ),
    (
        "tokens.jwt",
        "revoke_token_claim",
        "the claim cannot be renamed; switch it on by check_revoke_token",
    ),
    ("tokens.jwt", "json_encoder", "claims are text and numbers"),
    (
        "tokens.jwt",
        "sliding_token_*",
        "there are no sliding tokens; use refresh tokens with rotate_refresh_tokens",
    ),
    ("tokens.jwt", "*_serializer", "the bodies are simplejwt's"),
];

/// Takes such settings out of a layer and reports them.
pub(super) fn take_out(layer: &mut Table, report: &mut Report) {
    for (section, pattern, instead) in REFUSED {
        let Some(table) = table_at(layer, section) else { continue };
        let mut found: Vec<String> =
            table.keys().filter(|name| matches(pattern, &name.to_lowercase())).cloned().collect();
        found.sort();
        for name in found {
            let Some(value) = table.remove(&name) else { continue };
            let key = if section.is_empty() { name } else { format!("{section}.{name}") };
            let place = super::tree::place(&value).unwrap_or_default();
            report.fault_at(&place, &key, "this setting does not exist here", *instead);
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources;

    #[test]
    fn a_setting_that_cannot_exist_is_refused_with_what_to_use() {
        let text = "[accounts]\nSERIALIZERS = {}\nlogin_field = 'email'\n\
                    SOCIAL_AUTH_ALLOWED_REDIRECT_URIS = []\n[tokens.jwt]\naccess_token_lifetime = 300\n";
        let mut report = Report::default();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.toml");
        std::fs::write(&file, text).unwrap();
        let mut layer = sources::file(&file, &mut report).unwrap();
        take_out(&mut layer.0, &mut report);

        let faults = report.finish().unwrap_err();
        let line = |place: &str| place.rsplit(':').nth(1).map(str::to_owned).unwrap();
        let told: Vec<_> = faults.0.iter().map(|f| (line(&f.place), f.key.as_str())).collect();
        assert_eq!(
            told,
            [
                ("2".to_owned(), "accounts.SERIALIZERS"),
                ("4".to_owned(), "accounts.SOCIAL_AUTH_ALLOWED_REDIRECT_URIS"),
                ("6".to_owned(), "tokens.jwt.access_token_lifetime"),
            ]
        );
        assert_eq!(faults.0[2].remedy, "write access_lifetime");
        assert_eq!(table_at(&mut layer.0, "accounts").map(|table| table.len()), Some(1));
    }

    #[test]
    fn no_setting_that_exists_is_refused() {
        use crate::config::shape::Shape;
        for (section, pattern, _) in REFUSED {
            let shape = Shape::root().at(section).unwrap();
            assert!(shape.keys().all(|(key, _)| !matches(pattern, key)), "{section} {pattern}");
        }
    }
}
