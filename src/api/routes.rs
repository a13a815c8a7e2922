//! Every path of the API: what is there, who may do it, and which handler does it.
//!
//! It must not know what a handler does, nor in which order a request is checked.

use std::future::ready;
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

use super::endpoint::{Credentials, Endpoint, FinalSlash, Handler, Openness, whole};
use super::reply::{self, Reply};
use super::{
    activation, description, jwt, key_set, logins, pages, people, recovery, root, token, username,
    users,
};

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
            // At the root of the host there is no path without it.
            FinalSlash::Redirected if bare.is_empty() => router,
            FinalSlash::Optional => router.route(&bare, serve(&parts, &endpoint)),
            FinalSlash::Redirected => router.route(&bare, any(redirect)),
        };
        router = router.route(&path, serve(&parts, &endpoint));
    }
    if parts.accounts.settings().accounts.pages {
        router = pages::mount(router, &prefix, &parts);
    }
    if parts.accounts.settings().server.api_description {
        router = description::mount(router, &prefix, parts.accounts.settings());
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

/// Every path below the prefix that [`super::Answered`] may name, but for the description's.
pub fn endpoint_paths() -> impl Iterator<Item = &'static str> {
    endpoints().into_iter().map(|endpoint| endpoint.path)
}

/// Every path, what is allowed on it, and who may do it.
pub(super) fn endpoints() -> Vec<Endpoint> {
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
    let mut endpoints = callers_own();
    endpoints.extend([
        root_endpoint(),
        list_endpoint(),
        users_post(
            "/users/reset_username/",
            "User Reset Username",
            "Mails a link to set a new username.",
            |api, request| whole(username::request_reset(api, request)),
        ),
        users_post(
            "/users/reset_username_confirm/",
            "User Reset Username Confirm",
            "Sets a new username, at the word of a mailed link.",
            |api, request| whole(username::confirm_reset(api, request)),
        ),
        users_post(
            "/users/activation/",
            "User Activation",
            "Activates an account, at the word of a mailed link.",
            |api, request| whole(activation::activate(api, request)),
        ),
        users_post(
            "/users/resend_activation/",
            "User Resend Activation",
            "Mails the link of an account that was never active once more.",
            |api, request| whole(activation::resend(api, request)),
        ),
        users_post(
            "/users/reset_password/",
            "User Reset Password",
            "Mails a link to set a new password.",
            |api, request| whole(recovery::request_reset(api, request)),
        ),
        users_post(
            "/users/reset_password_confirm/",
            "User Reset Password Confirm",
            "Sets a new password, at the word of a mailed link.",
            |api, request| whole(recovery::confirm_reset(api, request)),
        ),
        post_only(
            "/token/login/",
            "Token Create",
            "Logs in and answers an opaque token.",
            Openness::Everything,
            |api, request| whole(token::log_in(api, request)),
        ),
        post_only(
            "/token/logout/",
            "Token Destroy",
            "Logs out.",
            Openness::Nothing,
            |api, request| whole(token::log_out(api, request)),
        ),
        jwt_post(
            "/jwt/create/",
            "Token Obtain Pair",
            "Logs in and answers a refresh and an access token.",
            |api, request| whole(jwt::create(api, request)),
        ),
        jwt_post(
            "/jwt/refresh/",
            "Token Refresh",
            "Answers a new access token for a refresh token.",
            |api, request| whole(jwt::refresh(api, request)),
        ),
        jwt_post(
            "/jwt/verify/",
            "Token Verify",
            "Says whether a token is good.",
            |api, request| whole(jwt::verify(api, request)),
        ),
        jwt_post("/jwt/blacklist/", "Token Blacklist", "Ends a refresh token.", |api, request| {
            whole(jwt::blacklist(api, request))
        }),
    ]);
    endpoints
}

/// What only callers who are known may do.
fn callers_own() -> Vec<Endpoint> {
    vec![
        account("/users/me/", "User Me", "The account of the caller.", users::ME),
        account("/users/{id}/", "User Instance", "An account.", people::ONE),
        logins_endpoint(),
        Endpoint {
            handlers: vec![(Method::DELETE, |api, request| whole(logins::end_one(api, request)))],
            ..own("/users/me/logins/{sid}/", "User Login", "Ends one login of the caller.")
        },
        Endpoint {
            handlers: vec![(Method::POST, |api, request| whole(logins::end_all(api, request)))],
            ..own("/users/me/logout_all/", "User Logout All", "Logs the caller out everywhere.")
        },
        Endpoint {
            handlers: vec![(Method::POST, |api, request| whole(users::set_password(api, request)))],
            ..own("/users/set_password/", "User Set Password", "Changes the caller's password.")
        },
        Endpoint {
            handlers: vec![(Method::POST, |api, request| whole(username::set(api, request)))],
            ..own("/users/set_username/", "User Set Username", "Changes the caller's username.")
        },
    ]
}

/// A path for those only who are known.
fn own(path: &'static str, name: &'static str, description: &'static str) -> Endpoint {
    Endpoint {
        path,
        name,
        description,
        final_slash: FinalSlash::Redirected,
        credentials: Credentials::Examined,
        open: Openness::Nothing,
        handlers: Vec::new(),
    }
}

/// One account: what may be done is the same for one's own and for another's.
fn account(
    path: &'static str,
    name: &'static str,
    description: &'static str,
    [show, change, remove]: [Handler; 3],
) -> Endpoint {
    let handlers = vec![
        (Method::GET, show),
        (Method::PUT, change),
        (Method::PATCH, change),
        (Method::DELETE, remove),
    ];
    Endpoint { handlers, ..own(path, name, description) }
}

fn root_endpoint() -> Endpoint {
    Endpoint {
        handlers: vec![(Method::GET, |api, request| whole(ready(Ok(root::show(&api, &request)))))],
        ..own("/", "Api Root", "Where everything begins.")
    }
}

fn list_endpoint() -> Endpoint {
    Endpoint {
        open: Openness::Methods(vec![Method::POST]),
        handlers: vec![
            (Method::GET, |api, request| Box::pin(people::list(api, request))),
            (Method::POST, |api, request| whole(users::register(api, request))),
        ],
        ..own("/users/", "User List", "Lists accounts, registers an account.")
    }
}

fn logins_endpoint() -> Endpoint {
    Endpoint {
        handlers: vec![
            (Method::GET, |api, request| whole(logins::list(api, request))),
            (Method::DELETE, |api, request| whole(logins::end_others(api, request))),
        ],
        ..own("/users/me/logins/", "User Logins", "The caller's logins; DELETE ends the others.")
    }
}

fn serve(parts: &Arc<ApiParts>, endpoint: &Arc<Endpoint>) -> axum::routing::MethodRouter {
    let (parts, endpoint) = (Arc::clone(parts), Arc::clone(endpoint));
    any(move |request: Request| {
        let (parts, endpoint) = (Arc::clone(&parts), Arc::clone(&endpoint));
        async move { endpoint.answer(parts, request).await }
    })
}

/// Django's redirect to the path with its slash. 308 keeps the method and the body.
pub(super) async fn redirect(request: Request) -> Response {
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    let status =
        if reading { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut reply = reply::redirect(status, &format!("{}/{query}", request.uri().path()));
    reply::secure(reply.headers_mut());
    response(reply)
}

async fn not_found() -> Response {
    let mut reply = reply::not_found();
    reply::secure(reply.headers_mut());
    response(reply)
}

fn response(reply: Reply) -> Response {
    reply.map(|body: Bytes| Body::from(body))
}
