//! The API described in `OpenAPI` 3.1: for programs at `{prefix}/schema/`, for people at `{prefix}/docs/`.
//!
//! Nothing is told twice. Paths, methods and who may do what come from the table that is served
//! (`routes`), fields of requests from the rules that read them, bodies of answers from the types
//! that are written. What none of them says stands in `operations`. It describes this gateway
//! with these settings: which fields are required is a matter of settings.

mod answers;
mod operation;
mod operations;
mod page;
mod serve;

use http::Method;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi,
    OpenApiBuilder, PathItem, Paths, Ref, RefOr, Required, Schema, ServerBuilder, Type,
};

use crate::config::Settings;

use super::body;
use super::endpoint::{Credentials, Endpoint, Openness};
use super::fields::{Blank, Kind, Limit, Presence, Rule};
use super::routes::endpoints;

use self::operation::Operation;
use self::operations::operation;

pub(super) use self::serve::mount;

/// How the names of requests' bodies end.
const REQUEST: &str = "Request";

/// Names the one way to prove who one is.
const SCHEME: &str = "token";

const INTRODUCTION: &str = "\
Accounts, logins and tokens: the API of djoser and simplejwt, and what Portcullis adds to it.

Bodies are JSON, URL-encoded forms or multipart forms, whichever suits the client; fields that \
nobody knows are ignored. Answers are JSON. The methods of a path are named by the header `Allow` \
of each of its answers: any other is 405, and OPTIONS names the path. HEAD goes where GET goes. \
Where a credential is sent it must be good, also where none is needed.";

/// Sections of the description, by the first segment of their paths.
const TAGS: [(&str, &str); 3] = [
    ("users", "Accounts: register, look, change, forget a password, see where one is logged in."),
    ("token", "Logins with an opaque token, which can be ended at any time."),
    ("jwt", "Logins with JWTs: an access token that back ends can check, and one to renew it."),
];

/// The description of the API with these settings, as JSON.
///
/// # Errors
///
/// If it cannot be written, which no settings can bring about.
pub fn description(settings: &Settings) -> Result<String, serde_json::Error> {
    document(settings).to_pretty_json().map(|text| text + "\n")
}

fn document(settings: &Settings) -> OpenApi {
    let mut components = Components::new();
    answers::register(&mut components);
    components.add_security_scheme(
        SCHEME,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(
                    "The opaque token of `token/login/` or the access token of `jwt/create/`. \
                     Opaque tokens may also follow the word `Token`.",
                ))
                .build(),
        ),
    );
    let mut paths = Paths::new();
    for endpoint in endpoints() {
        let mut item = PathItem::default();
        for (method, _) in &endpoint.handlers {
            // A test holds that there is none without.
            let Some(described) = operation(endpoint.path, method, settings) else { continue };
            let described = write(&endpoint, method, described, &mut components);
            item.merge_operations(PathItem::new(verb(method), described));
        }
        paths.paths.insert(endpoint.path.to_owned(), item);
    }
    let prefix = settings.server.auth_prefix.trim_end_matches('/');
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Portcullis")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(INTRODUCTION))
                .license(Some(
                    LicenseBuilder::new().name("Apache 2.0").identifier(Some("Apache-2.0")).build(),
                ))
                .build(),
        )
        .servers(Some([ServerBuilder::new()
            .url(if prefix.is_empty() { "/" } else { prefix })
            .build()]))
        .tags(Some(
            TAGS.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build()),
        ))
        .paths(paths)
        .components(Some(components))
        .build()
}

/// One method of one path.
fn write(
    endpoint: &Endpoint,
    method: &Method,
    described: Operation,
    components: &mut Components,
) -> utoipa::openapi::path::Operation {
    let first = endpoint.path.split('/').find(|part| !part.is_empty()).unwrap_or("users");
    let mut operation = OperationBuilder::new()
        .operation_id(Some(described.id))
        .summary(Some(described.summary))
        .description(Some(endpoint.description))
        .tag(first);
    for name in endpoint.path.split('/').filter_map(variable) {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(operation::parameter(name)))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        operation = operation.parameter(parameter);
    }
    let open = match &endpoint.open {
        Openness::Everything => true,
        Openness::Methods(methods) => methods.contains(method),
        Openness::Nothing => false,
    };
    let needed = SecurityRequirement::new(SCHEME, [""; 0]);
    operation = match (endpoint.credentials, open) {
        (Credentials::Ignored, _) => operation.securities(Some([])),
        (Credentials::Examined, true) => {
            operation.securities(Some([SecurityRequirement::default(), needed]))
        }
        (Credentials::Examined, false) => operation.security(needed),
    };
    if let Some(fields) = &described.fields {
        let name = request_name(described.id);
        let schema = Ref::from_schema_name(&name);
        components.schemas.insert(name, RefOr::T(Schema::Object(object(fields))));
        let mut body = RequestBodyBuilder::new();
        for media_type in [body::JSON, body::URLENCODED, body::MULTIPART] {
            let content = ContentBuilder::new().schema(Some(schema.clone())).build();
            body = body.content(media_type, content);
        }
        let needed = fields.iter().any(|rule| rule.presence == Presence::Required);
        let needed = if needed { Required::True } else { Required::False };
        operation = operation.request_body(Some(body.required(Some(needed)).build()));
    }
    operation.responses(answers::responses(endpoint.credentials, described, components)).build()
}

/// What generated clients call a request's body.
fn request_name(id: &str) -> String {
    let (first, rest) = id.split_at(1);
    format!("{}{rest}{REQUEST}", first.to_uppercase())
}

/// The name of a variable part of a path.
fn variable(part: &str) -> Option<&str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

fn verb(method: &Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

/// What a request's body may hold.
fn object(fields: &[Rule]) -> utoipa::openapi::schema::Object {
    let mut object = ObjectBuilder::new().schema_type(Type::Object);
    for rule in fields {
        object = object.property(rule.name, text(rule));
        if rule.presence == Presence::Required {
            object = object.required(rule.name);
        }
    }
    object.build()
}

/// A field of a request.
fn text(rule: &Rule) -> utoipa::openapi::schema::Object {
    use utoipa::openapi::{KnownFormat, SchemaFormat};

    let most = match (rule.kind, rule.limit) {
        (Kind::Username, _) => Some(crate::accounts::names::MAX_USERNAME),
        (_, Limit::Chars(most) | Limit::Bytes(most)) => Some(most),
        (_, Limit::None) => None,
    };
    let format = match rule.kind {
        Kind::Email => Some(SchemaFormat::KnownFormat(KnownFormat::Email)),
        _ if rule.name.contains("password") => {
            Some(SchemaFormat::KnownFormat(KnownFormat::Password))
        }
        Kind::Text | Kind::Username => None,
    };
    // An empty text is no address, so where it may be empty the format would say too much.
    let format = if rule.blank == Blank::Allowed { None } else { format };
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(format)
        .min_length((rule.blank == Blank::Refused).then_some(1))
        .max_length(most)
        .description(operation::field(rule.name))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_every_endpoint_is_described_and_nothing_that_is_not_there() {
        let settings = Settings::default();
        let mut served: Vec<_> = endpoints()
            .iter()
            .flat_map(|endpoint| {
                endpoint.handlers.iter().map(|(method, _)| (endpoint.path, method.clone()))
            })
            .collect();
        let mut described: Vec<_> = operations::all(&settings)
            .into_iter()
            .map(|(path, method, _)| (path, method))
            .collect();
        for list in [&mut served, &mut described] {
            list.sort_by_key(|(path, method)| (*path, method.to_string()));
        }
        assert_eq!(described, served, "src/api/description/operations.rs");
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_path_its_section() {
        let settings = Settings::default();
        let mut names: Vec<_> =
            operations::all(&settings).iter().map(|(_, _, operation)| operation.id).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for endpoint in endpoints().iter().filter(|endpoint| endpoint.path != "/") {
            assert!(
                TAGS.iter().any(|(name, _)| endpoint.path.starts_with(&format!("/{name}/"))),
                "{}",
                endpoint.path
            );
        }
    }

    #[test]
    fn every_verb_that_an_endpoint_knows_can_be_described() {
        for (method, _) in endpoints().iter().flat_map(|endpoint| &endpoint.handlers) {
            let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
            assert!(known.contains(method), "{method}");
        }
    }
}
