//! Do identity headers that a client made up reach the application?
//!
//! Every name in every spelling that some server folds into the real one, each with a value of
//! its own, goes through the gateway to a path whose application shows what it got. It must not
//! know what the gateway strips.

use std::path::Path;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, StatusCode};

use super::finding::Findings;
use super::probe::{Ask, Place, ask};
use crate::config::Settings;

const FORGED: &str = "identity-headers";

/// Names that back ends believe from one gateway or another, beside those in the settings.
const NAMES: [&str; 10] = [
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "Remote-User",
    "X-Remote-User",
    "X-Auth-Request-User",
    "X-Consumer-Username",
    "X-Authentik-Username",
    "X-Portcullis-Assertion",
];

/// Headers of one request: below what gateways take.
const AT_ONCE: usize = 25;

/// What is asked, and with what.
pub(super) struct Echo<'a> {
    /// A path whose application shows the headers that it got.
    pub(super) path: &'a str,
    /// A file with a token, if the path needs one.
    pub(super) token_file: Option<&'a Path>,
}

pub(super) async fn check(
    place: &Place,
    settings: &Settings,
    echo: &Echo<'_>,
    findings: &mut Findings,
) {
    let token = match echo.token_file.map(std::fs::read_to_string).transpose() {
        Ok(token) => token,
        Err(error) => {
            let text = format!("the token cannot be read: {error}");
            return findings.problem(FORGED, text, "look at --token-file");
        }
    };
    let mut nonce = [0; 8];
    if aws_lc_rs::rand::fill(&mut nonce).is_err() {
        return findings.not_checked(FORGED, "this machine has no random numbers", "");
    }
    let nonce = hex::encode(nonce);
    let names = names(settings);
    let (mut reached, mut number) = (Vec::new(), 0);
    for names in names.chunks(AT_ONCE) {
        let control = format!("control-{nonce}");
        let mut question = Ask::get(echo.path);
        if let Some(token) = &token {
            let Ok(value) = HeaderValue::from_str(&format!("Bearer {}", token.trim())) else {
                return findings.problem(FORGED, "the token is none", "look at --token-file");
            };
            question = question.header(AUTHORIZATION, value);
        }
        let mut forged = Vec::new();
        for (name, value) in names.iter().map(|name| {
            number += 1;
            // No value is the beginning of another.
            (name, format!("forged-{nonce}-{number}."))
        }) {
            forged.push((name, value.clone()));
            question = question.header(name.clone(), value_of(&value));
        }
        question = question.header(HeaderName::from_static("doctor-control"), value_of(&control));
        let answer = match ask(place, question).await {
            Ok(answer) => answer,
            Err(error) => {
                let text = format!("{} is not answered: {error:#}", echo.path);
                return findings.problem(
                    FORGED,
                    text,
                    "look at the application behind --echo-path",
                );
            }
        };
        let body = String::from_utf8_lossy(&answer.body);
        if !body.contains(&control) {
            return unseen(echo, answer.status, findings);
        }
        let came = forged.iter().filter(|(_, value)| body.contains(value));
        reached.extend(came.map(|(name, _)| name.to_string()));
    }
    if reached.is_empty() {
        let text = format!("{} forged headers reached nobody behind {}", names.len(), echo.path);
        findings.ok(FORGED, text);
    } else {
        let text =
            format!("these reach {} as a client forged them: {}", echo.path, reached.join(" "));
        let remedy = "lead all traffic through the gateway; what stands between it and the \
                      application must not add them from the client's request";
        findings.problem(FORGED, text, remedy);
    }
}

/// Without a path there is nobody who could say.
pub(super) fn without_path(findings: &mut Findings) {
    let text = "whether forged ones reach the application was not tried";
    let remedy = "name a path whose application shows its request's headers: --echo-path /debug";
    findings.not_checked(FORGED, text, remedy);
}

fn unseen(echo: &Echo<'_>, status: StatusCode, findings: &mut Findings) {
    let path = echo.path;
    let needs_token = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if needs_token {
        let text = format!("{path} is answered {status}");
        let remedy = "give the token of somebody who may ask there: --token-file FILE";
        findings.not_checked(FORGED, text, remedy);
    } else {
        let text = format!("{path} is answered {status}, and shows no headers");
        let remedy = "name a path whose application answers with all headers that it got";
        findings.not_checked(FORGED, text, remedy);
    }
}

fn value_of(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// Every name in every spelling.
fn names(settings: &Settings) -> Vec<HeaderName> {
    let own = &settings.identity_headers;
    let own = [&own.user, &own.user_id, &own.email, &own.groups, &own.assertion];
    let own = own.into_iter().map(String::as_str).filter(|name| !name.is_empty());
    let mut names: Vec<String> = own.chain(NAMES).map(str::to_ascii_lowercase).collect();
    names.sort_unstable();
    names.dedup();
    let spellings = names.iter().flat_map(|name| {
        let mixed = name.replacen('-', "_", 1);
        [name.clone(), name.replace('-', "_"), name.replace('-', "."), mixed]
    });
    let mut spellings: Vec<String> = spellings.collect();
    spellings.dedup();
    spellings.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_forged_in_every_spelling() {
        let mut settings = Settings::default();
        settings.identity_headers.user = "X-Who".to_owned();
        let names = names(&settings);
        for name in ["x-who", "x_who", "x.who", "remote-user", "remote_user", "x_forwarded-user"] {
            assert!(names.iter().any(|forged| forged == name), "{name}");
        }
    }
}
