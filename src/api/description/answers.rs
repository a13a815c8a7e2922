//! Which answers an operation may give, and the bodies that all of them share.
//!
//! `reply` and `failure` write these bodies; here is their form. What may happen to every request
//! is decided by how it is read: with a credential or without, with a body or without.

use http::StatusCode;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{ResponseBuilder, ResponsesBuilder};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder};
use utoipa::openapi::{
    ArrayBuilder, Components, ContentBuilder, Ref, RefOr, Responses, Schema, Type,
};

use crate::api::body;
use crate::api::endpoint::Credentials;

use super::operation::{Operation, Refusal};

const ERROR: &str = "Error";
const REJECTION: &str = "Rejection";
const FIELD_ERRORS: &str = "FieldErrors";
const BARE_ERRORS: &str = "BareErrors";

/// Answers that are the same wherever they are given: status, name, and what has happened.
const SHARED: [(StatusCode, &str, &str); 10] = [
    (StatusCode::BAD_REQUEST, "Malformed", "More than one credential was sent."),
    (StatusCode::UNAUTHORIZED, "Unauthorized", "A credential is missing or not good."),
    (StatusCode::FORBIDDEN, "Forbidden", "The caller may not do this."),
    (StatusCode::NOT_FOUND, "NotFound", "It is not there, or the caller may not know of it."),
    (StatusCode::NOT_ACCEPTABLE, "NotAcceptable", "`Accept` does not allow JSON."),
    (StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "The body did not come in time."),
    (StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", "The body is too large."),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", "The body has no known form."),
    (StatusCode::TOO_MANY_REQUESTS, "Throttled", "Asked too often."),
    (StatusCode::SERVICE_UNAVAILABLE, "Unavailable", "What has to be checked cannot be now."),
];

/// Puts the shared bodies and answers among the components.
pub(super) fn register(components: &mut Components) {
    for (name, schema) in [
        (ERROR, error().build()),
        (REJECTION, rejection().build()),
        (FIELD_ERRORS, field_errors().build()),
    ] {
        components.schemas.insert(name.to_owned(), RefOr::T(Schema::Object(schema)));
    }
    let bare = ArrayBuilder::new()
        .items(ObjectBuilder::new().schema_type(Type::String))
        .description(Some("What is wrong with no field in particular."));
    components.schemas.insert(BARE_ERRORS.to_owned(), RefOr::T(Schema::Array(bare.build())));
    for (status, name, text) in SHARED {
        let unauthorized = status == StatusCode::UNAUTHORIZED;
        let body = Ref::from_schema_name(if unauthorized { REJECTION } else { ERROR });
        let mut response = ResponseBuilder::new().description(text).content(body::JSON, json(body));
        if unauthorized {
            let text = "How to prove who one is.";
            response = response.header("WWW-Authenticate", header(Type::String, text));
        } else if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
        {
            let text = "Seconds after which it is worth another try.";
            response = response.header("Retry-After", header(Type::Integer, text));
        }
        components.responses.insert(name.to_owned(), response.build().into());
    }
}

/// Every answer of an operation.
pub(super) fn responses(
    credentials: Credentials,
    operation: Operation,
    components: &mut Components,
) -> Responses {
    let (status, text, shape) = operation.good;
    let mut good = ResponseBuilder::new().description(text);
    if let Some(shape) = shape {
        components.schemas.extend(shape.parts);
        good = good.content(body::JSON, json(shape.schema));
    }
    let refusals = operation.refusals;
    let mut responses = ResponsesBuilder::new().response(status.as_str(), good.build());
    let mut others = vec![StatusCode::NOT_ACCEPTABLE, StatusCode::SERVICE_UNAVAILABLE];
    let examined = credentials == Credentials::Examined;
    if examined || refusals.contains(&Refusal::Token) {
        others.push(StatusCode::UNAUTHORIZED);
    }
    if operation.fields.is_some() {
        others.extend([
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ]);
        let bad = bad_request(refusals);
        responses = responses.response(StatusCode::BAD_REQUEST.as_str(), bad.build());
    } else if examined {
        others.push(StatusCode::BAD_REQUEST);
    }
    others.extend(refusals.iter().filter_map(|refusal| match refusal {
        Refusal::Bare | Refusal::Silent | Refusal::Token => None,
        Refusal::Forbidden => Some(StatusCode::FORBIDDEN),
        Refusal::NotFound => Some(StatusCode::NOT_FOUND),
        Refusal::Throttled => Some(StatusCode::TOO_MANY_REQUESTS),
    }));
    for (status, name, _) in SHARED.iter().filter(|(status, ..)| others.contains(status)) {
        responses = responses.response(status.as_str(), Ref::from_response_name(*name));
    }
    responses.build()
}

/// 400 where there is a body: what is wrong with it, or with the request.
fn bad_request(refusals: &[Refusal]) -> ResponseBuilder {
    let mut bodies = AnyOfBuilder::new()
        .item(Ref::from_schema_name(FIELD_ERRORS))
        .item(Ref::from_schema_name(ERROR));
    if refusals.contains(&Refusal::Bare) {
        bodies = bodies.item(Ref::from_schema_name(BARE_ERRORS));
    }
    let content = json(RefOr::T(Schema::AnyOf(bodies.build())));
    let text = if refusals.contains(&Refusal::Silent) {
        "The body is not good. Without a body: accounts are not activated by mail here."
    } else {
        "The body is not good."
    };
    ResponseBuilder::new().description(text).content(body::JSON, content)
}

fn json(schema: impl Into<RefOr<Schema>>) -> utoipa::openapi::Content {
    ContentBuilder::new().schema(Some(schema)).build()
}

fn header(of: Type, text: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(of)))
        .description(Some(text))
        .build()
}

fn text(meaning: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(meaning))
}

fn error() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("What went wrong."))
        .property("detail", text("In words, for people."))
        .property("code", text("In one word, for programs. djoser's answers have none."))
        .required("detail")
}

/// With `messages` where a JWT in the header failed, as simplejwt has it.
fn rejection() -> ObjectBuilder {
    let message = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("token_class", ObjectBuilder::new().schema_type(Type::String))
        .property("token_type", ObjectBuilder::new().schema_type(Type::String))
        .property("message", ObjectBuilder::new().schema_type(Type::String));
    let messages = ArrayBuilder::new().items(message).description(Some("Why a JWT is not good."));
    error().description(Some("Why a credential is not good.")).property("messages", messages)
}

fn field_errors() -> ObjectBuilder {
    let messages = ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::String));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "For each field what is wrong with it; `non_field_errors` for what concerns several.",
        ))
        .additional_properties(Some(messages))
}
