//! `users/me/logins/` and `users/me/logout_all/`: where the caller is logged in. Not djoser's.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{LoginId, LoginKind, Timestamp};

use super::ApiParts;
use super::endpoint::Request;
use super::failure::Failure;
use super::reply::{self, Reply};

/// One of the caller's logins.
#[derive(Serialize, ToSchema)]
pub(super) struct Login {
    /// Names it in the path.
    id: String,
    #[schema(inline)]
    kind: TokenKind,
    #[schema(format = DateTime)]
    created: String,
    #[schema(format = DateTime)]
    last_used: String,
    /// Null if it does not end by itself.
    #[schema(format = DateTime, required)]
    expires: Option<String>,
    /// Whether the request came with a token of this login.
    current: bool,
}

/// What a login handed out.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum TokenKind {
    Opaque,
    Jwt,
}

/// GET `users/me/logins/`: those that are alive, the latest first.
pub(super) async fn list(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let present = present(&request);
    let logins = api.accounts.logins(request.user()?).await?;
    let shown: Vec<_> = logins
        .into_iter()
        .map(|login| Login {
            id: login.id.to_string(),
            kind: match login.kind {
                LoginKind::Opaque => TokenKind::Opaque,
                LoginKind::Jwt => TokenKind::Jwt,
            },
            created: time(login.created),
            last_used: time(login.last_used),
            expires: login.expires.map(time),
            current: Some(login.id) == present,
        })
        .collect();
    Ok(reply::json(StatusCode::OK, &shown))
}

/// DELETE `users/me/logins/`: all but the present one.
pub(super) async fn end_others(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    api.accounts.end_other_logins(request.user()?, present(&request)).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// DELETE `users/me/logins/{sid}/`. Another's login is as unknown as none.
pub(super) async fn end_one(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let user = request.user()?;
    let ended = match LoginId::parse(&request.target()) {
        Some(login) => api.accounts.end_login(user, login).await?,
        None => false,
    };
    Ok(if ended { reply::empty(StatusCode::NO_CONTENT) } else { reply::not_found() })
}

/// POST `users/me/logout_all/`: every token of the caller, of whatever kind.
pub(super) async fn end_all(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    api.accounts.log_out_everywhere(request.user()?).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn present(request: &Request) -> Option<LoginId> {
    request.identity.as_deref().and_then(|identity| identity.login)
}

/// As Django REST framework writes times.
fn time(at: Timestamp) -> String {
    let since = Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0));
    humantime::format_rfc3339_micros(UNIX_EPOCH + since).to_string()
}
