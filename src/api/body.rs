//! A request's body, read into a form: names and what was sent under them.
//!
//! JSON, urlencoded and multipart bodies are taken by every endpoint alike; whatever is wrong
//! with one is said in Django REST framework's words. It must not know which fields an endpoint
//! wants, nor what is a good value for one.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use serde_json::value::RawValue;

use super::failure::Failure;
use super::fields::Faults;
use super::reply;

/// Media types that are read.
pub(super) const JSON: &str = "application/json";
pub(super) const URLENCODED: &str = "application/x-www-form-urlencoded";
pub(super) const MULTIPART: &str = "multipart/form-data";

/// What was sent. Of equal names the last one counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    values: HashMap<String, Sent>,
    written_as: WrittenAs,
}

/// One value, as far as its kind matters to any field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    /// `null`.
    Null,
    /// A string.
    Text(String),
    /// A number, in the text that Python makes of it.
    Number(String),
    /// A boolean, list, object or file: never a text.
    Other,
}

/// HTML forms cannot say null, and say "nothing" with an empty text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenAs {
    /// JSON.
    Json,
    /// A form of either kind.
    Html,
}

impl Form {
    pub(super) fn get(&self, name: &str) -> Option<&Sent> {
        self.values.get(name)
    }

    pub(super) fn written_as(&self) -> WrittenAs {
        self.written_as
    }

    fn json(values: HashMap<String, Sent>) -> Self {
        Self { values, written_as: WrittenAs::Json }
    }

    fn html(values: HashMap<String, Sent>) -> Self {
        Self { values, written_as: WrittenAs::Html }
    }
}

/// All bytes of a body, up to `most`. The gateway has a limit of its own; this one holds
/// wherever the router is called from.
pub(super) async fn read(body: Body, most: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::from(reply::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Request body is too large.",
            "body_too_large",
        ))),
        Err(_) => Err(malformed("Request body could not be read.")),
    }
}

/// Reads a body by its media type. An empty one is an empty form whatever it claims to be.
pub(super) async fn parse(headers: &HeaderMap, bytes: Bytes) -> Result<Form, Failure> {
    if bytes.is_empty() {
        return Ok(Form::json(HashMap::new()));
    }
    let sent = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let sent = sent.unwrap_or_default();
    let media_type = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        JSON => from_json(&bytes),
        URLENCODED => from_urlencoded(&bytes),
        MULTIPART => from_multipart(&sent, bytes).await,
        _ => Err(Failure::from(reply::detail(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &format!("Unsupported media type \"{sent}\" in request."),
        ))),
    }
}

fn from_json(bytes: &[u8]) -> Result<Form, Failure> {
    let unreadable = |error| malformed(&format!("JSON parse error - {error}"));
    let value: Value = serde_json::from_slice(bytes).map_err(unreadable)?;
    let Value::Object(object) = value else { return Err(not_a_dictionary(&value)) };
    // A number beyond 64 bits has lost digits by now, and two long numbers would become the
    // same password: such a body is read again for its very digits.
    let exact: HashMap<String, &RawValue> = if object.values().any(Value::is_f64) {
        serde_json::from_slice(bytes).map_err(unreadable)?
    } else {
        HashMap::new()
    };
    let values = object.into_iter().map(|(name, value)| {
        let value = match value {
            Value::Null => Sent::Null,
            Value::String(text) => Sent::Text(text),
            Value::Number(number) => Sent::Number(match exact.get(&name) {
                Some(raw) => python_number(raw.get()),
                None => number.to_string(),
            }),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => Sent::Other,
        };
        (name, value)
    });
    Ok(Form::json(values.collect()))
}

/// What Python's `str` makes of a JSON number: all digits of an integer, the shortest text that
/// reads back as the same float otherwise.
fn python_number(raw: &str) -> String {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return if digits == "0" { "0".to_owned() } else { raw.to_owned() };
    }
    let Ok(float) = raw.parse::<f64>() else { return raw.to_owned() };
    let text = format!("{float:?}");
    match text.split_once('e') {
        // Python writes the exponent with its sign and two digits at least.
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => text,
    }
}

fn from_urlencoded(bytes: &[u8]) -> Result<Form, Failure> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes)
        .map_err(|error| malformed(&format!("Form parse error - {error}")))?;
    Ok(Form::html(pairs.into_iter().map(|(name, value)| (name, Sent::Text(value))).collect()))
}

async fn from_multipart(content_type: &str, bytes: Bytes) -> Result<Form, Failure> {
    let unreadable = |error| malformed(&format!("Multipart form parse error - {error}"));
    let boundary = multer::parse_boundary(content_type).map_err(unreadable)?;
    let whole = stream::once(async { Ok::<_, Infallible>(bytes) });
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut values = HashMap::new();
    while let Some(part) = parts.next_field().await.map_err(unreadable)? {
        let Some(name) = part.name().map(str::to_owned) else { continue };
        let value = if part.file_name().is_some() {
            Sent::Other
        } else {
            Sent::Text(part.text().await.map_err(unreadable)?)
        };
        values.insert(name, value);
    }
    Ok(Form::html(values))
}

fn malformed(text: &str) -> Failure {
    Failure::from(reply::detail(StatusCode::BAD_REQUEST, text))
}

/// In Python's names for the types.
fn not_a_dictionary(value: &Value) -> Failure {
    let message = match value {
        // An object is one; it does not come here.
        Value::Null | Value::Object(_) => "No data provided",
        Value::Bool(_) => "Invalid data. Expected a dictionary, but got bool.",
        Value::Number(number) if number.is_f64() => {
            "Invalid data. Expected a dictionary, but got float."
        }
        Value::Number(_) => "Invalid data. Expected a dictionary, but got int.",
        Value::String(_) => "Invalid data. Expected a dictionary, but got str.",
        Value::Array(_) => "Invalid data. Expected a dictionary, but got list.",
    };
    Faults::one("non_field_errors", message).into()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;
    use http::HeaderValue;

    async fn parsed(content_type: Option<&str>, body: &[u8]) -> Result<Form, (u16, String)> {
        let mut headers = HeaderMap::new();
        if let Some(value) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        parse(&headers, Bytes::copy_from_slice(body)).await.map_err(|failure| {
            let reply = failure.into_reply();
            let text = String::from_utf8(reply.body().to_vec()).unwrap();
            (reply.status().as_u16(), text)
        })
    }

    fn text(value: &str) -> Sent {
        Sent::Text(value.to_owned())
    }

    fn number(value: &str) -> Sent {
        Sent::Number(value.to_owned())
    }

    #[tokio::test]
    async fn json_keeps_the_kinds_apart_and_the_last_of_equal_keys() {
        let body = br#"{"a":"x","b":null,"c":12,"d":true,"e":[1],"f":{},"a":"y"}"#;
        let form = parsed(Some("application/json; charset=utf-8"), body).await.unwrap();
        let wanted = [
            ("a", text("y")),
            ("b", Sent::Null),
            ("c", number("12")),
            ("d", Sent::Other),
            ("e", Sent::Other),
            ("f", Sent::Other),
        ];
        for (name, value) in wanted {
            assert_eq!(form.get(name), Some(&value), "{name}");
        }
        assert_eq!(form.get("g"), None);
        assert_eq!(form.written_as(), WrittenAs::Json);
    }

    #[tokio::test]
    async fn numbers_are_their_decimal_text_however_long() {
        let long = "123456789012345678901234567890";
        let cases = [
            ("0", "0"),
            ("-0", "0"),
            ("-17", "-17"),
            (long, long),
            ("1.50", "1.5"),
            ("1e3", "1000.0"),
            ("1e16", "1e+16"),
            ("1.5e-7", "1.5e-07"),
            ("1e300", "1e+300"),
        ];
        for (sent, wanted) in cases {
            let body = format!("{{\"n\":{sent},\"x\":1.25,\"n2\":7}}");
            let form = parsed(Some(JSON), body.as_bytes()).await.unwrap();
            assert_eq!(form.get("n"), Some(&number(wanted)), "{sent}");
            assert_eq!(form.get("n2"), Some(&number("7")));
        }
    }

    #[tokio::test]
    async fn what_is_no_json_is_a_parse_error_whatever_it_is() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        let huge = format!("{{\"a\":{}}}", "9".repeat(5000));
        let bodies: [&[u8]; 10] = [
            b"{",
            b" ",
            b"nonsense",
            b"{\"a\": NaN}",
            b"{\"a\": \"\xff\"}",
            b"{\"a\": \"\\ud800\"}",
            b"{\"\\udfff\": 1}",
            b"{\"a\": 1e99999}",
            deep.as_bytes(),
            huge.as_bytes(),
        ];
        for body in bodies {
            let (status, answer) = parsed(Some(JSON), body).await.unwrap_err();
            assert_eq!(status, 400);
            assert!(answer.starts_with("{\"detail\":\"JSON parse error - "), "{answer}");
        }
    }

    #[tokio::test]
    async fn json_that_is_no_object_is_named_in_pythons_words() {
        let cases = [
            ("[1]", "Invalid data. Expected a dictionary, but got list."),
            ("\"x\"", "Invalid data. Expected a dictionary, but got str."),
            ("1", "Invalid data. Expected a dictionary, but got int."),
            ("1.5", "Invalid data. Expected a dictionary, but got float."),
            ("true", "Invalid data. Expected a dictionary, but got bool."),
            ("null", "No data provided"),
        ];
        for (body, message) in cases {
            let wanted = (400, format!("{{\"non_field_errors\":[\"{message}\"]}}"));
            assert_eq!(parsed(Some(JSON), body.as_bytes()).await.unwrap_err(), wanted);
        }
    }

    #[tokio::test]
    async fn urlencoded_forms_are_read() {
        let form = parsed(Some(URLENCODED), b"a=x+y%2B&b=&a=z&c=%ff").await.unwrap();
        assert_eq!(form.get("a"), Some(&text("z")));
        assert_eq!(form.get("b"), Some(&text("")));
        assert_eq!(form.get("c"), Some(&text("\u{fffd}")));
        assert_eq!(form.written_as(), WrittenAs::Html);
    }

    #[tokio::test]
    async fn multipart_forms_are_read_and_files_are_no_text() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n\
            --B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n\"\r\n\r\ny\r\n--B--\r\n";
        let form = parsed(Some("multipart/form-data; boundary=B"), body).await.unwrap();
        assert_eq!(form.get("a"), Some(&text("x")));
        assert_eq!(form.get("f"), Some(&Sent::Other));
    }

    #[tokio::test]
    async fn broken_multipart_is_a_parse_error() {
        let types = ["multipart/form-data", "multipart/form-data; boundary=B"];
        for content_type in types {
            let (status, answer) = parsed(Some(content_type), b"x").await.unwrap_err();
            assert_eq!(status, 400);
            assert!(answer.starts_with("{\"detail\":\"Multipart form parse error - "), "{answer}");
        }
    }

    #[tokio::test]
    async fn other_media_types_are_quoted_back() {
        let cases =
            [Some("text/plain"), Some("application/vnd.api+json"), Some("Text/X; q=\"1\""), None];
        for content_type in cases {
            let (status, answer) = parsed(content_type, b"{}").await.unwrap_err();
            assert_eq!(status, 415);
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let sent = content_type.unwrap_or_default();
            let wanted = format!("Unsupported media type \"{sent}\" in request.");
            assert_eq!(answer, serde_json::json!({ "detail": wanted }));
        }
    }

    #[tokio::test]
    async fn an_empty_body_is_an_empty_form_of_any_type() {
        for content_type in [None, Some("text/plain"), Some(JSON), Some(MULTIPART)] {
            assert_eq!(parsed(content_type, b"").await, Ok(Form::json(HashMap::new())));
        }
    }

    proptest! {
        /// Whatever is sent, under whatever name, is a form or the client's fault.
        #[test]
        fn no_bytes_are_our_fault(
            kind in prop::sample::select(vec![
                JSON, "application/json; charset=utf-16", URLENCODED, MULTIPART,
                "multipart/form-data; boundary=B", "multipart/form-data; boundary=\"", "text/plain", "\u{fc}",
            ]),
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "(--B(--)?|\r\n|Content-Disposition: form-data; name=\"?a|filename=b|[{}\\[\\]\":,0-9e.-]|\\PC){0,40}"
                    .prop_map(String::into_bytes),
            ],
        ) {
            let parsed = parsed(Some(kind), &bytes).now_or_never().expect("nothing to wait for");
            if let Err((status, _)) = parsed {
                prop_assert!((400..500).contains(&status), "{}", status);
            }
        }

        #[test]
        fn fields_come_back_from_forms_and_json_alike(
            fields in prop::collection::hash_map("[a-z_]{1,8}", "\\PC{0,20}", 1..6),
        ) {
            let written = serde_urlencoded::to_string(&fields).unwrap();
            let json = serde_json::to_string(&fields).unwrap();
            for (kind, body) in [(URLENCODED, written), (JSON, json)] {
                let form = parsed(Some(kind), body.as_bytes()).now_or_never().unwrap().unwrap();
                for (name, value) in &fields {
                    prop_assert_eq!(form.get(name), Some(&text(value)));
                }
            }
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_413_and_one_at_the_limit_is_read() {
        assert_eq!(read(Body::from("1234"), 4).await.ok().unwrap(), "1234");
        let refused = read(Body::from("12345"), 4).await.unwrap_err();
        assert_eq!(refused.into_reply().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
