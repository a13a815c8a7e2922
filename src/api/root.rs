//! `{prefix}/`: where the API begins.

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiParts;
use super::endpoint::Request;
use super::recovery::origin;
use super::reply::{self, Reply};

/// What there is.
#[derive(Serialize, ToSchema)]
pub(super) struct Collections {
    /// Where accounts are listed.
    #[schema(format = "uri")]
    users: String,
}

/// GET `{prefix}/`: the one collection that djoser's router lists.
pub(super) fn show(api: &ApiParts, request: &Request) -> Reply {
    let settings = api.accounts.settings();
    let prefix = settings.server.auth_prefix.trim_end_matches('/');
    let base = api.accounts.base_url(&origin(&request.caller));
    reply::json(StatusCode::OK, &Collections { users: format!("{base}{prefix}/users/") })
}
