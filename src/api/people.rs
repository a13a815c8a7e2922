//! `users/` and `users/{id}/`: accounts of others, for staff or where they are not hidden.
//!
//! A refusal must not tell which accounts exist: while accounts are hidden, who may not look is
//! answered without one look-up.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::accounts::Trouble;
use crate::identity::CredentialKind;
use crate::model::{User, UserId};

use super::ApiParts;
use super::endpoint::{Handler, Request, whole};
use super::failure::{Failure, of_profile};
use super::reply::{self, Reply};
use super::users::{Account, change, remove};

/// Show, change, remove.
pub(super) const ONE: [Handler; 3] = [
    |api, request| whole(show(api, request)),
    |api, request| {
        whole(async move {
            let asked = Asked::of(&request, Doing::Change)?;
            let user = target(&api, asked).await?;
            change(api, request, user.id).await
        })
    },
    |api, request| {
        whole(async move {
            let asked = Asked::of(&request, Doing::Remove)?;
            let user = target(&api, asked).await?;
            remove(api, request, user.id).await
        })
    },
];

/// What is asked of which account, by whom.
struct Asked {
    by: UserId,
    is_staff: bool,
    kind: CredentialKind,
    account: String,
    doing: Doing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Show,
    Change,
    Remove,
}

impl Asked {
    fn of(request: &Request, doing: Doing) -> Result<Self, Failure> {
        Ok(Self {
            by: request.user()?,
            is_staff: request.is_staff(),
            kind: request.kind(),
            account: request.target().into_owned(),
            doing,
        })
    }
}

async fn show(api: Arc<ApiParts>, request: Request) -> Result<Reply, Failure> {
    let asked = Asked::of(&request, Doing::Show)?;
    let user = target(&api, asked).await?;
    Ok(reply::json(StatusCode::OK, &Account::of(&user, &api)))
}

/// GET `users/`: all accounts to staff and where nobody is hidden, else the caller's own. It is
/// sent page by page: at no time are all of them in memory.
pub(super) async fn list(api: Arc<ApiParts>, request: Request) -> Result<Response, Failure> {
    let id = request.user()?;
    if !request.is_staff() && api.accounts.hides_users() {
        let user = api.accounts.profile(id).await;
        let user = user.map_err(|error| of_profile(error, request.kind()))?;
        return Ok(reply::json(StatusCode::OK, &[Account::of(&user, &api)]).map(Body::from));
    }
    // The first page comes before the head: trouble with it can still be told.
    let first = api.accounts.page_after(UserId(0)).await?;
    let pages = stream::try_unfold(Some((api, first, true)), |state| async move {
        let Some((api, page, is_first)) = state else { return Ok::<_, Trouble>(None) };
        let Some(last) = page.last().map(|user| user.id) else {
            let end: &'static [u8] = if is_first { b"[]" } else { b"]" };
            return Ok(Some((Bytes::from_static(end), None)));
        };
        let piece = piece(&api, &page, is_first);
        let next = api.accounts.page_after(last).await?;
        Ok(Some((piece, Some((api, next, false)))))
    });
    let mut response = Response::new(Body::from_stream(pages));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A page of the list, with what stands before it.
fn piece(api: &ApiParts, page: &[User], is_first: bool) -> Bytes {
    let mut piece = Vec::with_capacity(page.len() * 96);
    for (index, user) in page.iter().enumerate() {
        piece.push(if is_first && index == 0 { b'[' } else { b',' });
        // Texts and numbers only: writing them into memory does not fail.
        piece.extend(serde_json::to_vec(&Account::of(user, api)).unwrap_or_default());
    }
    piece.into()
}

/// The account that the path names, if the caller may do this to it.
async fn target(api: &ApiParts, asked: Asked) -> Result<User, Failure> {
    if asked.is_staff || !api.accounts.hides_users() {
        let user = api.accounts.find(&asked.account).await?.ok_or_else(reply::not_found)?;
        return if asked.is_staff || user.id == asked.by {
            Ok(user)
        } else {
            Err(reply::forbidden().into())
        };
    }
    let own = api.accounts.profile(asked.by).await;
    let own = own.map_err(|error| of_profile(error, asked.kind))?;
    if Account::of(&own, api).is_named(&asked.account) {
        Ok(own)
    } else if asked.doing == Doing::Remove {
        Err(reply::forbidden().into())
    } else {
        Err(reply::not_found().into())
    }
}
