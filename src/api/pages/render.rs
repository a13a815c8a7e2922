//! How a page is written: from a template, with headers that let nothing in from elsewhere.
//!
//! No script, no image, no other origin: the one style sheet stands in the page and is named
//! by its digest. It must not know what a page is for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use crate::api::reply::{self, Reply};

const STYLE: &str = include_str!("templates/style.css");

const TEMPLATES: [(&str, &str); 3] = [
    ("layout.html", include_str!("templates/layout.html")),
    ("form.html", include_str!("templates/form.html")),
    ("message.html", include_str!("templates/message.html")),
];

/// Writes pages.
pub(super) struct Renderer {
    templates: Environment<'static>,
    policy: HeaderValue,
}

/// A page.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Page {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    /// None: a message without a form.
    pub(super) fields: Vec<Field>,
    /// What the button says.
    pub(super) action: &'static str,
    /// Where a new link can be asked for; empty: nowhere.
    pub(super) again: String,
}

/// One input.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    /// The input's type in HTML.
    pub(super) kind: &'static str,
    pub(super) autocomplete: &'static str,
    /// What was typed; never a password.
    pub(super) value: String,
}

/// Something to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    /// The input that it is about; empty: all of them.
    pub(super) field: String,
    pub(super) text: String,
}

/// What came of a form that was sent.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What to mend.
    pub(super) faults: Vec<Fault>,
    /// What is wrong beyond the form.
    pub(super) notice: String,
}

impl Renderer {
    pub(super) fn new() -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
            templates.add_template(name, source)?;
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'",
            STANDARD.encode(digest)
        );
        let policy = HeaderValue::try_from(policy).expect("base64 is visible ASCII");
        Ok(Self { templates, policy })
    }

    /// Writes a page. `site_name` is whatever the site is called.
    pub(super) fn write(
        &self,
        status: StatusCode,
        site_name: &str,
        page: &Page,
        outcome: &Outcome,
    ) -> Reply {
        let template = if page.action.is_empty() { "message.html" } else { "form.html" };
        let page = Value::from(minijinja::value::Serde(page));
        let faults = Value::from(minijinja::value::Serde(&outcome.faults));
        let style = Value::from_safe_string(STYLE.to_owned());
        let notice = &*outcome.notice;
        let written = self.templates.get_template(template).and_then(|template| {
            template.render(context! { page, faults, notice, style, site_name })
        });
        match written {
            Ok(text) => self.html(status, text),
            Err(error) => {
                tracing::error!(%error, "a page could not be written");
                reply::error(StatusCode::INTERNAL_SERVER_ERROR, "Internal error.", "internal")
            }
        }
    }

    fn html(&self, status: StatusCode, text: String) -> Reply {
        let mut reply = Response::new(Bytes::from(text));
        *reply.status_mut() = status;
        let headers = reply.headers_mut();
        reply::secure(headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        reply
    }
}
