//! djoser's face over the accounts: paths, bodies and answers as its clients know them.
//!
//! The only place with status codes and with the words of answers. It translates: a request is
//! read into what a use case of [`crate::accounts`] takes, and what comes back, good or bad, is
//! written as djoser, Django REST framework and simplejwt write it. It must not decide who may
//! do what beyond that, nor know how a token or a password is checked.
//!
//! Reading order: `routes` (every path), `endpoint` (what happens to every request), `body` and
//! `fields` (what was sent), the handlers by path (`users`, `people`,
//! `logins`, `username`, `activation`, `recovery`, `token`, `jwt`),
//! `failure` and `reply` (what is answered); `pages` is the same in HTML for mailed links, and
//! `description` tells others what there is.

pub mod caller;

mod routes;

mod endpoint;
mod negotiation;

mod body;
mod fields;

mod activation;
mod jwt;
mod key_set;
mod logins;
mod pages;
mod people;
mod recovery;
mod root;
mod token;
mod username;
mod users;

mod failure;
pub mod reply;

mod description;

pub use description::description;
pub use endpoint::Answered;
pub use routes::{ApiParts, endpoint_paths, router};

/// A door for `fuzz/`: the status that a body is answered with before anybody looks at fields.
#[cfg(fuzzing)]
pub async fn fuzz_body(headers: &http::HeaderMap, bytes: bytes::Bytes) -> u16 {
    match body::parse(headers, bytes).await {
        Ok(_) => 200,
        Err(failure) => failure.into_reply().status().as_u16(),
    }
}
