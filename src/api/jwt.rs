//! `jwt/create/`, `jwt/refresh/`, `jwt/verify/` and `jwt/blacklist/`: JWTs, as simplejwt serves them.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::ApiParts;
use super::endpoint::Request;
use super::failure::{Failure, of_jwt_login, of_refresh, of_verify};
use super::fields::{Fields, Rule};
use super::reply::{self, Reply};
use super::token::login_field;
use super::users::password_space;

/// POST `jwt/create/`. Here both fields are required.
pub(super) async fn create(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    #[derive(Serialize)]
    struct Pair<'a> {
        refresh: &'a str,
        access: &'a str,
    }

    let address = request.caller.address;
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    let name = fields.read(Rule::text(login_field(&api)));
    let password = fields.read(Rule::password("password", password_space(&api)));
    let (Some(name), Some(password)) = (name, password) else {
        return Err(fields.into_faults().into());
    };

    let pair = api.accounts.log_in_jwt(name, password, address).await.map_err(of_jwt_login)?;
    Ok(reply::json(StatusCode::OK, &Pair { refresh: &pair.refresh, access: &pair.access }))
}

/// POST `jwt/refresh/`.
pub(super) async fn refresh(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    #[derive(Serialize)]
    struct Fresh<'a> {
        access: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        refresh: Option<&'a str>,
    }

    let form = request.form(&api).await?;
    let mut fields = Fields::of(&form);
    let Some(token) = fields.read(Rule::text("refresh")) else {
        return Err(fields.into_faults().into());
    };

    let fresh = api.accounts.refresh(token).await.map_err(of_refresh)?;
    let body = Fresh { access: &fresh.access, refresh: fresh.refresh.as_deref() };
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
