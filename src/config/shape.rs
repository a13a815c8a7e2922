//! Which keys there are and what kind of value each takes, read off the schema.
//!
//! The types of the sections are the one source: serde reads by them, and the schema that is
//! derived from them says the same to `fit`, `secrets`, the environment and to editors.

use std::sync::LazyLock;

use serde_json::Value as Node;

use super::sections::Settings;
use super::values::SECRET_MARK;

/// The schema of [`Settings`], with the twins of secrets.
static SCHEMA: LazyLock<Node> = LazyLock::new(|| {
    let mut schema = schemars::schema_for!(Settings).to_value();
    complete(&mut schema);
    schema
});

/// The JSON Schema of the settings, as text.
#[must_use]
pub fn schema() -> String {
    format!("{:#}\n", *SCHEMA)
}

/// Gives each secret its twin, and says that other keys are faults.
fn complete(node: &mut Node) {
    if let Some(Node::Object(properties)) = node.get_mut("properties") {
        let secrets: Vec<_> = properties
            .iter()
            .filter(|(_, node)| is_secret(node))
            .map(|(key, _)| key.clone())
            .collect();
        for key in secrets {
            let description = format!("File with the value of `{key}`; set only one of the two.");
            let twin = serde_json::json!({ "type": "string", "description": description });
            properties.insert(format!("{key}_file"), twin);
        }
        node["additionalProperties"] = false.into();
    }
    match node {
        Node::Object(inner) => inner.values_mut().for_each(complete),
        Node::Array(inner) => inner.iter_mut().for_each(complete),
        _ => {}
    }
}

fn is_secret(node: &Node) -> bool {
    node.get(SECRET_MARK).and_then(Node::as_bool) == Some(true)
}

/// What kind of value a key takes.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Any text; its form is another matter.
    Text,
    /// One of these words.
    Choice(Vec<&'static str>),
    /// A number without a fraction, from and to.
    Whole(i128, i128),
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A list of these.
    List(Shape),
    /// One text, or a list of texts.
    OneOrMany,
    /// A table with these keys.
    Table(Shape),
}

/// A place in the schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape(&'static Node);

impl Shape {
    /// Of all settings.
    pub(super) fn root() -> Self {
        Self(&SCHEMA)
    }

    /// Of a key within a table.
    pub(super) fn key(self, name: &str) -> Option<Self> {
        self.properties()?.get(name).map(|node| Self(resolve(node)))
    }

    /// Of a dotted key, without numbers: `routes.path`.
    pub(super) fn at(self, key: &str) -> Option<Self> {
        key.split('.').filter(|step| !step.is_empty()).try_fold(self, |shape, step| {
            match shape.kind() {
                Kind::List(inner) => inner.key(step),
                _ => shape.key(step),
            }
        })
    }

    /// The keys of a table, sorted.
    pub(super) fn keys(self) -> impl Iterator<Item = (&'static str, Shape)> {
        let properties = self.properties().into_iter().flatten();
        properties.map(|(key, node)| (key.as_str(), Self(resolve(node))))
    }

    /// The keys of a table that hold secrets.
    pub(super) fn secrets(self) -> impl Iterator<Item = &'static str> {
        self.keys().filter(|(_, shape)| is_secret(shape.0)).map(|(key, _)| key)
    }

    fn properties(self) -> Option<&'static serde_json::Map<String, Node>> {
        self.0.get("properties")?.as_object()
    }

    /// What kind of value belongs here.
    pub(super) fn kind(self) -> Kind {
        let words = self.0.get("oneOf").and_then(Node::as_array);
        if let Some(words) = words {
            let words = words.iter().filter_map(|word| word.get("const")?.as_str());
            return Kind::Choice(words.collect());
        }
        let types: Vec<&str> = match self.0.get("type") {
            Some(Node::String(one)) => vec![one],
            Some(Node::Array(many)) => many.iter().filter_map(Node::as_str).collect(),
            _ => Vec::new(),
        };
        match types.as_slice() {
            ["object", ..] => Kind::Table(self),
            ["array", ..] => Kind::List(self.items()),
            ["string", "array"] => Kind::OneOrMany,
            ["integer", ..] => {
                let high = match self.0.get("format").and_then(Node::as_str) {
                    Some("uint8") => u8::MAX.into(),
                    Some("uint16") => u16::MAX.into(),
                    Some("uint32") => u32::MAX.into(),
                    _ => i64::MAX.into(),
                };
                Kind::Whole(0, high)
            }
            ["number", ..] => Kind::Number,
            ["boolean", ..] => Kind::Flag,
            _ => Kind::Text,
        }
    }

    /// How a value may look.
    pub(super) fn sample(self) -> Option<&'static str> {
        self.0.pointer("/examples/0")?.as_str()
    }

    /// Of the elements of a list.
    pub(super) fn items(self) -> Self {
        Self(self.0.get("items").map_or(&Node::Null, resolve))
    }
}

/// Follows references, and sees through what may also be absent.
fn resolve(mut node: &'static Node) -> &'static Node {
    loop {
        let target = node.get("$ref").and_then(Node::as_str);
        let present = || {
            let any = node.get("anyOf")?.as_array()?;
            any.iter().find(|node| node.get("type").and_then(Node::as_str) != Some("null"))
        };
        let next = target.and_then(|target| SCHEMA.pointer(target.strip_prefix('#')?));
        match next.or_else(present) {
            Some(inner) => node = inner,
            None => return node,
        }
    }
}

/// What whole numbers to write.
pub(super) fn range(low: i128, high: i128) -> String {
    match i64::try_from(high) {
        Ok(i64::MAX) => format!("write a whole number, {low} or more"),
        _ => format!("write a whole number from {low} to {high}"),
    }
}

impl Kind {
    /// What the kind is called in a fault.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Text | Self::Choice(_) => "a text",
            Self::Whole(..) => "a whole number",
            Self::Number => "a number",
            Self::Flag => "true or false",
            Self::List(_) => "a list",
            Self::OneOrMany => "a text or a list of texts",
            Self::Table(_) => "a table",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_has_a_twin_in_a_file() {
        for key in [
            "secret_key_file",
            "database.url_file",
            "database.direct_url_file",
            "redis.url_file",
            "mail.url_file",
            "tokens.jwt.signing_key_file",
            "tokens.jwt.trusted.secret_file",
        ] {
            assert!(Shape::root().at(key).is_some(), "{key}");
        }
        assert!(Shape::root().at("mail.from_file").is_none());
    }

    #[test]
    fn a_kind_is_known_for_every_key() {
        let kind = |key| Shape::root().at(key).map(Shape::kind);
        assert!(matches!(kind("server.tls"), Some(Kind::Table(_))));
        assert!(matches!(kind("server.listen"), Some(Kind::List(_))));
        assert!(matches!(kind("routes.host"), Some(Kind::OneOrMany)));
        assert!(matches!(kind("routes.access"), Some(Kind::Choice(words)) if words.len() == 6));
        assert!(matches!(kind("accounts.argon2.memory_kib"), Some(Kind::Whole(0, 4_294_967_295))));
        assert!(matches!(kind("accounts.password_similarity"), Some(Kind::Number)));
        assert!(matches!(kind("database.migrate"), Some(Kind::Flag)));
        assert!(matches!(kind("redis.timeout"), Some(Kind::Text)));
    }
}
