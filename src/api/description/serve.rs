//! The description as it is served: made once, for nothing in it changes while the process runs.
//!
//! For machines and people who look, not for djoser's clients: no credentials, and no
//! negotiation, for each of the two paths has one form only.

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH,
};
use http::{HeaderMap, Method, StatusCode};

use crate::api::endpoint::Answered;
use crate::api::reply::{self, Reply};
use crate::config::Settings;

use super::{description, page};

/// The `OpenAPI` registry's media type for 3.1 in JSON.
const OPENAPI: &str = "application/vnd.oai.openapi+json;version=3.1";

/// Either form.
#[derive(Clone)]
struct Form {
    path: &'static str,
    content_type: &'static str,
    policy: HeaderValue,
    tag: HeaderValue,
    body: Bytes,
}

/// Adds both forms to the API's router.
pub(in crate::api) fn mount(router: Router, prefix: &str, settings: &Settings) -> Router {
    let forms = description(settings).map_err(|error| error.to_string()).and_then(|text| {
        let (html, policy) = page::write(&text).map_err(|error| error.to_string())?;
        let none = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        Ok([
            Form::new("/schema/", OPENAPI, none, text),
            Form::new("/docs/", "text/html; charset=utf-8", policy, html),
        ])
    });
    match forms {
        Ok(forms) => forms.into_iter().fold(router, |router, form| {
            let path = format!("{prefix}{}", form.path);
            let bare = path.trim_end_matches('/').to_owned();
            router
                .route(&bare, any(crate::api::routes::redirect))
                .route(&path, any(move |request: Request| async move { form.answer(&request) }))
        }),
        // A test writes them, and settings cannot break them.
        Err(error) => {
            tracing::error!(%error, "the API's description cannot be written: there is none");
            router
        }
    }
}

impl Form {
    fn new(
        path: &'static str,
        content_type: &'static str,
        policy: HeaderValue,
        text: String,
    ) -> Self {
        let hash = digest(&SHA256, text.as_bytes());
        let tag = format!("\"{}\"", hex::encode(&hash.as_ref()[..16]));
        let tag = HeaderValue::try_from(tag).expect("hexadecimal digits are visible ASCII");
        Self { path, content_type, policy, tag, body: text.into() }
    }

    fn answer(&self, request: &Request) -> Response {
        let mut reply = match *request.method() {
            Method::GET | Method::HEAD => self.show(request.headers()),
            _ => reply::method_not_allowed(request.method()),
        };
        let headers = reply.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        reply::secure(headers);
        reply.extensions_mut().insert(Answered(self.path));
        reply.map(Body::from)
    }

    fn show(&self, asked: &HeaderMap) -> Reply {
        let known = asked.get(IF_NONE_MATCH).is_some_and(|tag| *tag == self.tag);
        let mut reply = reply::empty(if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
        let headers = reply.headers_mut();
        // Another version of the gateway may answer next: look, and take it again if it is another.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ETAG, self.tag.clone());
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        if !known {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            *reply.body_mut() = self.body.clone();
        }
        reply
    }
}
