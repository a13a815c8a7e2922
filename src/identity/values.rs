//! What upstreams are told, in the form that headers allow.
//!
//! Visible ASCII stays as it is; `%` and everything else become `%XX` of their UTF-8 bytes, so
//! that no name can end a header line or pass for another. It must not know the headers' names.

use bytes::Bytes;
use http::HeaderValue;

use crate::model::User;

/// Header values: plain ASCII, everything else percent-encoded.
///
/// They lie side by side in one piece of memory: with ten thousand users in turn each piece is a
/// walk to where it is slow.
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
        let email = if shown { single(&user.email) } else { String::new() };
        let texts = [single(&user.username), user.id.0.to_string(), email, list(&user.groups)];
        let [name, number, email, groups] = side_by_side(texts);
        Self {
            user: name,
            user_id: number,
            email: shown.then_some(email),
            groups: (!user.groups.is_empty()).then_some(groups),
        }
    }

    /// The values of a trusted issuer's user, who has nothing but a name.
    pub(super) fn of_foreigner(name: &str) -> Self {
        let [name] = side_by_side([single(name)]);
        Self { user: name.clone(), user_id: name, email: None, groups: None }
    }
}

impl HeaderValues {
    /// The username, if it stands here as it is.
    pub(super) fn plain_user(&self) -> Option<&str> {
        self.user.to_str().ok().filter(|text| !text.contains('%'))
    }
}

fn side_by_side<const N: usize>(texts: [String; N]) -> [HeaderValue; N] {
    let whole = Bytes::from(texts.concat());
    let mut begin = 0;
    texts.map(|text| {
        let value = whole.slice(begin..begin + text.len());
        begin += text.len();
        HeaderValue::from_maybe_shared(value).expect("only visible ASCII is left")
    })
}

fn single(text: &str) -> String {
    encoded(text, b"%")
}

fn list(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| encoded(name, b"%,")).collect();
    names.join(",")
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
        assert_eq!(list(&groups), "a%2Cb,c%20d,50%25");
        assert_eq!(list(&[]), "");
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
