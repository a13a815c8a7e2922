//! `users/activation/` and `users/resend_activation/`: accounts that begin with a mail.

use std::sync::Arc;

use http::StatusCode;

use crate::model::MailPurpose;

use super::ApiParts;
use super::endpoint::Request;
use super::failure::Failure;
use super::fields::{Fields, Rule};
use super::recovery::{origin, request_mail};
use super::reply::{self, Reply};

/// POST `users/activation/`. There also where accounts need none: an import may bring inactive
/// ones, whose links answer as djoser's do.
pub(super) async fn activate(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let caller = request.caller.clone();
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    let uid = fields.read(Rule::text("uid"));
    let token = fields.read(Rule::text("token"));
    let (Some(uid), Some(token)) = (uid, token) else { return Err(fields.into_faults().into()) };

    api.accounts.activate(uid, token, &origin(&caller)).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// POST `users/resend_activation/`: 204 for any valid address; 400 where nothing is activated.
pub(super) async fn resend(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    if api.accounts.wants_activation() {
        request_mail(api, request, MailPurpose::Activation).await
    } else {
        // The form is read all the same: its faults come first.
        let form = request.form(&api).await?;
        let mut fields = Fields::of(&form);
        if fields.read(Rule::email()).is_none() {
            return Err(fields.into_faults().into());
        }
        Ok(reply::empty(StatusCode::BAD_REQUEST))
    }
}
