//! `{prefix}/`: where the API begins.

use http::StatusCode;
use serde_json::json;

use super::ApiParts;
use super::endpoint::Request;
use super::recovery::origin;
use super::reply::{self, Reply};

/// GET `{prefix}/`: the one collection that djoser's router lists.
pub(super) fn show(api: &ApiParts, request: &Request) -> Reply {
    let settings = api.accounts.settings();
    let prefix = settings.server.auth_prefix.trim_end_matches('/');
    let base = api.accounts.base_url(&origin(&request.caller));
    reply::json(StatusCode::OK, &json!({ "users": format!("{base}{prefix}/users/") }))
}
