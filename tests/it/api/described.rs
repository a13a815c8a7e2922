//! Holds an answer against the API's description: whatever a test of the API is told, it must
//! have been announced, status and body.

use http::{Method, StatusCode};
use serde_json::Value;

/// What is wrong with an answer by the description; nothing for paths and methods it does not name.
pub(super) fn fault(
    document: &Value,
    (method, path): (&Method, &str),
    status: StatusCode,
    body: &[u8],
) -> Option<String> {
    let prefix = document["servers"][0]["url"].as_str()?.trim_end_matches('/');
    let path = path.split('?').next()?.strip_prefix(prefix)?;
    let item = item(document, path)?;
    let operation = item.get(method.as_str().to_lowercase())?;
    let at = format!("{method} {path} {status}: {}", String::from_utf8_lossy(body));
    let Some(response) = operation["responses"].get(status.as_str()) else {
        return Some(format!("{at}: this status is not described"));
    };
    let response = followed(document, response);
    let Some(schema) = response.pointer("/content/application~1json/schema") else {
        return (!body.is_empty()).then(|| format!("{at}: no body is described"));
    };
    // OpenAPI has no way to say that a body may be missing but to say it.
    let may_be_missing = response["description"].as_str()?.contains("Without a body");
    if body.is_empty() && may_be_missing {
        return None;
    }
    let Ok(value) = serde_json::from_slice(body) else {
        return Some(format!("{at}: a body in JSON is described"));
    };
    (!fits(document, schema, &value)).then(|| format!("{at}: not as described"))
}

/// The path as it stands there, or with its last part variable.
fn item<'d>(document: &'d Value, path: &str) -> Option<&'d Value> {
    let paths = document["paths"].as_object()?;
    let fixed = paths.get(path);
    fixed.or_else(|| {
        paths.iter().find_map(|(template, item)| {
            let (before, rest) = template.split_once('{')?;
            let part = path.strip_prefix(before)?.strip_suffix('/')?;
            (rest.ends_with("}/") && !part.is_empty() && !part.contains('/')).then_some(item)
        })
    })
}

fn followed<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// As much of JSON Schema as the description uses; a word that it does not know is a fault.
/// Stricter in one thing: members that are not named are none.
fn fits(document: &Value, schema: &Value, value: &Value) -> bool {
    let schema = followed(document, schema);
    if let Some(several) = schema.get("anyOf") {
        return several.as_array().unwrap().iter().any(|one| fits(document, one, value));
    }
    for word in schema.as_object().unwrap().keys() {
        let known = [
            "type",
            "description",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "enum",
            "format",
        ];
        assert!(known.contains(&word.as_str()), "{word}: the check does not know this word");
    }
    let is = |of: &Value| match of.as_str().unwrap() {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}: the check does not know this type"),
    };
    let of = &schema["type"];
    if !of.as_array().map_or_else(|| is(of), |several| several.iter().any(is)) {
        return false;
    }
    if schema.get("enum").is_some_and(|words| !words.as_array().unwrap().contains(value)) {
        return false;
    }
    match value {
        Value::Array(items) => items.iter().all(|item| fits(document, &schema["items"], item)),
        Value::Object(members) => {
            let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
            required.iter().all(|name| members.contains_key(name.as_str().unwrap()))
                && members.iter().all(|(name, member)| {
                    schema["properties"]
                        .get(name)
                        .or_else(|| schema.get("additionalProperties"))
                        .is_some_and(|schema| fits(document, schema, member))
                })
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_announced_is_a_fault() {
        let of = json!({"type": "object", "required": ["id"], "properties": {
            "id": {"type": "integer"}, "names": {"type": "array", "items": {"type": "string"}},
        }});
        let document = json!({
            "servers": [{"url": "/a"}],
            "paths": {"/b/": {"get": {"responses": {
                "200": {"description": "", "content": {"application/json": {"schema": of}}}, "204": {"description": ""},
            }}}},
        });
        let seen = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            fault(&document, (&Method::GET, "/a/b/?c=d"), status, body.as_bytes()).is_none()
        };
        assert!(seen(200, r#"{"id": 7, "names": ["x"]}"#) && seen(200, r#"{"id": 7}"#));
        assert!(seen(204, ""));
        for bad in
            ["", "{}", "[]", r#"{"id": "7"}"#, r#"{"id": 7, "x": 1}"#, r#"{"id": 7, "names": [1]}"#]
        {
            assert!(!seen(200, bad), "{bad}");
        }
        assert!(!seen(204, "{}") && !seen(404, "{}"));
    }
}
