//! `users/set_username/`, `users/reset_username/` and `users/reset_username_confirm/`.

use std::sync::Arc;

use http::StatusCode;

use crate::model::MailPurpose;

use super::ApiParts;
use super::endpoint::Request;
use super::failure::{Failure, NAME_TAKEN, of_proof, of_rename};
use super::fields::{Faults, Fields, Rule};
use super::recovery::{origin, request_mail};
use super::reply::{self, Reply};
use super::users::{password_space, prove};

/// POST `users/set_username/`. What is wrong with the name is told beside a wrong password, as
/// with every field.
pub(super) async fn set(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let (kind, id, caller) = (request.kind(), request.user()?, request.caller.clone());
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    let current = fields.read(Rule::password("current_password", password_space(&api)));
    let wanted = fields.read(Rule::new_username("new_username"));
    let retyped = if api.accounts.settings().accounts.set_username_retype {
        fields.read(Rule::text("re_new_username"))
    } else {
        None
    };
    let mut faults = fields.into_faults();
    if let Some(name) = wanted {
        faults.join(taken(&api, name).await?);
    }
    let user = match current {
        Some(password) => {
            let proved = api.accounts.prove_caller(id, password, caller.address).await;
            prove(proved, &mut faults).map_err(|error| of_proof(error, kind))?
        }
        None => None,
    };
    let (Some(user), Some(name), true) = (user, wanted, faults.is_empty()) else {
        return Err(faults.into());
    };

    let renamed = api.accounts.rename(&user, name, retyped, &origin(&caller)).await;
    renamed.map_err(|error| of_rename(error, kind))?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// POST `users/reset_username/`: 204 for any valid address.
pub(super) async fn request_reset(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    request_mail(api, request, MailPurpose::UsernameReset).await
}

/// POST `users/reset_username_confirm/`. djoser requires the new name only: a link that is not
/// there is told what a bad one is told.
pub(super) async fn confirm_reset(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let (kind, caller) = (request.kind(), request.caller.clone());
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    let uid = fields.read(Rule::text("uid").optional().or_blank());
    let token = fields.read(Rule::text("token").optional().or_blank());
    let wanted = fields.read(Rule::new_username("new_username"));
    let retyped = if api.accounts.settings().accounts.username_reset_confirm_retype {
        fields.read(Rule::text("re_new_username"))
    } else {
        None
    };
    let mut faults = fields.into_faults();
    if let Some(name) = wanted {
        faults.join(taken(&api, name).await?);
    }
    let (Some(name), true) = (wanted, faults.is_empty()) else { return Err(faults.into()) };

    let (uid, token) = (uid.unwrap_or_default(), token.unwrap_or_default());
    let renamed = api.accounts.rename_by_link(uid, token, name, retyped, &origin(&caller)).await;
    renamed.map_err(|error| of_rename(error, kind))?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// Whether somebody has the name now; the caller's own counts, as with djoser.
async fn taken(api: &ApiParts, name: &str) -> Result<Faults, Failure> {
    let is_taken = api.accounts.is_name_taken(name).await?;
    Ok(if is_taken { Faults::one("new_username", NAME_TAKEN) } else { Faults::default() })
}
