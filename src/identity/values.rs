//! What upstreams are told, in the form that headers allow.
//!
//! Visible ASCII stays as it is; `%` and everything else become `%XX` of their UTF-8 bytes, so
//! that no name can end a header line or pass for another. It must not know the headers' names.

use http::HeaderValue;

use crate::model::User;

/// Header values: plain ASCII, everything else percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderValues {
    /// The username.
    pub user: HeaderValue,
    /// The user's number, or `name:sub`.
    pub user_id: HeaderValue,
    /// Verified addresses only, unless the settings say otherwise.
    pub email: Option<HeaderValue>,
    /// Comma-separated; commas in names are encoded. `None` without groups.
    pub groups: Option<HeaderValue>,
}

impl HeaderValues {
    /// The values of one of our users. `unverified_email`: the setting of that name in
    /// `identity_headers`.
    pub(super) fn of_user(user: &User, unverified_email: bool) -> Self {
        let shown = !user.email.is_empty() && (user.email_verified || unverified_email);
        Self {
            user: single(&user.username),
            user_id: HeaderValue::from(user.id.0),
            email: shown.then(|| single(&user.email)),
            groups: list(&user.groups),
        }
    }

    /// The values of a trusted issuer's user, who has nothing but a name.
    pub(super) fn of_foreigner(name: &str) -> Self {
        Self { user: single(name), user_id: single(name), email: None, groups: None }
    }
}

fn single(text: &str) -> HeaderValue {
    value(encoded(text, b"%"))
}

fn list(names: &[String]) -> Option<HeaderValue> {
    let names: Vec<_> = names.iter().map(|name| encoded(name, b"%,")).collect();
    (!names.is_empty()).then(|| value(names.join(",")))
}

fn encoded(text: &str, reserved: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !reserved.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                encoded.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    encoded
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("only visible ASCII is left")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fixtures::user;

    #[test]
    fn plain_values_stay_as_they_are() {
        let mut ada = user(7, "ada@example.org+x");
        ada.email = "ada@example.org".to_owned();
        ada.email_verified = true;
        ada.groups = vec!["admins".to_owned(), "staff".to_owned()];
        assert_eq!(
            HeaderValues::of_user(&ada, false),
            HeaderValues {
                user: HeaderValue::from_static("ada@example.org+x"),
                user_id: HeaderValue::from_static("7"),
                email: Some(HeaderValue::from_static("ada@example.org")),
                groups: Some(HeaderValue::from_static("admins,staff")),
            }
        );
    }

    #[test]
    fn everything_else_is_encoded() {
        assert_eq!(single("Zoë 100%\r\nX: y"), "Zo%C3%AB%20100%25%0D%0AX:%20y");
        assert_eq!(single("a,b"), "a,b");
        let groups = ["a,b".to_owned(), "c d".to_owned(), "50%".to_owned()];
        assert_eq!(list(&groups).unwrap(), "a%2Cb,c%20d,50%25");
        assert_eq!(list(&[]), None);
    }

    #[test]
    fn an_unverified_address_is_sent_only_where_the_settings_say_so() {
        let mut ada = user(7, "ada");
        ada.email = "ada@example.org".to_owned();
        assert_eq!(HeaderValues::of_user(&ada, false).email, None);
        assert_eq!(HeaderValues::of_user(&ada, true).email.unwrap(), "ada@example.org");
        ada.email.clear();
        assert_eq!(HeaderValues::of_user(&ada, true).email, None);
    }

    #[test]
    fn a_foreigner_is_known_by_name_alone() {
        let values = HeaderValues::of_foreigner("partner:zoë");
        assert_eq!(
            (values.user, values.email, values.groups),
            (values.user_id.clone(), None, None)
        );
        assert_eq!(values.user_id, "partner:zo%C3%AB");
    }
}
