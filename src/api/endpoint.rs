//! What happens to every request of the API, in Django REST framework's order.
//!
//! `Accept`, then credentials, then permission, then the method, and only then the handler with
//! the body. A client without credentials learns 401 and not 405; a stale token is refused even
//! where none is needed. One driver for all paths keeps that order in one place; an endpoint
//! only describes itself. It must not know what any handler does.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::accounts::Asker;
use crate::identity::{CredentialKind, IdentifyError, Identity, Rejection, Subject};
use crate::model::UserId;

use super::ApiParts;
use super::body::{self, Form};
use super::caller::Caller;
use super::failure::Failure;
use super::negotiation::accepts_json;
use super::reply::{self, Reply};

/// What a handler comes to.
pub(super) type Handled = Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send>>;

/// A handler: what one method of an endpoint does.
pub(super) type Handler = fn(Arc<ApiParts>, Request) -> Handled;

/// A handler whose answer is whole when it returns.
pub(super) fn whole(
    handling: impl Future<Output = Result<Reply, Failure>> + Send + 'static,
) -> Handled {
    Box::pin(async move { Ok(handling.await?.map(Body::from)) })
}

/// Which path answered, below the prefix and as the router knows it: for those who count.
#[derive(Debug, Clone, Copy)]
pub struct Answered(pub &'static str);

/// One path.
pub(super) struct Endpoint {
    /// Below the prefix, with its final slash.
    pub(super) path: &'static str,
    /// What OPTIONS calls it.
    pub(super) name: &'static str,
    /// What OPTIONS says of it.
    pub(super) description: &'static str,
    /// Whether the slash may be left out.
    pub(super) final_slash: FinalSlash,
    /// Whether `Authorization` is looked at.
    pub(super) credentials: Credentials,
    /// What may be done without credentials.
    pub(super) open: Openness,
    /// What may be done. HEAD goes where GET goes, OPTIONS goes everywhere.
    pub(super) handlers: Vec<(Method, Handler)>,
}

/// What becomes of a path without its final slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FinalSlash {
    /// It works the same.
    Optional,
    /// It is redirected to the path with the slash.
    Redirected,
}

/// What becomes of `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credentials {
    /// If there are any they must be good, needed or not.
    Examined,
    /// Nobody looks.
    Ignored,
}

/// What may be done without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Openness {
    /// Everything, made-up methods included: they are told 405.
    Everything,
    /// These methods; any other is told 401 before it is told 405.
    Methods(Vec<Method>),
    /// Nothing.
    Nothing,
}

/// A request that may be handled. The body has not been read.
pub(super) struct Request {
    /// Who was proved to be asking.
    pub(super) identity: Option<Arc<Identity>>,
    /// What the gateway knows.
    pub(super) caller: Caller,
    /// The head's header lines.
    pub(super) headers: HeaderMap,
    path: String,
    body: Body,
}

impl Request {
    /// What one of our own pages sends to a handler: a form, by nobody who is known.
    pub(super) fn from_page(caller: Caller, form: &serde_json::Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(body::JSON));
        let body = Body::from(form.to_string());
        Self { identity: None, caller, headers, path: String::new(), body }
    }

    /// Reads the body into a form.
    pub(super) async fn form(self, api: &ApiParts) -> Result<Form, Failure> {
        let most = api.accounts.settings().limits.auth_body_bytes;
        let bytes = body::read(self.body, most).await?;
        body::parse(&self.headers, bytes).await
    }

    /// The last part of the path, decoded: what a path with a variable part is about.
    pub(super) fn target(&self) -> Cow<'_, str> {
        let last = self.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        // What is no text names nobody.
        percent_decode_str(last).decode_utf8().unwrap_or_default()
    }

    /// Whether an account of ours is asking that may see and change others.
    pub(super) fn is_staff(&self) -> bool {
        self.identity.as_deref().is_some_and(|identity| {
            identity.is_staff && matches!(identity.subject, Subject::Local(_))
        })
    }

    /// Decides how a credential is told that its account has just gone.
    pub(super) fn kind(&self) -> CredentialKind {
        self.identity.as_ref().map_or(CredentialKind::Opaque, |identity| identity.kind)
    }

    /// The user of ours who is asking.
    pub(super) fn user(&self) -> Result<UserId, Failure> {
        match self.identity.as_deref().map(|identity| &identity.subject) {
            Some(Subject::Local(user)) => Ok(*user),
            // Known, but no account here: there is nothing to show or to change.
            Some(Subject::Foreign(_)) => Err(Failure::from(reply::forbidden())),
            None => Err(Failure::from(reply::rejection(&Rejection::Missing))),
        }
    }
}

impl Endpoint {
    /// Answers a request, whatever it is.
    pub(super) async fn answer(
        &self,
        api: Arc<ApiParts>,
        request: http::Request<Body>,
    ) -> Response {
        let (parts, body) = request.into_parts();
        let mut reply = match self.handle(api, parts, body).await {
            Ok(response) => response,
            Err(failure) => failure.into_reply().map(Body::from),
        };
        let headers = reply.headers_mut();
        headers.insert(ALLOW, self.allow());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        reply::secure(headers);
        reply.extensions_mut().insert(Answered(self.path));
        reply
    }

    async fn handle(
        &self,
        api: Arc<ApiParts>,
        parts: Parts,
        body: Body,
    ) -> Result<Response, Failure> {
        if !accepts_json(&parts.headers) {
            return Err(Failure::from(reply::not_acceptable()));
        }
        let identity = self.identify(&api, &parts.headers).await?;
        if identity.is_none() && !self.is_open_to(&parts.method) {
            return Err(Failure::from(reply::rejection(&Rejection::Missing)));
        }
        if parts.method == Method::OPTIONS {
            return Ok(self.describe().map(Body::from));
        }
        let handler = self.handler(&parts.method);
        let handler =
            handler.ok_or_else(|| Failure::from(reply::method_not_allowed(&parts.method)))?;
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_default();
        let path = parts.uri.path().to_owned();
        let asker = Asker::new(caller.address, &caller.request_id, identity.as_deref());
        let request = Request { identity, caller, headers: parts.headers, path, body };
        asker.asks(handler(api, request)).await
    }

    async fn identify(
        &self,
        api: &ApiParts,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<Identity>>, Failure> {
        if self.credentials == Credentials::Ignored {
            return Ok(None);
        }
        let claimed = api.authenticator.claimed(headers).map_err(IdentifyError::Rejected)?;
        match claimed {
            Some(credential) => Ok(Some(api.authenticator.identify(credential).await?)),
            None => Ok(None),
        }
    }

    fn is_open_to(&self, method: &Method) -> bool {
        match &self.open {
            Openness::Everything => true,
            Openness::Methods(methods) => methods.contains(method),
            Openness::Nothing => false,
        }
    }

    fn handler(&self, method: &Method) -> Option<Handler> {
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        self.handlers.iter().find(|(method, _)| method == wanted).map(|(_, handler)| *handler)
    }

    /// The methods that are really there.
    fn allow(&self) -> HeaderValue {
        let mut methods: Vec<&str> =
            self.handlers.iter().map(|(method, _)| method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        HeaderValue::try_from(methods.join(", ")).expect("method names are visible ASCII")
    }

    /// What OPTIONS answers.
    fn describe(&self) -> Reply {
        #[derive(Serialize)]
        struct Options {
            name: &'static str,
            description: &'static str,
            renders: [&'static str; 1],
            parses: [&'static str; 3],
        }
        let options = Options {
            name: self.name,
            description: self.description,
            renders: [body::JSON],
            parses: [body::JSON, body::URLENCODED, body::MULTIPART],
        };
        reply::json(StatusCode::OK, &options)
    }
}
