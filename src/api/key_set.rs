//! `/.well-known/jwks.json`: the public keys that our JWTs can be checked with (RFC 7517, 8615).
//!
//! For machines, not for djoser's clients: no negotiation, no credentials, and it may be cached.

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::Request;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Method, StatusCode};

use crate::accounts::Accounts;

use super::reply::{self, Reply};

/// Not below the prefix: where others look for it.
pub(super) const PATH: &str = "/.well-known/jwks.json";

/// [`crate::identity::KEY_SET_AGE`]: long enough to spare us, short enough for a rotation of keys.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// Answers any request to the path.
pub(super) fn answer(accounts: &Accounts, request: &Request) -> Reply {
    let mut reply = match *request.method() {
        Method::GET | Method::HEAD => serve(&accounts.key_set(), request.headers()),
        _ => reply::method_not_allowed(request.method()),
    };
    let headers = reply.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    reply::secure(headers);
    reply
}

fn serve(key_set: &str, asked: &HeaderMap) -> Reply {
    let hash = digest(&SHA256, key_set.as_bytes());
    let tag = format!("\"{}\"", hex::encode(&hash.as_ref()[..16]));
    let known = asked.get_all(IF_NONE_MATCH).iter().any(|line| holds(line, &tag));
    let mut reply = reply::empty(if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, CACHED);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    if !known {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        *reply.body_mut() = Bytes::copy_from_slice(key_set.as_bytes());
    }
    reply
}

/// RFC 9110 section 13.1.2: weak comparison, `*` matches anything.
fn holds(line: &HeaderValue, tag: &str) -> bool {
    let Ok(line) = line.to_str() else { return false };
    line.split(',')
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(if_none_match: Option<&str>) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(value) = if_none_match {
            headers.insert(IF_NONE_MATCH, HeaderValue::try_from(value).unwrap());
        }
        serve("{\"keys\":[]}", &headers)
    }

    #[test]
    fn keys_are_published_for_longer_than_the_set_is_cached() {
        let seconds = crate::identity::KEY_SET_AGE.as_secs();
        assert_eq!(CACHED, format!("public, max-age={seconds}"));
        assert!(crate::identity::PUBLISHED_FOR.as_secs() > seconds);
    }

    #[test]
    fn the_key_set_may_be_cached_and_says_what_it_is() {
        let reply = served(None);
        assert_eq!(reply.status(), StatusCode::OK);
        assert_eq!(reply.headers()[CONTENT_TYPE], "application/jwk-set+json");
        assert_eq!(reply.headers()[CACHE_CONTROL], "public, max-age=300");
        assert_eq!(reply.body(), "{\"keys\":[]}");
    }

    #[test]
    fn who_has_it_already_is_told_so_and_who_has_another_gets_it() {
        let tag = served(None).headers()[ETAG].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let reply = served(Some(&known));
            assert_eq!(reply.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert!(reply.body().is_empty());
            assert_eq!(reply.headers()[ETAG], tag.as_str());
        }
        assert_eq!(served(Some("\"x\"")).status(), StatusCode::OK);
    }
}
