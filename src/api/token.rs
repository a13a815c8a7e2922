//! `token/login/` and `token/logout/`: opaque tokens.

use std::sync::Arc;

use http::StatusCode;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::LoginError;
use crate::identity::{IdentifyError, Rejection};

use super::ApiParts;
use super::endpoint::Request;
use super::failure::{Failure, of_token_login};
use super::fields::{Fields, Rule};
use super::reply::{self, Reply};
use super::users::password_space;

/// A login's token. It is shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct OpaqueToken<'a> {
    /// 40 hexadecimal digits.
    auth_token: &'a str,
}

/// POST `token/login/`. A field left out is a failed login here, not a fault of the field.
pub(super) async fn log_in(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let address = request.caller.address;
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    let name = fields.read(Rule::text(login_field(&api)).optional());
    let password = fields.read(Rule::password("password", password_space(&api)).optional());
    let faults = fields.into_faults();
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let (Some(name), Some(password)) = (name, password) else {
        return Err(of_token_login(LoginError::Refused));
    };

    let token = api.accounts.log_in_opaque(name, password, address).await;
    let token = token.map_err(of_token_login)?;
    Ok(reply::json(StatusCode::OK, &OpaqueToken { auth_token: token.expose_secret() }))
}

/// POST `token/logout/`. The body is not read: neither its syntax nor its type matters.
pub(super) async fn log_out(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let claimed = api.authenticator.claimed(&request.headers).map_err(IdentifyError::Rejected)?;
    let (Some(credential), Some(identity)) = (claimed, &request.identity) else {
        return Err(Failure::from(reply::rejection(&Rejection::Missing)));
    };
    api.accounts.log_out(identity, credential).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// The field that names the account at a login (djoser's `LOGIN_FIELD`).
pub(super) fn login_field(api: &ApiParts) -> &'static str {
    if api.accounts.settings().accounts.login_field == "email" { "email" } else { "username" }
}
