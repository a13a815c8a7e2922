//! What can be said of one operation, and the words for what recurs in several.

use http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::{ArrayBuilder, Ref, RefOr, Schema};

use crate::api::fields::Rule;

/// One method of one path.
pub(super) struct Operation {
    /// What generated clients call it.
    pub(super) id: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// What the body may hold; none: it is not read.
    pub(super) fields: Option<Vec<Rule>>,
    /// The answer if all goes well.
    pub(super) good: (StatusCode, &'static str, Option<Shape>),
    /// What may go wrong here that does not go wrong everywhere.
    pub(super) refusals: &'static [Refusal],
}

/// The body of a good answer.
pub(super) struct Shape {
    pub(super) schema: RefOr<Schema>,
    /// What it refers to.
    pub(super) parts: Vec<(String, RefOr<Schema>)>,
}

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A fault that is told in a list without a field.
    Bare,
    /// A 400 that says nothing at all, as djoser has it.
    Silent,
    /// A credential in the body is not good.
    Token,
    /// The caller may not.
    Forbidden,
    /// There is no such thing, or the caller may not know of it.
    NotFound,
    /// Asked too often.
    Throttled,
}

impl Shape {
    pub(super) fn of<T: ToSchema>() -> Self {
        let mut parts = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut parts);
        Self { schema: Ref::from_schema_name(T::name()).into(), parts }
    }

    pub(super) fn list<T: ToSchema>() -> Self {
        let one = Self::of::<T>();
        let list = ArrayBuilder::new().items(one.schema).build();
        Self { schema: RefOr::T(Schema::Array(list)), parts: one.parts }
    }
}

/// What the variable part of a path means.
pub(super) fn parameter(name: &str) -> &'static str {
    match name {
        "sid" => "The login's `id` in `users/me/logins/`, `sid` in its JWTs.",
        _ => "The account's `id`; its username where accounts are shown by that.",
    }
}

/// What a field means, where its name does not say it.
pub(super) fn field(name: &str) -> Option<&'static str> {
    Some(match name {
        "current_password" => "The caller's own.",
        "re_password" | "re_new_password" | "re_new_username" => "The same once more.",
        "uid" | "token" => "As the mailed link has it.",
        "username" | "new_username" => "Letters and digits of any script, and `@ . + - _`.",
        _ => return None,
    })
}
