//! Other proxies ask here whether a request that they hold may pass: what they ask about.
//!
//! Each dialect tells the held request in headers of its own. Nothing is guessed: what is
//! missing, or told twice, is refused, because a default could be the wrong route's. It must
//! not know what is decided.

mod answer;

use http::{HeaderMap, HeaderName, Method};

const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const X_ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");

/// How the held request is told, and what may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Traefik's `forwardAuth`, Caddy's `forward_auth`: `X-Forwarded-Method`, `-Host`, `-Uri`.
    ForwardAuth,
    /// nginx' `auth_request`, ingress-nginx: `X-Original-URL`, `X-Original-Method`. Anything but
    /// 2xx, 401 and 403 would become a 500 there.
    AuthRequest,
    /// Envoy's `ext_authz` over HTTP, and what is built on it: the method, `Host` and path of the
    /// question itself, behind our prefix.
    ExtAuthz,
}

/// A request that another proxy holds.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) dialect: Dialect,
    pub(super) method: Method,
    /// As that proxy received it: origin-form, or the whole URL.
    pub(super) target: String,
    pub(super) host: String,
    /// Where in the target the path begins.
    path: usize,
}

impl Dialect {
    /// By what follows our prefix; and what follows the dialect's name, with the query.
    pub(super) fn of(rest: &str) -> Option<(Self, &str)> {
        [Self::ForwardAuth, Self::AuthRequest, Self::ExtAuthz].into_iter().find_map(|dialect| {
            let rest = rest.strip_prefix('/')?.strip_prefix(dialect.as_str())?;
            matches!(rest.as_bytes(), [] | [b'/' | b'?', ..]).then_some((dialect, rest))
        })
    }

    /// Its name, in paths and logs.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ForwardAuth => "forward-auth",
            Self::AuthRequest => "auth-request",
            Self::ExtAuthz => "ext-authz",
        }
    }

    /// Reads what is asked about. `rest`: what follows the dialect's name in the question's path.
    ///
    /// # Errors
    /// A sentence for the other proxy's operator.
    pub(super) fn read(
        self,
        rest: &str,
        method: &Method,
        host: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Asked, &'static str> {
        const NO_HOST: &str = "The question names no host.";
        match self {
            Self::ForwardAuth => {
                let target = only(headers, &X_FORWARDED_URI)
                    .ok_or("The question must have one X-Forwarded-Uri.")?;
                let host = only(headers, &X_FORWARDED_HOST)
                    .ok_or("The question must have one X-Forwarded-Host.")?;
                let method = held_method(headers, &X_FORWARDED_METHOD)
                    .ok_or("The question must have one X-Forwarded-Method.")?;
                Ok(Asked::new(self, method, target, host, 0))
            }
            Self::AuthRequest => {
                let method = held_method(headers, &X_ORIGINAL_METHOD)
                    .ok_or("The question must have one X-Original-Method.")?;
                let url = only(headers, &X_ORIGINAL_URL)
                    .ok_or("The question must have one X-Original-URL.")?;
                let (_, after) = url.split_once("://").ok_or("X-Original-URL is no URL.")?;
                let end = after.find(['/', '?']).unwrap_or(after.len());
                if end == 0 {
                    return Err(NO_HOST);
                }
                Ok(Asked::new(self, method, url, &after[..end], url.len() - after.len() + end))
            }
            Self::ExtAuthz => {
                let target = if rest.starts_with('/') { rest } else { "/" };
                let host = host.ok_or(NO_HOST)?;
                Ok(Asked::new(self, method.clone(), target, host, 0))
            }
        }
    }
}

impl Asked {
    fn new(dialect: Dialect, method: Method, target: &str, host: &str, path: usize) -> Self {
        Self { dialect, method, target: target.to_owned(), host: host.to_owned(), path }
    }

    /// For the log.
    pub(super) fn path(&self) -> &str {
        self.target.get(self.path..).unwrap_or_default()
    }
}

/// The one value of a header; `None` if there are several, or it is no text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?.to_str().ok()?;
    (lines.next().is_none() && !line.is_empty()).then_some(line)
}

fn held_method(headers: &HeaderMap, name: &HeaderName) -> Option<Method> {
    Method::from_bytes(only(headers, name)?.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(rest: &str, lines: &[(&'static str, &'static str)]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let (dialect, rest) = Dialect::of(rest).expect("a dialect");
        let asked = dialect.read(rest, &Method::PUT, Some("outer.example"), &headers)?;
        let Asked { method, target, host, .. } = &asked;
        Ok(format!("{method} {target} at {host}, path {}", asked.path()))
    }

    #[test]
    fn a_dialect_is_named_by_a_whole_segment() {
        let named = |rest| Dialect::of(rest).map(|(dialect, rest)| (dialect.as_str(), rest));
        assert_eq!(named("/forward-auth"), Some(("forward-auth", "")));
        assert_eq!(named("/auth-request/?a"), Some(("auth-request", "/?a")));
        assert_eq!(named("/ext-authz/a/b?c"), Some(("ext-authz", "/a/b?c")));
        for none in ["", "/", "/forward-authx", "/forward", "/x/forward-auth", "forward-auth"] {
            assert_eq!(named(none), None, "{none}");
        }
    }

    #[test]
    fn traefik_and_caddy_tell_method_host_and_uri() {
        let told = [
            ("x-forwarded-method", "POST"),
            ("x-forwarded-host", "app.example"),
            ("x-forwarded-uri", "/a?b=c"),
        ];
        let expected = "POST /a?b=c at app.example, path /a?b=c";
        assert_eq!(read("/forward-auth", &told).unwrap(), expected);
        for missing in 0..told.len() {
            let mut less = told.to_vec();
            less.remove(missing);
            assert!(read("/forward-auth", &less).is_err(), "without {:?}", told[missing]);
            let mut twice = told.to_vec();
            twice.push(told[missing]);
            assert!(read("/forward-auth", &twice).is_err(), "{:?} twice", told[missing]);
        }
    }

    #[test]
    fn nginx_tells_a_whole_url() {
        let ask =
            |url| read("/auth-request", &[("x-original-method", "GET"), ("x-original-url", url)]);
        assert_eq!(
            ask("https://app.example:8443/a/b?c=d").unwrap(),
            "GET https://app.example:8443/a/b?c=d at app.example:8443, path /a/b?c=d"
        );
        assert_eq!(ask("http://a").unwrap(), "GET http://a at a, path ");
        assert_eq!(ask("http://a?b").unwrap(), "GET http://a?b at a, path ?b");
        for bad in ["/a/b", "app.example/a", "http:///a", "http://"] {
            assert!(ask(bad).is_err(), "{bad}");
        }
        assert!(read("/auth-request", &[("x-original-url", "http://a/")]).is_err(), "no method");
        assert!(read("/auth-request", &[("x-original-method", "GET")]).is_err(), "no URL");
    }

    #[test]
    fn envoy_asks_in_the_words_of_the_held_request() {
        let expected = "PUT /a?b at outer.example, path /a?b";
        assert_eq!(read("/ext-authz/a?b", &[("x-forwarded-uri", "/z")]).unwrap(), expected);
        assert_eq!(read("/ext-authz", &[]).unwrap(), "PUT / at outer.example, path /");
    }
}
