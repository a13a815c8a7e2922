//! Small pages for mailed links: a new password, a new username, an activation.
//!
//! For teams without a front end (`accounts.pages`). A page is the API's own end point in
//! HTML: what is typed goes through the very same handlers, and their faults are shown. Looking
//! at a page changes nothing, for mail scanners follow links; only the button does. It must not
//! know what makes a link or a password good.

mod render;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::response::Response;
use axum::routing::get;
use http::header::{HOST, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::accounts::Asker;
use crate::config::LinkPage;

use super::ApiParts;
use super::body;
use super::caller::Caller;
use super::endpoint;
use super::failure::Failure;
use super::reply::{self, Reply};
use super::{activation, recovery, username};

use self::render::{Fault, Field, Outcome, Page, Renderer};

const MISMATCH: &str = "The two password fields didn't match.";
const STALE: &str = "This link is not good any more: it was used, it is too old, or it was not \
    copied whole.";
const FOREIGN: &str = "This form was sent by another site. Open the link in your mail again.";

/// Everything that pages are made of.
struct Pages {
    api: Arc<ApiParts>,
    renderer: Renderer,
    prefix: String,
}

/// A page's place: where a link is asked for, or where a link leads.
#[derive(Clone, Copy)]
enum Place {
    Asking(LinkPage),
    Linked(LinkPage),
}

/// Adds the pages to the API's router.
pub(super) fn mount(router: Router, prefix: &str, api: &Arc<ApiParts>) -> Router {
    let renderer = match Renderer::new() {
        Ok(renderer) => renderer,
        // They are part of the program, and a test writes every page.
        Err(error) => {
            tracing::error!(%error, "the pages' templates cannot be read: there are no pages");
            return router;
        }
    };
    let pages = Arc::new(Pages { api: Arc::clone(api), renderer, prefix: prefix.to_owned() });
    LinkPage::ALL.into_iter().fold(router, |router, page| {
        let path = format!("{prefix}{}", page.path());
        let shown = Arc::clone(&pages);
        let show = move |request: Request| {
            let pages = Arc::clone(&shown);
            async move { respond(pages.show(&caller(&request), StatusCode::OK, &done(page))) }
        };
        router
            .route(&path, pages.at(Place::Asking(page)))
            .route(&format!("{path}{{uid}}/{{token}}/"), pages.at(Place::Linked(page)))
            .route(&format!("{path}done/"), get(show))
    })
}

impl Pages {
    /// The page itself, and its button.
    fn at(self: &Arc<Self>, place: Place) -> axum::routing::MethodRouter {
        let (shown, sent) = (Arc::clone(self), Arc::clone(self));
        get(move |request: Request| async move {
            let page = shown.page(place);
            respond(shown.show(&caller(&request), StatusCode::OK, &page))
        })
        .post(move |parameters: RawPathParams, request: Request| async move {
            respond(Box::pin(sent.send(place, &parameters, request)).await)
        })
    }

    /// Does what the button says.
    async fn send(&self, place: Place, parameters: &RawPathParams, request: Request) -> Reply {
        let caller = caller(&request);
        if !is_from_here(request.headers(), &caller.host) {
            let outcome = Outcome { notice: FOREIGN.to_owned(), ..Outcome::default() };
            return self.write(&caller, StatusCode::FORBIDDEN, &self.page(place), &outcome);
        }
        let mut page = self.page(place);
        let sent = match self.read(&page, parameters, request).await {
            Ok(sent) => sent,
            Err(failure) => return failure.into_reply(),
        };
        for field in page.fields.iter_mut().filter(|field| field.kind != "password") {
            field.value = text(&sent, field.name).to_owned();
        }
        if sent.contains_key(AGAIN) && text(&sent, AGAIN) != text(&sent, NEW_PASSWORD) {
            let fault = Fault { field: AGAIN.to_owned(), text: MISMATCH.to_owned() };
            let outcome = Outcome { faults: vec![fault], ..Outcome::default() };
            return self.write(&caller, StatusCode::BAD_REQUEST, &page, &outcome);
        }
        match Box::pin(self.act(place, &caller, sent)).await {
            Ok(_) => self.go_on(place, &caller),
            Err(failure) => self.explain(&caller, &page, &failure.into_reply()),
        }
    }

    /// What was sent, as the API's end points take it.
    async fn read(
        &self,
        page: &Page,
        parameters: &RawPathParams,
        request: Request,
    ) -> Result<Map<String, Value>, Failure> {
        let (parts, body) = request.into_parts();
        let most = self.api.accounts.settings().limits.auth_body_bytes;
        let form = body::parse(&parts.headers, body::read(body, most).await?).await?;
        let mut sent: Map<_, _> =
            parameters.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        for field in &page.fields {
            let typed = match form.get(field.name) {
                Some(body::Sent::Text(typed)) => typed.clone(),
                _ => String::new(),
            };
            sent.insert(field.name.to_owned(), typed.into());
        }
        Ok(sent)
    }

    async fn act(
        &self,
        place: Place,
        caller: &Caller,
        sent: Map<String, Value>,
    ) -> Result<Reply, Failure> {
        let api = Arc::clone(&self.api);
        let request = endpoint::Request::from_page(caller.clone(), &Value::Object(sent));
        let asker = Asker::new(caller.address, &caller.request_id, None);
        let acting = async move {
            match place {
                Place::Asking(LinkPage::Password) => recovery::request_reset(api, request).await,
                Place::Asking(LinkPage::Username) => username::request_reset(api, request).await,
                Place::Asking(LinkPage::Activation) => activation::resend(api, request).await,
                Place::Linked(LinkPage::Password) => recovery::confirm_reset(api, request).await,
                Place::Linked(LinkPage::Username) => username::confirm_reset(api, request).await,
                Place::Linked(LinkPage::Activation) => activation::activate(api, request).await,
            }
        };
        Box::pin(asker.asks(acting)).await
    }

    /// After it was done. A redirect, so that reloading the page does not send the form again.
    fn go_on(&self, place: Place, caller: &Caller) -> Reply {
        match place {
            Place::Linked(page) => {
                let path = format!("{}{}done/", self.prefix, page.path());
                let mut reply = reply::redirect(StatusCode::SEE_OTHER, &path);
                reply::secure(reply.headers_mut());
                reply
            }
            Place::Asking(_) => self.show(caller, StatusCode::OK, &ASKED),
        }
    }

    /// What the API refused, in words for people.
    fn explain(&self, caller: &Caller, page: &Page, refused: &Reply) -> Reply {
        let body: Value = serde_json::from_slice(refused.body()).unwrap_or_default();
        let faults = faults(&body);
        let is_stale = faults.iter().any(|fault| matches!(&*fault.field, "uid" | "token"));
        let outcome = if is_stale {
            Outcome { notice: STALE.to_owned(), ..Outcome::default() }
        } else {
            Outcome { faults, notice: String::new() }
        };
        let mut reply = self.write(caller, refused.status(), page, &outcome);
        if let Some(later) = refused.headers().get(RETRY_AFTER) {
            reply.headers_mut().insert(RETRY_AFTER, later.clone());
        }
        reply
    }

    fn show(&self, caller: &Caller, status: StatusCode, page: &Page) -> Reply {
        self.write(caller, status, page, &Outcome::default())
    }

    fn write(&self, caller: &Caller, status: StatusCode, page: &Page, outcome: &Outcome) -> Reply {
        let named = &self.api.accounts.settings().accounts.email_frontend_site_name;
        let site_name = if named.is_empty() { &caller.host } else { named };
        self.renderer.write(status, site_name, page, outcome)
    }

    fn page(&self, place: Place) -> Page {
        match place {
            Place::Asking(page) => Page {
                fields: vec![field("email", "E-mail address", "email", "email")],
                action: "Send the link",
                ..asking(page)
            },
            Place::Linked(page) => {
                let again = match page {
                    LinkPage::Activation if !self.api.accounts.wants_activation() => String::new(),
                    page => format!("{}{}", self.prefix, page.path()),
                };
                Page { again, ..linked(page) }
            }
        }
    }
}

const NEW_PASSWORD: &str = "new_password";
const AGAIN: &str = "re_new_password";

const ASKED: Page = Page {
    title: "Look into your mailbox",
    text: "If an account has this address, a mail with a link is on its way.",
    fields: Vec::new(),
    action: "",
    again: String::new(),
};

fn asking(page: LinkPage) -> Page {
    let (title, text) = match page {
        LinkPage::Password => {
            ("Forgot your password?", "We mail you a link with which you can choose a new one.")
        }
        LinkPage::Username => {
            ("Change your username", "We mail you a link with which you can choose a new one.")
        }
        LinkPage::Activation => {
            ("Activate your account", "We mail you the link to activate your account once more.")
        }
    };
    Page { title, text, ..Page::default() }
}

fn done(page: LinkPage) -> Page {
    let (title, text) = match page {
        LinkPage::Password => ("Your password has been changed", "You can log in with it now."),
        LinkPage::Username => ("Your username has been changed", "You can log in with it now."),
        LinkPage::Activation => ("Your account is active", "You can log in now."),
    };
    Page { title, text, ..Page::default() }
}

fn linked(page: LinkPage) -> Page {
    match page {
        LinkPage::Password => Page {
            title: "Choose a new password",
            text: "It must have at least 8 characters and must not be a common one.",
            fields: vec![
                field(NEW_PASSWORD, "New password", "password", "new-password"),
                field(AGAIN, "New password, once more", "password", "new-password"),
            ],
            action: "Change the password",
            ..Page::default()
        },
        LinkPage::Username => Page {
            title: "Choose a new username",
            text: "Letters, digits and @ . + - _ are allowed.",
            fields: vec![field("new_username", "New username", "text", "username")],
            action: "Change the username",
            ..Page::default()
        },
        LinkPage::Activation => Page {
            title: "Activate your account",
            text: "Your address is confirmed with this.",
            action: "Activate",
            ..Page::default()
        },
    }
}

fn field(
    name: &'static str,
    label: &'static str,
    kind: &'static str,
    autocomplete: &'static str,
) -> Field {
    Field { name, label, kind, autocomplete, value: String::new() }
}

fn text<'a>(sent: &'a Map<String, Value>, name: &str) -> &'a str {
    sent.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The faults of an answer of the API, in its order.
fn faults(body: &Value) -> Vec<Fault> {
    let fault = |field: &str, text: &Value| {
        let field = if matches!(field, "detail" | "non_field_errors") { "" } else { field };
        text.as_str().map(|text| Fault { field: field.to_owned(), text: text.to_owned() })
    };
    match body {
        Value::Object(fields) => fields
            .iter()
            .filter(|(field, _)| *field != "code")
            .flat_map(|(field, texts)| match texts {
                Value::Array(texts) => texts.iter().filter_map(|t| fault(field, t)).collect(),
                text => fault(field, text).into_iter().collect::<Vec<_>>(),
            })
            .collect(),
        Value::Array(texts) => texts.iter().filter_map(|text| fault("", text)).collect(),
        _ => Vec::new(),
    }
}

/// Whether a form comes from one of our own pages. The mailed token is the secret that protects
/// it; this only keeps other sites from sending what a visitor has opened. Browsers say where a
/// form comes from; what says nothing is no browser.
fn is_from_here(headers: &HeaderMap, host: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let told = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or(host);
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, origin)| origin == host || origin == told)
}

fn caller(request: &Request) -> Caller {
    request.extensions().get::<Caller>().cloned().unwrap_or_default()
}

fn respond(reply: Reply) -> Response {
    reply.map(Body::from)
}
