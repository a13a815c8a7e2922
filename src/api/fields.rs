//! The fields of a form, each read by its rule, with the faults of all of them at once.
//!
//! The messages and their order are Django REST framework's. It knows what is wrong with a text
//! by itself; whether a name is taken or a password weak is found out later, and only if every
//! field by itself is good.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::accounts::names::{self, MAX_EMAIL, MAX_USERNAME, NameFault};
use crate::accounts::passwords::MAX_PASSWORD_BYTES;
use crate::accounts::strength::trim;

use super::body::{Form, Sent, WrittenAs};

/// Django's words for a bad username.
const INVALID_USERNAME: &str = "Enter a valid username. This value may contain only \
    letters, numbers, and @/./+/-/_ characters.";

/// Django's words for a bad address, also for what is no text at all.
const INVALID_EMAIL: &str = "Enter a valid email address.";

const REQUIRED: &str = "This field is required.";
const NULL: &str = "This field may not be null.";
const BLANK: &str = "This field may not be blank.";
const NOT_A_STRING: &str = "Not a valid string.";
const NUL: &str = "Null characters are not allowed.";

/// How a field is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) presence: Presence,
    pub(super) blank: Blank,
    space: Space,
    pub(super) limit: Limit,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blank {
    Refused,
    Allowed,
}

/// What becomes of white space around a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// Cut off.
    Trimmed,
    /// Part of the value. Nothing but white space is blank all the same.
    Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    None,
    Chars(usize),
    Bytes(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Username,
    Email,
}

impl Rule {
    /// Any text.
    pub(super) const fn text(name: &'static str) -> Self {
        Self {
            name,
            presence: Presence::Required,
            blank: Blank::Refused,
            space: Space::Trimmed,
            limit: Limit::None,
            kind: Kind::Text,
        }
    }

    /// A username to be taken.
    pub(super) const fn username() -> Self {
        Self { kind: Kind::Username, ..Self::text("username") }
    }

    /// A username to be taken instead of the present one.
    pub(super) const fn new_username(name: &'static str) -> Self {
        Self { kind: Kind::Username, ..Self::text(name) }
    }

    /// An e-mail address to be looked up.
    pub(super) const fn email() -> Self {
        Self { kind: Kind::Email, ..Self::text("email") }
    }

    /// An e-mail address to be stored.
    pub(super) const fn new_email() -> Self {
        Self { limit: Limit::Chars(MAX_EMAIL), ..Self::email() }
    }

    /// A password that exists already: one that is too long is merely wrong.
    pub(super) const fn password(name: &'static str, space: Space) -> Self {
        Self { space, ..Self::text(name) }
    }

    /// A password to be set.
    pub(super) const fn new_password(name: &'static str, space: Space) -> Self {
        Self { limit: Limit::Bytes(MAX_PASSWORD_BYTES), ..Self::password(name, space) }
    }

    /// May be left out.
    pub(super) const fn optional(self) -> Self {
        Self { presence: Presence::Optional, ..self }
    }

    /// Whether it may be left empty.
    pub(super) const fn may_be_blank(&self) -> bool {
        matches!(self.blank, Blank::Allowed)
    }

    /// May be left empty.
    pub(super) const fn or_blank(self) -> Self {
        Self { blank: Blank::Allowed, ..self }
    }
}

/// Reads the fields of a form, collecting what is wrong with them.
pub(super) struct Fields<'f> {
    form: &'f Form,
    faults: Faults,
}

impl<'f> Fields<'f> {
    pub(super) fn of(form: &'f Form) -> Self {
        Self { form, faults: Faults::default() }
    }

    /// A good value; `None` if there is none, or if there is a fault now.
    pub(super) fn read(&mut self, rule: Rule) -> Option<&'f str> {
        match self.form.get(rule.name) {
            None => {
                if rule.presence == Presence::Required {
                    self.faults.add(rule.name, REQUIRED);
                }
                None
            }
            Some(Sent::Null) => self.fault(rule, NULL),
            Some(Sent::Other) => {
                let email = rule.kind == Kind::Email;
                self.fault(rule, if email { INVALID_EMAIL } else { NOT_A_STRING })
            }
            Some(Sent::Text(text) | Sent::Number(text)) => self.text(rule, text),
        }
    }

    /// What was found wrong.
    pub(super) fn into_faults(self) -> Faults {
        self.faults
    }

    fn text(&mut self, rule: Rule, sent: &'f str) -> Option<&'f str> {
        let trimmed = trim(sent);
        if trimmed.is_empty() {
            let unsaid = sent.is_empty()
                && self.form.written_as() == WrittenAs::Html
                && rule.presence == Presence::Optional;
            return match rule.blank {
                Blank::Allowed => Some(""),
                Blank::Refused if unsaid => None,
                Blank::Refused => self.fault(rule, BLANK),
            };
        }
        let value = match rule.space {
            Space::Trimmed => trimmed,
            Space::Kept => sent,
        };
        let faults = faults_of(rule, value);
        if faults.is_empty() {
            return Some(value);
        }
        for message in faults {
            self.faults.add(rule.name, message);
        }
        None
    }

    fn fault(&mut self, rule: Rule, message: &'static str) -> Option<&'f str> {
        self.faults.add(rule.name, message);
        None
    }
}

/// In the order of Django's validators: a username's own ones come first, an address's last.
fn faults_of(rule: Rule, value: &str) -> Vec<Cow<'static, str>> {
    let mut faults = Vec::new();
    if rule.kind == Kind::Username {
        let found = names::username(value).err().unwrap_or_default();
        faults.extend(found.into_iter().map(username_text));
    }
    let exceeded = match rule.limit {
        Limit::None => None,
        Limit::Chars(most) => (value.chars().count() > most).then_some(most),
        Limit::Bytes(most) => (value.len() > most).then_some(most),
    };
    faults.extend(exceeded.map(too_long));
    if value.contains('\0') {
        faults.push(NUL.into());
    }
    if rule.kind == Kind::Email && names::email_faults(value).contains(&NameFault::Invalid) {
        faults.push(INVALID_EMAIL.into());
    }
    faults
}

/// What a bad username is told.
pub(super) fn username_text(fault: NameFault) -> Cow<'static, str> {
    match fault {
        NameFault::Invalid => INVALID_USERNAME.into(),
        NameFault::TooLong => too_long(MAX_USERNAME),
    }
}

/// What a bad address is told.
pub(super) fn email_text(fault: NameFault) -> Cow<'static, str> {
    match fault {
        NameFault::Invalid => INVALID_EMAIL.into(),
        NameFault::TooLong => too_long(MAX_EMAIL),
    }
}

fn too_long(most: usize) -> Cow<'static, str> {
    format!("Ensure this field has no more than {most} characters.").into()
}

/// What is wrong with a form: for each field its messages, in the order they were found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Faults(Vec<(&'static str, Vec<Cow<'static, str>>)>);

impl Faults {
    /// A single fault.
    pub(super) fn one(field: &'static str, message: &'static str) -> Self {
        Self(vec![(field, vec![message.into()])])
    }

    pub(super) fn add(&mut self, field: &'static str, message: impl Into<Cow<'static, str>>) {
        match self.0.iter_mut().find(|(known, _)| *known == field) {
            Some((_, messages)) => messages.push(message.into()),
            None => self.0.push((field, vec![message.into()])),
        }
    }

    /// Adds another's faults behind these.
    pub(super) fn join(&mut self, other: Self) {
        for (field, messages) in other.0 {
            for message in messages {
                self.add(field, message);
            }
        }
    }

    /// Several faults of one field.
    pub(super) fn several(
        field: &'static str,
        messages: impl IntoIterator<Item = Cow<'static, str>>,
    ) -> Self {
        Self(vec![(field, messages.into_iter().collect())])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Faults {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, messages)| (field, messages)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
    use serde_json::{Value, json};

    async fn form(content_type: &'static str, body: String) -> Form {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        super::super::body::parse(&headers, Bytes::from(body)).await.ok().unwrap()
    }

    async fn json_form(body: Value) -> Form {
        form("application/json", body.to_string()).await
    }

    /// What a rule makes of one JSON value.
    #[derive(Debug, PartialEq)]
    enum Reading {
        Nothing,
        Good(String),
        Bad(Value),
    }

    fn good(text: &str) -> Reading {
        Reading::Good(text.to_owned())
    }

    fn bad(messages: Value) -> Reading {
        Reading::Bad(messages)
    }

    async fn reading(rule: Rule, value: Value) -> Reading {
        let form = json_form(json!({ rule.name: value })).await;
        let mut fields = Fields::of(&form);
        let read = fields.read(rule).map(str::to_owned);
        let faults = fields.into_faults();
        if faults.is_empty() {
            return read.map_or(Reading::Nothing, Reading::Good);
        }
        assert_eq!(read, None);
        Reading::Bad(serde_json::to_value(&faults).unwrap()[rule.name].clone())
    }

    #[tokio::test]
    async fn a_text_is_trimmed_and_a_number_is_its_digits() {
        let rule = Rule::text("f");
        assert_eq!(reading(rule, json!(" \u{a0}a b\t\u{1c}")).await, good("a b"));
        assert_eq!(reading(rule, json!(8_304_617)).await, good("8304617"));
    }

    #[tokio::test]
    async fn what_is_no_text_is_refused_in_the_fields_own_words() {
        for sent in [json!(true), json!(["x"]), json!({"a": 1})] {
            let plain = bad(json!(["Not a valid string."]));
            assert_eq!(reading(Rule::text("f"), sent.clone()).await, plain);
            let email = bad(json!(["Enter a valid email address."]));
            assert_eq!(reading(Rule::email(), sent).await, email);
        }
        let null = bad(json!(["This field may not be null."]));
        assert_eq!(reading(Rule::text("f").optional(), Value::Null).await, null);
        assert_eq!(reading(Rule::email().or_blank(), Value::Null).await, null);
    }

    #[tokio::test]
    async fn white_space_alone_is_blank_even_where_space_is_kept() {
        let blank = bad(json!(["This field may not be blank."]));
        for sent in ["", "   ", "\u{2003}\t"] {
            for space in [Space::Trimmed, Space::Kept] {
                let rule = Rule::new_password("f", space);
                assert_eq!(reading(rule, json!(sent)).await, blank, "{sent:?}");
            }
            assert_eq!(reading(Rule::text("f").or_blank(), json!(sent)).await, good(""));
        }
    }

    #[tokio::test]
    async fn space_around_a_password_is_kept_or_trimmed_as_the_rule_says() {
        let sent = json!("  pass word ");
        let kept = reading(Rule::password("f", Space::Kept), sent.clone()).await;
        assert_eq!(kept, good("  pass word "));
        let trimmed = reading(Rule::password("f", Space::Trimmed), sent).await;
        assert_eq!(trimmed, good("pass word"));
    }

    #[tokio::test]
    async fn lengths_are_counted_in_characters() {
        let rule = Rule::username();
        assert_eq!(reading(rule, json!("ü".repeat(150))).await, good(&"ü".repeat(150)));
        let long = bad(json!(["Ensure this field has no more than 150 characters."]));
        assert_eq!(reading(rule, json!("a".repeat(151))).await, long);
        let email = json!(format!("{}@example.test", "a".repeat(250)));
        let long = bad(json!(["Ensure this field has no more than 254 characters."]));
        assert_eq!(reading(Rule::new_email(), email.clone()).await, long);
        assert_eq!(reading(Rule::email(), email.clone()).await, good(email.as_str().unwrap()));
    }

    #[tokio::test]
    async fn a_password_to_be_set_has_a_limit_and_one_to_be_checked_has_none() {
        let most = "k".repeat(4096);
        let more = "k".repeat(4097);
        let new = Rule::new_password("f", Space::Kept);
        assert_eq!(reading(new, json!(most)).await, good(&most));
        let long = bad(json!(["Ensure this field has no more than 4096 characters."]));
        assert_eq!(reading(new, json!(more)).await, long);
        let old = Rule::password("f", Space::Kept);
        assert_eq!(reading(old, json!(more)).await, good(&more));
    }

    #[tokio::test]
    async fn all_messages_of_a_field_come_in_djangos_order() {
        let wanted = bad(json!([INVALID_USERNAME, "Null characters are not allowed."]));
        assert_eq!(reading(Rule::username(), json!("nul\0x")).await, wanted);
        let long = format!("{} ", "a ".repeat(200));
        let wanted =
            bad(json!([INVALID_USERNAME, "Ensure this field has no more than 150 characters."]));
        assert_eq!(reading(Rule::username(), json!(long)).await, wanted);
        let wanted = bad(json!(["Null characters are not allowed."]));
        assert_eq!(reading(Rule::text("f"), json!("a\0b")).await, wanted);
    }

    #[tokio::test]
    async fn the_faults_of_all_fields_come_at_once() {
        let form = json_form(json!({"b": null, "c": "good"})).await;
        let mut fields = Fields::of(&form);
        assert_eq!(fields.read(Rule::text("a")), None);
        assert_eq!(fields.read(Rule::text("b")), None);
        assert_eq!(fields.read(Rule::text("c")), Some("good"));
        assert_eq!(fields.read(Rule::text("d").optional()), None);
        let faults = serde_json::to_string(&fields.into_faults()).unwrap();
        let wanted = r#"{"a":["This field is required."],"b":["This field may not be null."]}"#;
        assert_eq!(faults, wanted);
    }

    #[tokio::test]
    async fn an_html_form_says_nothing_with_an_empty_text() {
        let form = form("application/x-www-form-urlencoded", "a=&b=&c=&d=+".to_owned()).await;
        let mut fields = Fields::of(&form);
        assert_eq!(fields.read(Rule::text("a").optional()), None);
        assert_eq!(fields.read(Rule::text("b").optional().or_blank()), Some(""));
        assert_eq!(fields.read(Rule::text("c")), None);
        assert_eq!(fields.read(Rule::text("d").optional()), None);
        let faults = serde_json::to_value(fields.into_faults()).unwrap();
        let blank = json!(["This field may not be blank."]);
        assert_eq!(faults, json!({"c": blank, "d": blank}));
    }
}
