//! Which scripts of other origins may read our own answers (Fetch standard, 3.2).
//!
//! For `/auth/*` and for refusals; what an upstream answers is its own business. A
//! preflight to an upstream's path is judged by the route's rule like any other request:
//! whoever wants it through needs an `anonymous` route with `methods = ["OPTIONS"]`.
//! It must not know what is answered besides.

use std::collections::HashSet;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::config::Cors;

/// The rule of `cors.allowed_origins`. Credentials (cookies) are never allowed: nothing
/// here reads them, tokens travel in `Authorization`.
#[derive(Debug, Clone, Default)]
pub struct CorsPolicy {
    anyone: bool,
    /// In small letters.
    origins: HashSet<Box<[u8]>>,
}

impl CorsPolicy {
    /// From the settings.
    #[must_use]
    pub fn new(settings: &Cors) -> Self {
        let origins = settings.allowed_origins.iter().map(|o| o.trim_end_matches('/'));
        Self {
            anyone: settings.allowed_origins.iter().any(|o| o == "*"),
            origins: origins.map(|o| o.to_ascii_lowercase().into_bytes().into()).collect(),
        }
    }

    /// What an answer of ours carries; nothing where no origin is allowed at all.
    pub fn headers(
        &self,
        request: &HeaderMap,
    ) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let origin = self.allowed(request);
        // Caches must keep answers to other origins apart, also those without the header.
        let varies = !self.anyone && !self.origins.is_empty();
        let vary = varies.then(|| (VARY, HeaderValue::from_static("Origin")));
        origin.map(|origin| (ACCESS_CONTROL_ALLOW_ORIGIN, origin)).into_iter().chain(vary)
    }

    /// Whether a request to `/auth/*` is a preflight that the policy answers: with 204 and
    /// these headers. `None`: an ordinary request.
    #[must_use]
    pub fn preflight(
        &self,
        method: &Method,
        request: &HeaderMap,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let asks = *method == Method::OPTIONS
            && request.contains_key(ORIGIN)
            && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || (!self.anyone && self.origins.is_empty()) {
            return None;
        }
        let mut headers: Vec<_> = self.headers(request).collect();
        if self.allowed(request).is_some() {
            let all = [
                (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
                (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
                (ACCESS_CONTROL_MAX_AGE, "600"),
            ];
            headers.extend(all.map(|(name, value)| (name, HeaderValue::from_static(value))));
        }
        Some(headers)
    }

    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let mut lines = request.get_all(ORIGIN).iter();
        let origin = lines.next()?;
        if lines.next().is_some() {
            return None;
        }
        if self.anyone {
            return Some(HeaderValue::from_static("*"));
        }
        let known = self.origins.contains(origin.as_bytes().to_ascii_lowercase().as_slice());
        known.then(|| origin.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: &[&str]) -> CorsPolicy {
        CorsPolicy::new(&Cors { allowed_origins: origins.iter().map(|o| (*o).into()).collect() })
    }

    fn from(origins: &[&'static str]) -> HeaderMap {
        origins.iter().map(|o| (ORIGIN, HeaderValue::from_static(o))).collect()
    }

    fn told(headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Vec<String> {
        headers.into_iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect()
    }

    #[test]
    fn an_allowed_origin_is_echoed_and_others_are_not() {
        let policy = policy(&["https://app.example", "http://localhost:3000/"]);
        assert_eq!(
            told(policy.headers(&from(&["https://app.example"]))),
            ["access-control-allow-origin: https://app.example", "vary: Origin"]
        );
        assert_eq!(
            told(policy.headers(&from(&["http://localhost:3000"]))),
            ["access-control-allow-origin: http://localhost:3000", "vary: Origin"]
        );
        for other in
            ["https://app.example.evil", "http://app.example", "https://x.app.example", "null", ""]
        {
            assert_eq!(told(policy.headers(&from(&[other]))), ["vary: Origin"], "{other}");
        }
        let mut two = from(&["https://app.example"]);
        two.append(ORIGIN, HeaderValue::from_static("https://app.example"));
        assert_eq!(told(policy.headers(&two)), ["vary: Origin"]);
        assert_eq!(told(policy.headers(&HeaderMap::new())), ["vary: Origin"]);
    }

    #[test]
    fn a_star_allows_every_origin() {
        assert_eq!(
            told(policy(&["*"]).headers(&from(&["https://any.example"]))),
            ["access-control-allow-origin: *"]
        );
    }

    #[test]
    fn without_origins_nothing_is_said() {
        assert!(told(policy(&[]).headers(&from(&["https://app.example"]))).is_empty());
    }

    #[test]
    fn preflights_are_answered_for_allowed_origins() {
        let policy = policy(&["https://app.example"]);
        let mut request = from(&["https://app.example"]);
        assert_eq!(policy.preflight(&Method::OPTIONS, &request), None);
        request.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        assert_eq!(policy.preflight(&Method::POST, &request), None);
        assert_eq!(
            told(policy.preflight(&Method::OPTIONS, &request).unwrap()),
            [
                "access-control-allow-origin: https://app.example",
                "vary: Origin",
                "access-control-allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
                "access-control-allow-headers: authorization, content-type",
                "access-control-max-age: 600",
            ]
        );
        request.insert(ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert_eq!(told(policy.preflight(&Method::OPTIONS, &request).unwrap()), ["vary: Origin"]);
    }
}
