//! `users/` and `users/me/`: register, and one's own account.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use crate::accounts::{ProfileEdit, RegisterError, Registration};
use crate::identity::CredentialKind;
use crate::model::User;

use super::ApiParts;
use super::endpoint::Request;
use super::failure::{Failure, of_profile, of_removal, taken};
use super::fields::{Fields, Rule, Space};
use super::reply::{self, Reply};

/// POST `users/`.
pub(super) async fn register(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let accounts = &api.accounts;
    if !accounts.registration_is_open() {
        return Err(RegisterError::Closed.into());
    }
    let settings = &accounts.settings().accounts;
    let address = request.caller.address;
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    let username = fields.read(Rule::username());
    // Who logs in by an address must have one.
    let by_email = settings.login_field == "email";
    let rule = Rule::new_email();
    let email = fields.read(if by_email { rule } else { rule.optional().or_blank() });
    let password = fields.read(Rule::new_password("password", password_space(&api)));
    let retyped = if settings.user_create_password_retype {
        fields.read(Rule::new_password("re_password", password_space(&api)))
    } else {
        None
    };
    let mut faults = fields.into_faults();
    for field in accounts.taken(username, email, None).await? {
        faults.join(taken(field));
    }
    let (Some(username), Some(password), true) = (username, password, faults.is_empty()) else {
        return Err(faults.into());
    };

    let email = email.unwrap_or_default();
    let new = Registration { username, email, password, retyped, address };
    let user = accounts.register(new).await?;
    Ok(reply::json(StatusCode::CREATED, &Account::of(&user)))
}

/// GET `users/me/`.
pub(super) async fn show_me(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let kind = kind(&request);
    let user = api.accounts.profile(request.user()?).await;
    let user = user.map_err(|error| of_profile(error, kind))?;
    Ok(reply::json(StatusCode::OK, &Account::of(&user)))
}

/// PUT and PATCH `users/me/`. djoser requires no field in either.
pub(super) async fn change_me(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let accounts = &api.accounts;
    let kind = kind(&request);
    let id = request.user()?;
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    // A read-only field is not even looked at: it may be taken, invalid or no text at all.
    let username =
        if accounts.may_rename() { fields.read(Rule::username().optional()) } else { None };
    let email = if accounts.may_change_email() {
        fields.read(Rule::new_email().optional().or_blank())
    } else {
        None
    };
    let mut faults = fields.into_faults();
    for field in accounts.taken(username, email, Some(id)).await? {
        faults.join(taken(field));
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }

    let user = accounts.change_profile(id, ProfileEdit { username, email }).await;
    let user = user.map_err(|error| of_profile(error, kind))?;
    Ok(reply::json(StatusCode::OK, &Account::of(&user)))
}

/// DELETE `users/me/`.
pub(super) async fn remove_me(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let kind = kind(&request);
    let id = request.user()?;
    let address = request.caller.address;
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    let password = fields.read(Rule::password("current_password", password_space(&api)));
    let Some(password) = password else { return Err(fields.into_faults().into()) };

    let removed = api.accounts.remove(id, password, address).await;
    removed.map_err(|error| of_removal(error, kind))?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// What becomes of white space around passwords, everywhere alike: otherwise one set with it
/// could not be used.
pub(super) fn password_space(api: &ApiParts) -> Space {
    if api.accounts.settings().accounts.trim_passwords { Space::Trimmed } else { Space::Kept }
}

/// An account as clients see it.
#[derive(Serialize)]
struct Account<'a> {
    email: &'a str,
    id: i64,
    username: &'a str,
}

impl<'a> Account<'a> {
    fn of(user: &'a User) -> Self {
        Self { email: &user.email, id: user.id.0, username: &user.username }
    }
}

/// Decides how a credential is told that its account has just gone.
fn kind(request: &Request) -> CredentialKind {
    request.identity.as_ref().map_or(CredentialKind::Opaque, |identity| identity.kind)
}
