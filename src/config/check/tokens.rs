//! `[tokens]`: keys and algorithms that fit, and issuers that cannot be confused.

use crate::config::fault::Report;
use crate::config::sections::{JwtTokens, OpaqueTokens, Tokens, TrustedIssuer, TrustedUsers};
use crate::config::values::{Lifetime, Period};
use crate::config::words::suggest;

/// What tokens may be signed with. Symmetric ones first.
const ALGORITHMS: [&str; 12] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA",
];
const SHORTEST_SECRET: usize = 32;

pub(super) fn check(tokens: &Tokens, report: &mut Report) {
    opaque(&tokens.opaque, report);
    own(&tokens.jwt, report);
    trusted(&tokens.jwt, report);
}

fn opaque(opaque: &OpaqueTokens, report: &mut Report) {
    let spans = [
        ("tokens.opaque.lifetime", opaque.lifetime),
        ("tokens.opaque.idle_timeout", opaque.idle_timeout),
    ];
    for (key, span) in spans {
        if matches!(span, Lifetime::For(span) if span.as_secs() == 0) {
            let remedy = "write a second or more, or never";
            report.fault(key, "tokens would end as soon as they begin", remedy);
        }
    }
    if opaque.max_per_user == 0 {
        let remedy = "write 1 or more";
        report.fault("tokens.opaque.max_per_user", "nobody could log in", remedy);
    }
}

fn is_symmetric(algorithm: &str) -> bool {
    algorithm.starts_with("HS")
}

fn own(jwt: &JwtTokens, report: &mut Report) {
    let secret = jwt.signing_key.expose().len();
    if !ALGORITHMS.contains(&jwt.algorithm.as_str()) {
        let text = format!("`{}` is no algorithm for tokens", jwt.algorithm);
        report.fault("tokens.jwt.algorithm", text, suggest(&jwt.algorithm, &ALGORITHMS));
    } else if is_symmetric(&jwt.algorithm) {
        if secret < SHORTEST_SECRET {
            let text =
                format!("{} needs a secret of {SHORTEST_SECRET} bytes or more", jwt.algorithm);
            let remedy = "write one (Django's SECRET_KEY keeps old tokens good), or algorithm = \"ES256\", which needs none";
            report.fault_because("tokens.jwt.signing_key", "tokens.jwt.algorithm", text, remedy);
        }
        if !jwt.keys.is_empty() {
            let text = format!("not used: {} signs with signing_key", jwt.algorithm);
            report.warn("tokens.jwt.keys", text);
        }
    } else if secret > 0 {
        let text =
            format!("not used: {} signs with a key from keys or the database", jwt.algorithm);
        report.warn("tokens.jwt.signing_key", text);
    }
    whole_seconds("tokens.jwt.access_lifetime", jwt.access_lifetime, report);
    whole_seconds("tokens.jwt.refresh_lifetime", jwt.refresh_lifetime, report);
    extra_claims(jwt, report);
    let names = [
        ("tokens.jwt.user_id_claim", &jwt.user_id_claim),
        ("tokens.jwt.token_type_claim", &jwt.token_type_claim),
        ("tokens.jwt.jti_claim", &jwt.jti_claim),
    ];
    for (index, (key, name)) in names.iter().enumerate() {
        if name.is_empty() {
            report.fault(key, "a claim needs a name", "write one, or leave the key out");
        } else if names[..index].iter().any(|(_, earlier)| earlier == name)
            || ["exp", "iat", "nbf", "iss", "aud", "sid", "gen"].contains(&name.as_str())
        {
            let text = format!("`{name}` is the name of another claim");
            report.fault(key, text, "choose another name");
        }
    }
    if jwt.leeway > jwt.access_lifetime {
        let text = "longer than access tokens live: each lives more than twice as long as it says";
        report.warn_because("tokens.jwt.leeway", "tokens.jwt.access_lifetime", text);
    }
    if jwt.auth_header_types.is_empty() {
        let key = "tokens.jwt.auth_header_types";
        report.fault(key, "no token could be sent", "write [\"Bearer\"]");
    }
    for word in &jwt.auth_header_types {
        let known = word.eq_ignore_ascii_case("token") || word.eq_ignore_ascii_case("basic");
        if known || word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let text = format!("`{word}` cannot stand before a JWT");
            let remedy = "write one word of letters that says something else than Token and Basic";
            report.fault("tokens.jwt.auth_header_types", text, remedy);
        }
    }
}

/// Claims count in whole seconds: less than one is none.
fn whole_seconds(key: &str, lifetime: Period, report: &mut Report) {
    if lifetime.as_secs() == 0 {
        report.fault(key, "tokens would end as soon as they begin", "write a second or more");
    }
}

fn extra_claims(jwt: &JwtTokens, report: &mut Report) {
    let key = "tokens.jwt.extra_claims";
    for (index, claim) in jwt.extra_claims.iter().enumerate() {
        if !["sid", "gen"].contains(&claim.as_str()) {
            let text = format!("`{claim}` is none of sid, gen");
            report.element_fault(key, index, text, suggest(claim, &["sid", "gen"]));
        } else if jwt.extra_claims[..index].contains(claim) {
            report.element_fault(key, index, format!("`{claim}` twice"), "leave one out");
        }
    }
    if jwt.strict_revocation && !jwt.extra_claims.iter().any(|claim| claim == "sid") {
        let text = "without \"sid\" in extra_claims a token does not tell its login: a logout ends the token alone";
        report.warn_because("tokens.jwt.strict_revocation", key, text);
    }
}

fn trusted(jwt: &JwtTokens, report: &mut Report) {
    for (index, issuer) in jwt.trusted.iter().enumerate() {
        let key = |field: &str| format!("tokens.jwt.trusted.{index}.{field}");
        let earlier = &jwt.trusted[..index];
        name(issuer, earlier, &key("name"), report);
        keys(issuer, &key, report);
        if issuer.user_claim.is_empty() {
            report.fault(&key("user_claim"), "a claim needs a name", "write one, such as \"sub\"");
        }
        // A token is checked by exactly one key, whatever its header says.
        let same = |algorithm: &str, of: &str| algorithm == issuer.algorithm && of == issuer.issuer;
        let remedy = "give each an `issuer` of its own, or another algorithm";
        if same(&jwt.algorithm, &jwt.issuer) {
            let text = "our own tokens have the same algorithm and issuer: it is not clear which key checks which";
            report.fault(&key("issuer"), text, remedy);
        } else if let Some(other) =
            earlier.iter().find(|other| same(&other.algorithm, &other.issuer))
        {
            let text = format!(
                "`{}` has the same algorithm and issuer: it is not clear which key checks which",
                other.name
            );
            report.fault(&key("issuer"), text, remedy);
        }
    }
}

fn name(issuer: &TrustedIssuer, earlier: &[TrustedIssuer], key: &str, report: &mut Report) {
    let remedy = "write a short word of its own, such as \"django\"";
    if issuer.name.is_empty() {
        report.fault(key, "is missing", remedy);
    } else if issuer.name.contains(':') || issuer.name.chars().any(char::is_control) {
        let text = "the name has a `:` or a control: it separates name and subject in ids";
        report.fault(key, text, remedy);
    } else if earlier.iter().any(|other| other.name == issuer.name) {
        report.fault(key, format!("`{}` is another one's name", issuer.name), remedy);
    }
}

fn keys(issuer: &TrustedIssuer, key: &impl Fn(&str) -> String, report: &mut Report) {
    if issuer.algorithm.is_empty() {
        let remedy = "write the one algorithm its tokens have, such as \"RS256\"";
        report.fault(&key("algorithm"), "is missing", remedy);
    } else if !ALGORITHMS.contains(&issuer.algorithm.as_str()) {
        let text = format!("`{}` is no algorithm for tokens", issuer.algorithm);
        report.fault(&key("algorithm"), text, suggest(&issuer.algorithm, &ALGORITHMS));
    }
    let given = [
        ("secret", !issuer.secret.is_empty()),
        ("public_key_file", issuer.public_key_file.is_some()),
        ("jwks_file", issuer.jwks_file.is_some()),
        ("jwks_url", !issuer.jwks_url.is_empty()),
    ];
    let given: Vec<_> = given.into_iter().filter(|(_, is)| *is).map(|(field, _)| field).collect();
    let symmetric = is_symmetric(&issuer.algorithm);
    match given.as_slice() {
        [] => {
            let field = if symmetric { "secret" } else { "public_key_file" };
            let remedy = "write one of secret, public_key_file, jwks_file and jwks_url";
            report.fault(&key(field), "there is nothing to check its tokens with", remedy);
        }
        ["secret"] if !issuer.algorithm.is_empty() && !symmetric => {
            let text = format!("{} is not checked with a secret", issuer.algorithm);
            let remedy = "write public_key_file, jwks_file or jwks_url, or an algorithm HS…";
            report.fault(&key("secret"), text, remedy);
        }
        ["secret"] if issuer.secret.expose().len() < SHORTEST_SECRET => {
            let text =
                format!("shorter than {SHORTEST_SECRET} bytes: whoever guesses it is anybody");
            report.warn(&key("secret"), text);
        }
        ["secret"] => {}
        [field] if symmetric => {
            let text =
                format!("{} is checked with a secret, not with a public key", issuer.algorithm);
            report.fault(&key(field), text, "write secret or secret_file, or another algorithm");
        }
        [_] => {}
        [_, second, ..] => {
            let text = format!("only one of {} can be", given.join(", "));
            report.fault(&key(second), text, "leave the others out");
        }
    }
    if !issuer.jwks_url.is_empty() {
        let here = ["http://127.0.0.1:", "http://[::1]:", "http://localhost:"];
        let is_safe = issuer.jwks_url.starts_with("https://")
            || here.iter().any(|start| issuer.jwks_url.starts_with(start));
        if !is_safe {
            let text = "whoever is on the way could put in keys of their own";
            report.fault(&key("jwks_url"), text, "write an address that begins with https://");
        }
        for (field, missing) in
            [("issuer", issuer.issuer.is_empty()), ("audience", issuer.audience.is_empty())]
        {
            if missing {
                let text = "is required with jwks_url: such issuers sign for many";
                report.fault(&key(field), text, "write what its tokens for you have there");
            }
        }
    }
    if issuer.users == TrustedUsers::Claims && issuer.issuer.is_empty() && !symmetric {
        let text = "not checked: any token that this key signed is believed, whoever it was for";
        report.warn(&key("issuer"), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::testing::{faulty, warned};

    const LONG: &str = "0123456789abcdef0123456789abcdef";

    fn changed(change: impl FnOnce(&mut JwtTokens)) -> Tokens {
        let mut tokens = Tokens::default();
        change(&mut tokens.jwt);
        tokens
    }

    fn issuer(name: &str, algorithm: &str, of: &str) -> TrustedIssuer {
        let (name, algorithm, issuer) = (name.to_owned(), algorithm.to_owned(), of.to_owned());
        let secret = if is_symmetric(&algorithm) { LONG.into() } else { "".into() };
        let public_key_file = (!is_symmetric(&algorithm)).then(|| "key.pem".into());
        TrustedIssuer { name, algorithm, secret, public_key_file, issuer, ..Default::default() }
    }

    #[test]
    fn the_defaults_are_good() {
        assert!(warned(check, &Tokens::default()).is_empty());
    }

    #[test]
    fn a_symmetric_algorithm_needs_a_long_secret() {
        let with = |algorithm: &str, secret: &str| {
            changed(|jwt| {
                jwt.algorithm = algorithm.to_owned();
                jwt.signing_key = secret.into();
            })
        };
        assert!(faulty(check, &with("HS256", LONG)).is_empty());
        assert_eq!(faulty(check, &with("HS512", "short")), ["tokens.jwt.signing_key"]);
        assert_eq!(faulty(check, &with("HS256", "")), ["tokens.jwt.signing_key"]);
        assert_eq!(warned(check, &with("EdDSA", LONG)), ["tokens.jwt.signing_key"]);
        for wrong in ["none", "", "es256", "ES512"] {
            assert_eq!(faulty(check, &with(wrong, "")), ["tokens.jwt.algorithm"], "{wrong}");
        }
    }

    #[test]
    fn tokens_live_for_a_while() {
        let mut tokens = changed(|jwt| {
            jwt.access_lifetime = Period::millis(999);
            jwt.refresh_lifetime = Period::seconds(1);
        });
        tokens.opaque.idle_timeout = Lifetime::For(std::time::Duration::ZERO);
        tokens.opaque.max_per_user = 0;
        assert_eq!(
            faulty(check, &tokens),
            [
                "tokens.jwt.access_lifetime",
                "tokens.opaque.idle_timeout",
                "tokens.opaque.max_per_user"
            ]
        );
    }

    #[test]
    fn only_known_claims_are_added() {
        let with = |claims: &[&str]| {
            changed(|jwt| {
                jwt.extra_claims = claims.iter().map(|claim| (*claim).to_owned()).collect();
            })
        };
        assert!(warned(check, &with(&["sid"])).is_empty());
        assert_eq!(warned(check, &with(&[])), ["tokens.jwt.strict_revocation"]);
        let key = "tokens.jwt.extra_claims";
        assert_eq!(faulty(check, &with(&["sid", "sid", "email"])), [key, key]);
    }

    #[test]
    fn claims_have_names_of_their_own() {
        let tokens = changed(|jwt| {
            jwt.user_id_claim = "exp".to_owned();
            jwt.token_type_claim = "jti".to_owned();
        });
        assert_eq!(faulty(check, &tokens), ["tokens.jwt.jti_claim", "tokens.jwt.user_id_claim"]);
    }

    #[test]
    fn issuers_are_told_apart_by_name_and_by_algorithm_and_issuer() {
        let with = |trusted: Vec<TrustedIssuer>| changed(|jwt| jwt.trusted = trusted);
        assert!(
            faulty(
                check,
                &with(vec![
                    issuer("django", "HS256", ""),
                    issuer("partner", "RS256", ""),
                    issuer("sso", "RS256", "https://sso.example"),
                ])
            )
            .is_empty()
        );

        let tokens = with(vec![
            issuer("a", "HS256", ""),
            issuer("a", "HS256", ""),
            issuer("b:c", "ES256", ""),
        ]);
        assert_eq!(
            faulty(check, &tokens),
            [
                "tokens.jwt.trusted[1].issuer",
                "tokens.jwt.trusted[1].name",
                "tokens.jwt.trusted[2].issuer",
                "tokens.jwt.trusted[2].name",
            ]
        );
    }

    #[test]
    fn exactly_one_thing_that_fits_the_algorithm_checks_an_issuers_tokens() {
        let check_one = |change: &dyn Fn(&mut TrustedIssuer), algorithm: &str| {
            let mut one = issuer("one", algorithm, "https://one.example");
            change(&mut one);
            let keys = faulty(check, &changed(|jwt| jwt.trusted = vec![one]));
            let short = keys.iter().filter_map(|key| key.strip_prefix("tokens.jwt.trusted[0]."));
            short.map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(check_one(&|_| {}, "HS256").is_empty());
        assert_eq!(check_one(&|one| one.secret = "".into(), "HS256"), ["secret"]);
        assert_eq!(check_one(&|one| one.public_key_file = None, "RS256"), ["public_key_file"]);
        assert_eq!(check_one(&|one| one.secret = LONG.into(), "RS256"), ["public_key_file"]);
        let swapped = |one: &mut TrustedIssuer| {
            one.secret = LONG.into();
            one.public_key_file = None;
        };
        assert_eq!(check_one(&swapped, "RS256"), ["secret"]);
        let public = |one: &mut TrustedIssuer| {
            one.secret = "".into();
            one.jwks_file = Some("keys.json".into());
        };
        assert_eq!(check_one(&public, "HS256"), ["jwks_file"]);
        let fetched = |one: &mut TrustedIssuer| {
            one.public_key_file = None;
            one.issuer = String::new();
            one.jwks_url = "http://sso.example/keys".to_owned();
        };
        assert_eq!(check_one(&fetched, "RS256"), ["audience", "issuer", "jwks_url"]);
        let nothing = |one: &mut TrustedIssuer| *one = TrustedIssuer::default();
        assert_eq!(check_one(&nothing, ""), ["algorithm", "name", "public_key_file"]);
    }
}
