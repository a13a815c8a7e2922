//! The description as a page for people: made from the very JSON that programs get.
//!
//! No script and no other origin: the one style sheet stands in the page and is named by its
//! digest. It must not know any endpoint.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use minijinja::{Environment, UndefinedBehavior, context, value};
use serde::Serialize;
use serde_json::{Map, Value};

const STYLE: &str = include_str!("page.css");
const TEMPLATE: &str = include_str!("page.html");

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error("the description is no JSON")]
    Json(#[from] serde_json::Error),
    #[error("the template does not fit: {0:#}")]
    Template(#[from] minijinja::Error),
}

#[derive(Serialize)]
struct Section<'d> {
    name: &'d str,
    text: &'d str,
    operations: Vec<Operation<'d>>,
}

#[derive(Serialize)]
struct Operation<'d> {
    id: &'d str,
    method: String,
    path: String,
    summary: &'d str,
    credential: &'static str,
    parameters: Vec<Field>,
    fields: Vec<Field>,
    answers: Vec<Answer>,
}

#[derive(Serialize)]
struct Field {
    name: String,
    kind: Kind,
    text: String,
    is_required: bool,
}

#[derive(Serialize)]
struct Answer {
    status: String,
    text: String,
    bodies: Vec<Kind>,
}

/// What kind of value something is, and the body that this leads to.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Kind {
    text: String,
    link: String,
}

#[derive(Serialize)]
struct Body {
    name: String,
    text: String,
    fields: Vec<Field>,
}

/// The page for a description, and the policy under which browsers should show it.
pub(super) fn write(description: &str) -> Result<(String, HeaderValue), PageError> {
    let document: Value = serde_json::from_str(description)?;
    let sections: Vec<_> =
        list(&document["tags"]).iter().map(|tag| section(&document, tag)).collect();
    // What is sent stands with the operation that takes it.
    let bodies: Vec<_> = entries(&document["components"]["schemas"])
        .filter(|(name, _)| !name.ends_with(super::REQUEST))
        .map(|(name, schema)| Body {
            name: name.clone(),
            text: text(&schema["description"]).to_owned(),
            fields: fields(schema),
        })
        .collect();
    let introduction: Vec<_> =
        text(&document["info"]["description"]).split("\n\n").map(str::to_owned).collect();
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template("page.html", TEMPLATE)?;
    let html = templates.get_template("page.html")?.render(context! {
        title => text(&document["info"]["title"]),
        version => text(&document["info"]["version"]),
        introduction,
        credential => text(&document["components"]["securitySchemes"]["token"]["description"]),
        sections => value::Value::from(value::Serde(&sections)),
        bodies => value::Value::from(value::Serde(&bodies)),
        style => value::Value::from_safe_string(STYLE.to_owned()),
    })?;
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'none'; frame-ancestors 'none'; \
         base-uri 'none'",
        STANDARD.encode(digest(&SHA256, STYLE.as_bytes()))
    );
    Ok((html, HeaderValue::try_from(policy).expect("base64 is visible ASCII")))
}

fn section<'d>(document: &'d Value, tag: &'d Value) -> Section<'d> {
    let prefix = text(&document["servers"][0]["url"]).trim_end_matches('/');
    let mut operations = Vec::new();
    for (path, item) in entries(&document["paths"]) {
        for method in ["get", "post", "put", "patch", "delete"] {
            let Some(described) = item.get(method) else { continue };
            if described["tags"][0] == tag["name"] {
                operations.push(operation(document, format!("{prefix}{path}"), method, described));
            }
        }
    }
    Section { name: text(&tag["name"]), text: text(&tag["description"]), operations }
}

fn operation<'d>(
    document: &'d Value,
    path: String,
    method: &str,
    described: &'d Value,
) -> Operation<'d> {
    let needs = list(&described["security"]);
    let credential = match needs.iter().filter(|need| entries(need).next().is_some()).count() {
        0 => "no token",
        wanted if wanted < needs.len() => "with or without a token",
        _ => "needs a token",
    };
    let parameters = list(&described["parameters"]).iter().map(|parameter| Field {
        name: text(&parameter["name"]).to_owned(),
        kind: kind(&parameter["schema"]),
        text: text(&parameter["description"]).to_owned(),
        is_required: parameter["required"] == true,
    });
    let answers = entries(&described["responses"]).map(|(status, response)| {
        let response = followed(document, response);
        let body = &response["content"]["application/json"]["schema"];
        let bodies = match body.get("anyOf") {
            Some(several) => list(several).iter().map(kind).collect(),
            None if body.is_null() => Vec::new(),
            None => vec![kind(body)],
        };
        let text = text(&response["description"]).to_owned();
        Answer { status: status.clone(), text, bodies }
    });
    let sent = &described["requestBody"]["content"]["application/json"]["schema"];
    Operation {
        id: text(&described["operationId"]),
        method: method.to_uppercase(),
        path,
        summary: text(&described["summary"]),
        credential,
        parameters: parameters.collect(),
        fields: fields(followed(document, sent)),
        answers: answers.collect(),
    }
}

/// The members of an object.
fn fields(schema: &Value) -> Vec<Field> {
    let required = list(&schema["required"]);
    let named = entries(&schema["properties"]).map(|(name, member)| Field {
        name: name.clone(),
        kind: kind(member),
        text: text(&member["description"]).to_owned(),
        is_required: required.iter().any(|needed| needed == name),
    });
    named.collect()
}

/// A schema in a few words.
fn kind(schema: &Value) -> Kind {
    if let Some(link) = text(&schema["$ref"]).rsplit('/').next().filter(|link| !link.is_empty()) {
        return Kind { text: link.to_owned(), link: link.to_owned() };
    }
    if schema["type"] == "array" {
        let of = kind(&schema["items"]);
        return Kind { text: format!("list of {}", of.text), link: of.link };
    }
    if let Some(words) = schema.get("enum") {
        let words: Vec<_> = list(words).iter().map(text).collect();
        return Kind { text: words.join(" or "), link: String::new() };
    }
    let mut words = match &schema["type"] {
        Value::Array(several) => several.iter().map(text).collect::<Vec<_>>().join(" or "),
        one => text(one).to_owned(),
    };
    if let Some(format) = schema["format"].as_str() {
        words = format!("{words} ({format})");
    }
    if let Some(most) = schema["maxLength"].as_u64() {
        words = format!("{words}, at most {most}");
    }
    Kind { text: words, link: String::new() }
}

/// What a reference leads to; anything else is itself.
fn followed<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let pointer = text(&value["$ref"]).trim_start_matches('#');
    if pointer.is_empty() { value } else { document.pointer(pointer).unwrap_or(value) }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
