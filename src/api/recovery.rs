//! `users/reset_password/` and `users/reset_password_confirm/`: a forgotten password.

use std::sync::Arc;

use http::StatusCode;

use crate::accounts::{NewPassword, Origin};
use crate::model::MailPurpose;

use super::ApiParts;
use super::caller::Caller;
use super::endpoint::Request;
use super::failure::Failure;
use super::fields::{Fields, Rule};
use super::reply::{self, Reply};
use super::users::password_space;

/// POST `users/reset_password/`: 204 for any valid address.
pub(super) async fn request_reset(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    request_mail(api, request, MailPurpose::PasswordReset).await
}

/// Asks for a mail with a link: 204 for any valid address.
pub(super) async fn request_mail(
    api: Arc<ApiParts>,
    request: Request,
    purpose: MailPurpose,
) -> Result<Reply, Failure> {
    let caller = request.caller.clone();
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    let email = fields.read(Rule::email());
    let Some(email) = email else { return Err(fields.into_faults().into()) };

    api.accounts.request_reset(purpose, email, &origin(&caller), caller.address).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// POST `users/reset_password_confirm/`.
pub(super) async fn confirm_reset(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let caller = request.caller.clone();
    let form = request.form(&api).await?;
    let space = password_space(&api);

    let mut fields = Fields::of(&form);
    let uid = fields.read(Rule::text("uid"));
    let token = fields.read(Rule::text("token"));
    let password = fields.read(Rule::new_password("new_password", space));
    let retyped = if api.accounts.settings().accounts.password_reset_confirm_retype {
        fields.read(Rule::new_password("re_new_password", space))
    } else {
        None
    };
    let faults = fields.into_faults();
    let (Some(uid), Some(token), Some(password), true) = (uid, token, password, faults.is_empty())
    else {
        return Err(faults.into());
    };

    let new = NewPassword { uid, token, password, retyped };
    api.accounts.confirm_reset(new, &origin(&caller)).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// Where a request claims to have been sent to.
pub(super) fn origin(caller: &Caller) -> Origin<'_> {
    Origin { scheme: caller.scheme, host: &caller.host }
}
