//! `jwt/create/`, `jwt/refresh/`, `jwt/verify/` and `jwt/blacklist/`: JWTs, as simplejwt serves them.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::ApiParts;
use super::endpoint::Request;
use super::failure::{Failure, of_jwt_login, of_refresh, of_verify};
use super::fields::{Fields, Rule};
use super::reply::{self, Reply};
use super::token::login_field;
use super::users::password_space;

/// What a login hands out.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenPair<'a> {
    /// For `jwt/refresh/`.
    refresh: &'a str,
    /// For `Authorization: Bearer`.
    access: &'a str,
}

/// What a refresh token is exchanged for.
#[derive(Serialize, ToSchema)]
pub(super) struct FreshTokens<'a> {
    /// For `Authorization: Bearer`.
    access: &'a str,
    /// Instead of the one that was sent, where refresh tokens are rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refresh: Option<&'a str>,
}

/// POST `jwt/create/`. Here both fields are required.
pub(super) async fn create(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let address = request.caller.address;
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    let name = fields.read(Rule::text(login_field(&api)));
    let password = fields.read(Rule::password("password", password_space(&api)));
    let (Some(name), Some(password)) = (name, password) else {
        return Err(fields.into_faults().into());
    };

    let pair = api.accounts.log_in_jwt(name, password, address).await.map_err(of_jwt_login)?;
    Ok(reply::json(StatusCode::OK, &TokenPair { refresh: &pair.refresh, access: &pair.access }))
}

/// POST `jwt/refresh/`.
pub(super) async fn refresh(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let form = request.form(&api).await?;
    let mut fields = Fields::of(&form);
    let Some(token) = fields.read(Rule::text("refresh")) else {
        return Err(fields.into_faults().into());
    };

    let fresh = api.accounts.refresh(token).await.map_err(of_refresh)?;
    let body = FreshTokens { access: &fresh.access, refresh: fresh.refresh.as_deref() };
    Ok(reply::json(StatusCode::OK, &body))
}

/// POST `jwt/verify/`: an empty object for a good token.
pub(super) async fn verify(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let form = request.form(&api).await?;
    let mut fields = Fields::of(&form);
    let Some(token) = fields.read(Rule::text("token")) else {
        return Err(fields.into_faults().into());
    };

    api.accounts.verify_jwt(token).await.map_err(of_verify)?;
    Ok(reply::json(StatusCode::OK, &json!({})))
}

/// POST `jwt/blacklist/`: an empty object once the token has ended.
pub(super) async fn blacklist(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let form = request.form(&api).await?;
    let mut fields = Fields::of(&form);
    let Some(token) = fields.read(Rule::text("refresh")) else {
        return Err(fields.into_faults().into());
    };

    api.accounts.blacklist(token).await.map_err(of_refresh)?;
    Ok(reply::json(StatusCode::OK, &json!({})))
}
