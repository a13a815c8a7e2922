//! `users/`, `users/me/` and `users/set_password/`: register, and one's own account.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::{ProfileEdit, ProofError, RegisterError, Registration};
use crate::config;
use crate::model::{User, UserId};

use super::ApiParts;
use super::endpoint::{Handler, Request, whole};
use super::failure::{Failure, WRONG_PASSWORD, of_password, of_profile, of_proof, taken};
use super::fields::{Faults, Fields, Rule, Space};
use super::recovery::origin;
use super::reply::{self, Reply};

/// POST `users/`.
pub(super) async fn register(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let accounts = &api.accounts;
    if !accounts.registration_is_open() {
        return Err(RegisterError::Closed.into());
    }
    let settings = &accounts.settings().accounts;
    let caller = request.caller.clone();
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    let username = fields.read(Rule::username());
    let email = fields.read(first_email_rule(settings));
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
    let new = Registration { username, email, password, retyped, address: caller.address };
    let user = accounts.register(new, &origin(&caller)).await?;
    Ok(reply::json(StatusCode::CREATED, &Account::of(&user, &api)))
}

/// Show, change, remove, for the caller's own account.
pub(super) const ME: [Handler; 3] = [
    |api, request| whole(show_me(api, request)),
    |api, request| {
        whole(async move {
            let id = request.user()?;
            change(api, request, id).await
        })
    },
    |api, request| {
        whole(async move {
            let id = request.user()?;
            remove(api, request, id).await
        })
    },
];

async fn show_me(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let user = api.accounts.profile(request.user()?).await;
    let user = user.map_err(|error| of_profile(error, request.kind()))?;
    Ok(reply::json(StatusCode::OK, &Account::of(&user, &api)))
}

/// PUT and PATCH of an account. djoser requires no field in either.
pub(super) async fn change(
    api: Arc<ApiParts>,
    request: Request,
    id: UserId,
) -> Result<Reply, Failure> {
    let accounts = &api.accounts;
    let (kind, caller) = (request.kind(), request.caller.clone());
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    // A read-only field is not even looked at: it may be taken, invalid or no text at all.
    let username =
        if accounts.may_rename() { fields.read(Rule::username().optional()) } else { None };
    let email = if accounts.may_change_email() {
        fields.read(email_rule(&accounts.settings().accounts).optional())
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

    let edit = ProfileEdit { username, email };
    let user = accounts.change_profile(id, edit, &origin(&caller)).await;
    let user = user.map_err(|error| of_profile(error, kind))?;
    Ok(reply::json(StatusCode::OK, &Account::of(&user, &api)))
}

/// DELETE of an account, always at the word of the caller's own password.
pub(super) async fn remove(
    api: Arc<ApiParts>,
    request: Request,
    id: UserId,
) -> Result<Reply, Failure> {
    let (kind, caller, address) = (request.kind(), request.user()?, request.caller.address);
    let form = request.form(&api).await?;

    let mut fields = Fields::of(&form);
    let password = fields.read(Rule::password("current_password", password_space(&api)));
    let Some(password) = password else { return Err(fields.into_faults().into()) };

    let proved = api.accounts.prove_caller(caller, password, address).await;
    proved.map_err(|error| of_proof(error, kind))?;
    api.accounts.remove(id).await.map_err(|error| of_profile(error, kind))?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// POST `users/set_password/`. A wrong present password hides what is weak about the new one.
pub(super) async fn set_password(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let (kind, id, caller) = (request.kind(), request.user()?, request.caller.clone());
    let form = request.form(&api).await?;
    let space = password_space(&api);

    let mut fields = Fields::of(&form);
    let new = fields.read(Rule::new_password("new_password", space));
    let retyped = if api.accounts.settings().accounts.set_password_retype {
        fields.read(Rule::new_password("re_new_password", space))
    } else {
        None
    };
    let current = fields.read(Rule::password("current_password", space));
    let mut faults = fields.into_faults();
    let user = match current {
        Some(password) => {
            let proved = api.accounts.prove_caller(id, password, caller.address).await;
            prove(proved, &mut faults).map_err(|error| of_proof(error, kind))?
        }
        None => None,
    };
    let (Some(user), Some(new), true) = (user, new, faults.is_empty()) else {
        return Err(faults.into());
    };

    let changed = api.accounts.change_password(&user, new, retyped, &origin(&caller)).await;
    changed.map_err(of_password)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// A wrong present password is one fault among those of the form.
pub(super) fn prove(
    proved: Result<User, ProofError>,
    faults: &mut Faults,
) -> Result<Option<User>, ProofError> {
    match proved {
        Ok(user) => Ok(Some(user)),
        Err(ProofError::WrongPassword) => {
            faults.add("current_password", WRONG_PASSWORD);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// An address to be stored. Who logs in by it, or is to be activated by it, must have one.
pub(super) fn email_rule(settings: &config::Accounts) -> Rule {
    let needed = settings.login_field == "email" || settings.send_activation_email;
    if needed { Rule::new_email() } else { Rule::new_email().or_blank() }
}

/// The address at registration.
pub(super) fn first_email_rule(settings: &config::Accounts) -> Rule {
    let rule = email_rule(settings);
    if rule.may_be_blank() { rule.optional() } else { rule }
}

/// What becomes of white space around passwords, everywhere alike: otherwise one set with it
/// could not be used.
pub(super) fn password_space(api: &ApiParts) -> Space {
    if api.accounts.settings().accounts.trim_passwords { Space::Trimmed } else { Space::Kept }
}

/// An account as clients see it.
#[derive(Serialize, ToSchema)]
pub(super) struct Account<'a> {
    /// Empty if there is none.
    email: &'a str,
    /// Left out where accounts are shown by their username (djoser's `USER_ID_FIELD`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<i64>,
    username: &'a str,
}

impl<'a> Account<'a> {
    pub(super) fn of(user: &'a User, api: &ApiParts) -> Self {
        let numbered = api.accounts.settings().accounts.user_id_field != "username";
        Self { email: &user.email, id: numbered.then_some(user.id.0), username: &user.username }
    }

    /// Whether a path that ends so is about this account.
    pub(super) fn is_named(&self, text: &str) -> bool {
        match self.id {
            Some(id) => id.to_string() == text,
            None => self.username == text,
        }
    }
}
