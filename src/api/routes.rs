//! Every path of the API: what is there, who may do it, and which handler does it.
//!
//! It must not know what a handler does, nor in which order a request is checked.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::{Method, StatusCode};

use crate::accounts::Accounts;
use crate::identity::Authenticator;

use super::endpoint::{Credentials, Endpoint, FinalSlash, Openness};
use super::reply::{self, Reply};
use super::{jwt, key_set, recovery, token, users};

/// What the API is made of.
pub struct ApiParts {
    /// The use cases, and the settings that they follow.
    pub accounts: Arc<Accounts>,
    /// Proves the credentials of requests.
    pub authenticator: Arc<Authenticator>,
}

/// The router for `{auth_prefix}/…` and `/.well-known/jwks.json`.
pub fn router(parts: ApiParts) -> Router {
    let prefix = parts.accounts.settings().server.auth_prefix.trim_end_matches('/').to_owned();
    let parts = Arc::new(parts);
    let mut router = Router::new();
    for endpoint in endpoints() {
        let path = format!("{prefix}{}", endpoint.path);
        let endpoint = Arc::new(endpoint);
        let bare = path.trim_end_matches('/').to_owned();
        router = match endpoint.final_slash {
            FinalSlash::Optional => router.route(&bare, serve(&parts, &endpoint)),
            FinalSlash::Redirected => router.route(&bare, any(redirect)),
        };
        router = router.route(&path, serve(&parts, &endpoint));
    }
    let keys = Arc::clone(&parts.accounts);
    router
        .route(
            key_set::PATH,
            any(move |request: Request| {
                let keys = Arc::clone(&keys);
                async move { response(key_set::answer(&keys, &request)) }
            }),
        )
        .fallback(not_found)
}

/// Every path, what is allowed on it, and who may do it.
fn endpoints() -> Vec<Endpoint> {
    let post_only = |path, name, description, open, handler| Endpoint {
        path,
        name,
        description,
        final_slash: FinalSlash::Optional,
        credentials: Credentials::Examined,
        open,
        handlers: vec![(Method::POST, handler)],
    };
    // Also without its slash, simplejwt's way; never looks at `Authorization`.
    let jwt_post = |path, name, description, handler| Endpoint {
        credentials: Credentials::Ignored,
        ..post_only(path, name, description, Openness::Everything, handler)
    };
    let users_post = |path, name, description, handler| Endpoint {
        final_slash: FinalSlash::Redirected,
        ..post_only(path, name, description, Openness::Methods(vec![Method::POST]), handler)
    };
    vec![
        users_post("/users/", "User List", "Registers an account.", |api, request| {
            Box::pin(users::register(api, request))
        }),
        Endpoint {
            path: "/users/me/",
            name: "User Me",
            description: "The account of the caller.",
            final_slash: FinalSlash::Redirected,
            credentials: Credentials::Examined,
            open: Openness::Nothing,
            handlers: vec![
                (Method::GET, |api, request| Box::pin(users::show_me(api, request))),
                (Method::PUT, |api, request| Box::pin(users::change_me(api, request))),
                (Method::PATCH, |api, request| Box::pin(users::change_me(api, request))),
                (Method::DELETE, |api, request| Box::pin(users::remove_me(api, request))),
            ],
        },
        users_post(
            "/users/reset_password/",
            "User Reset Password",
            "Mails a link to set a new password.",
            |api, request| Box::pin(recovery::request_reset(api, request)),
        ),
        users_post(
            "/users/reset_password_confirm/",
            "User Reset Password Confirm",
            "Sets a new password, at the word of a mailed link.",
            |api, request| Box::pin(recovery::confirm_reset(api, request)),
        ),
        post_only(
            "/token/login/",
            "Token Create",
            "Logs in and answers an opaque token.",
            Openness::Everything,
            |api, request| Box::pin(token::log_in(api, request)),
        ),
        post_only(
            "/token/logout/",
            "Token Destroy",
            "Logs out.",
            Openness::Nothing,
            |api, request| Box::pin(token::log_out(api, request)),
        ),
        jwt_post(
            "/jwt/create/",
            "Token Obtain Pair",
            "Logs in and answers a refresh and an access token.",
            |api, request| Box::pin(jwt::create(api, request)),
        ),
        jwt_post(
            "/jwt/refresh/",
            "Token Refresh",
            "Answers a new access token for a refresh token.",
            |api, request| Box::pin(jwt::refresh(api, request)),
        ),
        jwt_post(
            "/jwt/verify/",
            "Token Verify",
            "Says whether a token is good.",
            |api, request| Box::pin(jwt::verify(api, request)),
        ),
    ]
}

fn serve(parts: &Arc<ApiParts>, endpoint: &Arc<Endpoint>) -> axum::routing::MethodRouter {
    let (parts, endpoint) = (Arc::clone(parts), Arc::clone(endpoint));
    any(move |request: Request| {
        let (parts, endpoint) = (Arc::clone(&parts), Arc::clone(&endpoint));
        async move { response(endpoint.answer(parts, request).await) }
    })
}

/// Django's redirect to the path with its slash. 308 keeps the method and the body.
async fn redirect(request: Request) -> Response {
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    let status =
        if reading { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut reply = reply::redirect(status, &format!("{}/{query}", request.uri().path()));
    reply::secure(reply.headers_mut());
    response(reply)
}

async fn not_found() -> Response {
    let mut reply = reply::detail(StatusCode::NOT_FOUND, "Not found.");
    reply::secure(reply.headers_mut());
    response(reply)
}

fn response(reply: Reply) -> Response {
    reply.map(|body: Bytes| Body::from(body))
}
